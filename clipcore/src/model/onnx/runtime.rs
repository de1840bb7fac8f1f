use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::find::{self, Candidate};
use super::native::Native;
use super::pure::Pure;
use super::{Backend, Graph};
use crate::{Error, ErrorKind, Result};

/// Which of the two ways to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendChoice {
    /// The native library where one is found, else pure Rust.
    #[default]
    Auto,
    /// The native ONNX Runtime; an error where there is none.
    Native,
    /// Pure Rust, whatever else is there.
    Pure,
}

/// An accelerator of the native library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// NVIDIA CUDA (feature `onnx-cuda`).
    Cuda,
    /// NVIDIA TensorRT (feature `onnx-tensorrt`).
    Tensorrt,
    /// Apple Core ML (feature `onnx-coreml`).
    Coreml,
    /// Microsoft DirectML (feature `onnx-directml`).
    Directml,
    /// Intel OpenVINO (feature `onnx-openvino`).
    Openvino,
}

/// How models are run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Native library or pure Rust.
    pub backend: BackendChoice,
    /// The native library's file. Where it is absent: the environment's `CLIPCORE_ONNXRUNTIME` or `ORT_DYLIB_PATH`, else
    /// what the active Python or the system has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<PathBuf>,
    /// Threads that all models of the process share; 0 for as many as there are cores, at most 4.
    pub threads: usize,
    /// Accelerators to try, in this order, before the processor.
    pub providers: Vec<Provider>,
}

/// A library that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its file.
    pub path: PathBuf,
    /// How it came to be looked at.
    pub why: String,
    /// What was wrong with it; `None` for the one in use.
    pub problem: Option<String>,
}

/// Which backend is in use, and how that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `onnxruntime 1.24.4`, or the pure backend's name.
    pub backend: String,
    /// Whether it is the native library.
    pub native: bool,
    /// The libraries that were looked at, in order.
    pub tried: Vec<Tried>,
    /// Threads that models share.
    pub threads: usize,
}

/// What runs models: the native ONNX Runtime, or its stand-in in pure Rust. Cheap to clone.
///
/// The native library can be loaded once in the life of a process. A runtime that asks for another one later is
/// refused; one that asks for none in particular shares what is there, its number of threads included.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    found: Found,
    providers: Vec<Provider>,
}

enum Engine {
    Native(&'static Native),
    Pure(Pure),
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Runtime").field(&self.inner.found).finish()
    }
}

impl Runtime {
    /// Finds a backend.
    ///
    /// # Errors
    /// `Config` where a library that was asked for by path or environment cannot be used (it is never passed over in
    /// silence), or where another one is loaded already; `NotFound` where the native library is asked for and there is none.
    pub fn open(config: &RuntimeConfig) -> Result<Self> {
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            n => n,
        };
        if config.backend == BackendChoice::Pure {
            if config.library.is_some() {
                return Err(Error::config("backend \"pure\" takes no library")
                    .with_hint("leave out either models.library or models.backend"));
            }
            return Ok(Self::pure(config, threads, Vec::new()));
        }
        if let Some(asked) = asked_for(config) {
            let native = Native::load(&asked.path, threads).map_err(|problem| {
                Error::config("the ONNX Runtime that was asked for cannot be used")
                    .with_context("path", asked.path.display())
                    .with_context("from", &asked.why)
                    .with_context("why", problem)
                    .with_hint(
                        "name a libonnxruntime of version 1.17 or newer (it lies in the wheel's onnxruntime/capi), or \
                         leave it out for the backend in pure Rust",
                    )
            })?;
            return Ok(Self::native(config, native, asked, Vec::new()));
        }
        let mut tried = Vec::new();
        let loaded = Native::loaded().map(|path| Candidate { path, why: "loaded before".to_owned() });
        for candidate in loaded.into_iter().chain(find::around()) {
            match Native::load(&candidate.path, threads) {
                Ok(native) => return Ok(Self::native(config, native, candidate, tried)),
                Err(problem) => {
                    tried.push(Tried { path: candidate.path, why: candidate.why, problem: Some(problem) })
                }
            }
        }
        if config.backend == BackendChoice::Native {
            return Err(Error::new(ErrorKind::NotFound, "no native ONNX Runtime is found").with_hint(
                "pip install onnxruntime, or name a libonnxruntime in models.library or CLIPCORE_ONNXRUNTIME",
            ));
        }
        Ok(Self::pure(config, threads, tried))
    }

    fn native(
        config: &RuntimeConfig,
        native: &'static Native,
        candidate: Candidate,
        mut tried: Vec<Tried>,
    ) -> Self {
        tried.push(Tried { path: candidate.path, why: candidate.why, problem: None });
        let backend = format!("onnxruntime {}", native.version());
        let found = Found { backend, native: true, tried, threads: native.threads() };
        let providers = config.providers.clone();
        Self { inner: Arc::new(Inner { engine: Engine::Native(native), found, providers }) }
    }

    fn pure(config: &RuntimeConfig, threads: usize, tried: Vec<Tried>) -> Self {
        let found = Found { backend: Pure::NAME.to_owned(), native: false, tried, threads };
        let (engine, providers) = (Engine::Pure(Pure::new(threads)), config.providers.clone());
        Self { inner: Arc::new(Inner { engine, found, providers }) }
    }

    /// Which backend is in use, and why.
    pub fn found(&self) -> &Found {
        &self.inner.found
    }

    /// Loads a model; gives what had to be left out, such as accelerators that are not there.
    pub(super) fn load(&self, bytes: &[u8], graph: &Graph) -> Result<(Box<dyn Backend>, Vec<String>)> {
        match &self.inner.engine {
            Engine::Native(native) => native.session(bytes, graph, &self.inner.providers),
            Engine::Pure(pure) => {
                let left =
                    self.inner.providers.iter().map(|p| format!("{p:?} needs the native ONNX Runtime"));
                Ok((pure.model(bytes, graph)?, left.collect()))
            }
        }
    }
}

/// The library that configuration or environment name.
fn asked_for(config: &RuntimeConfig) -> Option<Candidate> {
    if let Some(path) = &config.library {
        return Some(Candidate { path: path.clone(), why: "configuration (models.library)".to_owned() });
    }
    find::VARIABLES.iter().find_map(|variable| {
        let path = std::env::var_os(variable).filter(|v| !v.is_empty())?;
        Some(Candidate { path: Path::new(&path).to_path_buf(), why: format!("environment ({variable})") })
    })
}
