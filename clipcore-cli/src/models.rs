//! Which models run, and on what.

use std::path::PathBuf;
use std::sync::Arc;

use clipcore::Result;
use clipcore::detector::face::{ExpressionPort, FaceConfig, FaceFinder, FinderPort};
use clipcore::model::card::Card;
use clipcore::model::{
    BackendChoice, Batched, Model, ModelRegistry, ModelStore, Provider, Runtime, RuntimeConfig, StoredModel,
};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Inputs of several streams that go through a model at once.
const BATCH: usize = 16;

/// Which models run, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// The folder that `clipcore models pull` fills.
    pub dir: PathBuf,
    /// The model that tags sound: a name, or the path of an ONNX file with its card beside it.
    pub audio: String,
    /// The model that hears voices, named likewise; where absent, none listens for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// The model that finds faces, named likewise; it needs consent to faces.
    pub faces: String,
    /// The model that reads the expressions of faces, named likewise.
    pub expressions: String,
    /// The native ONNX Runtime (native), pure Rust (pure), or the first that is there (auto).
    pub backend: BackendChoice,
    /// The native library's file; where absent, what the environment, the active Python or the system have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<PathBuf>,
    /// Threads that all models share; 0 for as many as there are cores, at most 4.
    pub threads: usize,
    /// Accelerators to try before the processor, in order.
    pub providers: Vec<Provider>,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        let RuntimeConfig { backend, library, threads, providers } = RuntimeConfig::default();
        let [audio, faces, expressions] = ["tagger", "yunet", "mini_xception"].map(str::to_owned);
        Self {
            dir: default_dir(),
            audio,
            voice: None,
            faces,
            expressions,
            backend,
            library,
            threads,
            providers,
        }
    }
}

impl ModelsConfig {
    /// Finds the backend.
    ///
    /// # Errors
    /// `Config` where a library that was asked for cannot be used.
    pub fn runtime(&self) -> Result<Runtime> {
        Runtime::open(&RuntimeConfig {
            backend: self.backend,
            library: self.library.clone(),
            threads: self.threads,
            providers: self.providers.clone(),
        })
    }

    /// The models that can be named.
    pub fn store(&self) -> ModelStore {
        ModelStore::new(&self.dir)
    }
}

/// `$XDG_DATA_HOME/clipcore/models`, or where that is by default.
fn default_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    data.unwrap_or_else(|| ".".into()).join("clipcore").join("models")
}

/// The models of this run.
#[derive(Debug, Default)]
pub struct Models {
    /// What detectors ask.
    pub registry: ModelRegistry,
    /// The card of the model that tags sound, where there is one.
    pub audio: Option<Card>,
    /// The card of the model that hears voices, where there is one.
    pub voice: Option<Card>,
    /// How the models of faces are asked, where both are there.
    pub faces: Option<(FinderPort, ExpressionPort)>,
    /// What people should be told: models that cannot be used, accelerators that are not there.
    pub notes: Vec<String>,
}

impl Models {
    /// Loads what the detectors that are on need. A model that cannot be used costs its detector, not the run.
    ///
    /// # Errors
    /// `Config` where a library that was asked for cannot be used.
    pub fn open(config: &Config) -> Result<Self> {
        let mut models = Self::default();
        let on = |name: &str| !config.detectors.off.iter().any(|off| off == name);
        let (hears, looks) = (on("audio_tagger"), on("face") && config.consent.face);
        let voice = config.models.voice.as_deref().filter(|_| on("voice_activity"));
        if !hears && !looks && voice.is_none() {
            return Ok(models);
        }
        let runtime = config.models.runtime()?;
        if hears {
            let heard = models.hear(&runtime, &config.models, &config.models.audio);
            models.audio = models.or_off("audio_tagger", heard);
        }
        if let Some(name) = voice {
            let heard = models.hear(&runtime, &config.models, name);
            models.voice = models.or_off("voice_activity", heard);
        }
        if looks {
            let seen = models.look(&runtime, &config.models, &config.detectors.face);
            models.faces = models.or_off("face", seen);
        }
        Ok(models)
    }

    fn hear(&mut self, runtime: &Runtime, config: &ModelsConfig, name: &str) -> Result<Card> {
        let (model, card) = self.load(runtime, &config.store().find(name)?)?;
        self.offer(model);
        Ok(card)
    }

    fn look(
        &mut self,
        runtime: &Runtime,
        config: &ModelsConfig,
        face: &FaceConfig,
    ) -> Result<(FinderPort, ExpressionPort)> {
        let store = config.store();
        let (finds, reads) = (store.find(&config.faces)?, store.find(&config.expressions)?);
        let (network, card) = self.load(runtime, &finds)?;
        let finder = FaceFinder::from_card(network, &card, face)?;
        let (reader, card) = self.load(runtime, &reads)?;
        let ports = (finder.port(), ExpressionPort::from_card(&card)?);
        self.offer(Arc::new(finder));
        self.offer(reader);
        Ok(ports)
    }

    /// A model that several streams may ask at once.
    fn load(&mut self, runtime: &Runtime, stored: &StoredModel) -> Result<(Arc<dyn Model>, Card)> {
        let model = stored.load(runtime)?;
        self.notes.extend(model.remarks().iter().map(|r| format!("{}: {r}", stored.card.name)));
        Ok((Arc::new(Batched::new(Arc::new(model), BATCH)), stored.card.clone()))
    }

    fn offer(&mut self, model: Arc<dyn Model>) {
        self.registry = std::mem::take(&mut self.registry).with_model(model);
    }

    /// Says why a detector is off.
    fn or_off<T>(&mut self, detector: &str, loaded: Result<T>) -> Option<T> {
        loaded.map_err(|error| self.notes.push(format!("{detector} is off: {error}"))).ok()
    }
}
