//! Which models run, and on what.

use std::path::PathBuf;
use std::sync::Arc;

use clipcore::Result;
use clipcore::model::card::Card;
use clipcore::model::{
    BackendChoice, Batched, ModelRegistry, ModelStore, Provider, Runtime, RuntimeConfig, StoredModel,
};
use serde::{Deserialize, Serialize};

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
        Self { dir: default_dir(), audio: "tagger".to_owned(), backend, library, threads, providers }
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
    /// What people should be told: models that cannot be used, accelerators that are not there.
    pub notes: Vec<String>,
}

impl Models {
    /// Loads what the detectors that are on need. A model that cannot be used costs its detector, not the run.
    ///
    /// # Errors
    /// `Config` where a library that was asked for cannot be used.
    pub fn open(config: &ModelsConfig, off: &[String]) -> Result<Self> {
        let mut models = Self::default();
        if off.iter().any(|name| name == "audio_tagger") {
            return Ok(models);
        }
        let runtime = config.runtime()?;
        models.audio = models.add(&runtime, config.store().find(&config.audio), "audio_tagger");
        Ok(models)
    }

    /// Loads a model and makes it available; says why where it cannot be.
    fn add(&mut self, runtime: &Runtime, found: Result<StoredModel>, detector: &str) -> Option<Card> {
        match found.and_then(|stored| Ok((stored.load(runtime)?, stored.card))) {
            Ok((model, card)) => {
                self.notes.extend(model.remarks().iter().map(|r| format!("{}: {r}", card.name)));
                let registry = std::mem::take(&mut self.registry);
                self.registry = registry.with_model(Arc::new(Batched::new(Arc::new(model), BATCH)));
                Some(card)
            }
            Err(error) => {
                self.notes.push(format!("{detector} is off: {error}"));
                None
            }
        }
    }
}
