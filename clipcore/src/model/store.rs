use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::card::{Card, shipped};
use super::{OnnxModel, Runtime, embedded};
use crate::{Error, ErrorKind, Result, hex};

/// Where a model's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFile {
    /// In this program.
    Embedded(&'static [u8]),
    /// In a file.
    Path(PathBuf),
}

/// A card and the file it speaks of.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredModel {
    /// The card.
    pub card: Card,
    /// The model, which need not be there yet.
    pub file: ModelFile,
}

/// The models that can be named: the embedded one, the known ones, and what lies in a folder.
///
/// A card in the folder goes over a known one of the same name.
#[derive(Debug, Clone)]
pub struct ModelStore {
    dir: PathBuf,
}

impl ModelStore {
    /// A store over a folder, which need not be there.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All models that can be named, and the errors of cards that cannot be read.
    ///
    /// # Errors
    /// Where the folder is there and cannot be read.
    pub fn list(&self) -> Result<(Vec<StoredModel>, Vec<Error>)> {
        let mut models: Vec<StoredModel> = embedded::models()?;
        models.extend(shipped()?.into_iter().map(|card| self.stored(card)));
        let mut errors = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((models, errors)),
            Err(e) => return Err(Error::io(e, &self.dir)),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
        paths.sort();
        for path in paths {
            match Card::load(&path) {
                Ok(card) => {
                    models.retain(|m| m.card.name != card.name);
                    models.push(self.stored(card));
                }
                Err(error) => errors.push(error),
            }
        }
        Ok((models, errors))
    }

    fn stored(&self, card: Card) -> StoredModel {
        let file = ModelFile::Path(self.dir.join(&card.file));
        StoredModel { card, file }
    }

    /// The model of a name, or of a path to an ONNX file that has its card beside it.
    ///
    /// # Errors
    /// `NotFound` where there is none, naming those there are; what reading the card says.
    pub fn find(&self, name: &str) -> Result<StoredModel> {
        if name.ends_with(".onnx") || name.contains(std::path::is_separator) {
            let path = PathBuf::from(name);
            let card = Card::load(Card::path_beside(&path))?;
            return Ok(StoredModel { card, file: ModelFile::Path(path) });
        }
        let (models, errors) = self.list()?;
        let names: Vec<&str> = models.iter().map(|m| m.card.name.as_str()).collect();
        let hint = format!("known are {}; or name a path that ends in .onnx", names.join(", "));
        match models.iter().position(|m| m.card.name == name) {
            Some(i) => Ok(models[i].clone()),
            // A card that cannot be read may be the one that was meant.
            None => Err(errors.into_iter().find(|e| e.to_string().contains(name)).unwrap_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no model {name:?}")).with_hint(hint)
            })),
        }
    }
}

impl StoredModel {
    /// Whether the file is there.
    pub fn is_there(&self) -> bool {
        match &self.file {
            ModelFile::Embedded(_) => true,
            ModelFile::Path(path) => path.is_file(),
        }
    }

    /// The file's name for people.
    pub fn origin(&self) -> String {
        match &self.file {
            ModelFile::Embedded(_) => format!("{} (embedded)", self.card.file),
            ModelFile::Path(path) => path.display().to_string(),
        }
    }

    /// Compares the file with the card's checksum.
    ///
    /// # Errors
    /// `NotFound` where the file is not there; `InvalidInput` where it is another one.
    pub fn verify(&self) -> Result<()> {
        self.bytes().map(drop)
    }

    /// Loads the model and checks it against its card.
    ///
    /// # Errors
    /// As [`verify`](Self::verify); those of [`OnnxModel::from_bytes`]; `Config` where card and model differ.
    pub fn load(&self, runtime: &Runtime) -> Result<OnnxModel> {
        let bytes = self.bytes()?;
        let model = OnnxModel::from_bytes(runtime, &self.card.name, &bytes, &self.origin())?;
        self.card.check(model.graph()).map_err(|e| e.with_context("model", self.origin()))?;
        Ok(if self.card.has_batch_axis() { model } else { model.unbatched() })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let bytes = match &self.file {
            ModelFile::Embedded(bytes) => bytes.to_vec(),
            ModelFile::Path(path) => super::onnx::read(path).map_err(|e| match e.kind() {
                ErrorKind::NotFound => e.with_hint(self.how_to_get()),
                _ => e,
            })?,
        };
        let Some(expected) = &self.card.sha256 else { return Ok(bytes) };
        // What a file of another kind is says more than that its checksum is wrong.
        super::onnx::signature(&bytes).map_err(|e| e.with_context("model", self.origin()))?;
        let found = hex(&Sha256::digest(&bytes));
        if !found.eq_ignore_ascii_case(expected) {
            return Err(Error::invalid("the model is not the file that its card speaks of")
                .with_context("model", self.origin())
                .with_context("bytes", bytes.len())
                .with_context("sha256", found)
                .with_context("expected", expected)
                .with_hint(self.how_to_get()));
        }
        Ok(bytes)
    }

    /// How its file is had where it is missing.
    pub fn how_to_get(&self) -> String {
        let name = &self.card.name;
        match (&self.card.url, &self.card.recipe) {
            (Some(_), _) => format!("`clipcore models pull {name}` fetches it"),
            (None, Some(recipe)) => {
                format!(
                    "{recipe} makes it; or `clipcore models pull {name} --mirror DIR` takes it from a folder"
                )
            }
            (None, None) => "put the file beside its card, or correct the card's sha256".to_owned(),
        }
    }
}
