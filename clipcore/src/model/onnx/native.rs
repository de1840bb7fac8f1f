//! The native ONNX Runtime, loaded while running.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ndarray::ArrayViewD;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::ep::ExecutionProviderDispatch;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, TensorRef};

use super::{Backend, Element, Graph, Port, Provider};
use crate::model::Tensor;
use crate::{Error, ErrorKind, Result};

/// The library and its one environment.
#[derive(Debug)]
pub(super) struct Native {
    env: Environment,
    path: PathBuf,
    threads: usize,
}

static LOADED: OnceLock<Native> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Native {
    /// Loads the library, or gives the one that is loaded where it is the same; else what is wrong with it.
    pub(super) fn load(path: &Path, threads: usize) -> Result<&'static Self, String> {
        // An absolute path: the loader would search a relative one beside the program.
        let path = path.canonicalize().map_err(|e| format!("{e}"))?;
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = LOADED.get() {
            return if loaded.path == path {
                Ok(loaded)
            } else {
                Err(format!("this process has loaded {} already", loaded.path.display()))
            };
        }
        // A damaged library may panic inside the bindings, not only fail.
        let env = std::panic::catch_unwind(|| environment(&path, threads))
            .unwrap_or_else(|_| Err("it is not a usable ONNX Runtime".to_owned()))?;
        Ok(LOADED.get_or_init(|| Self { env, path, threads }))
    }

    /// The library that this process has loaded.
    pub(super) fn loaded() -> Option<PathBuf> {
        LOADED.get().map(|native| native.path.clone())
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// The library's version, from the name of its file where that has one.
    pub(super) fn version(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let version = name.split_once(".so.").map(|(_, v)| v.to_owned());
        version.unwrap_or_else(|| name.into_owned())
    }

    /// A session on the first provider that takes the model; the processor is the last.
    pub(super) fn session(
        &self,
        bytes: &[u8],
        graph: &Graph,
        providers: &[Provider],
    ) -> Result<(Box<dyn Backend>, Vec<String>)> {
        let mut left_out = Vec::new();
        for provider in providers {
            let session = match dispatch(*provider) {
                Some(dispatch) => self.commit(bytes, Some(dispatch)),
                None => {
                    Err(format!("clipcore was built without the feature onnx-{provider:?}").to_lowercase())
                }
            };
            match session {
                Ok(session) => return Ok((Box::new(NativeModel::new(session, graph)), left_out)),
                Err(why) => left_out.push(format!("{provider:?} is not used: {why}")),
            }
        }
        let session = self.commit(bytes, None).map_err(|why| {
            Error::new(ErrorKind::Unsupported, "ONNX Runtime does not take the model")
                .with_context("runtime", self.version())
                .with_context("why", why)
                .with_hint("update onnxruntime, or export the model again with an older operator set")
        })?;
        Ok((Box::new(NativeModel::new(session, graph)), left_out))
    }

    fn commit(&self, bytes: &[u8], provider: Option<ExecutionProviderDispatch>) -> Result<Session, String> {
        let text = |e: ort::Error<SessionBuilder>| e.to_string();
        let mut builder = Session::builder(&self.env).map_err(|e| e.to_string())?;
        builder = builder.with_log_level(LogLevel::Fatal).map_err(text)?;
        if let Some(provider) = provider {
            builder = builder.with_execution_providers([provider.error_on_failure()]).map_err(text)?;
        }
        builder.commit_from_memory(bytes).map_err(|e| e.to_string())
    }
}

fn environment(path: &Path, threads: usize) -> Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|e| e.to_string())?;
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(threads)
        .and_then(|pool| pool.with_inter_threads(1))
        // Threads that spin while nothing is to do would take the processor from everything else.
        .and_then(|pool| pool.with_spin_control(false))
        .map_err(|e| e.to_string())?;
    let env = builder
        .with_name("clipcore")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .build()
        .map_err(|e| e.to_string())?;
    env.set_log_level(LogLevel::Fatal);
    Ok(env)
}

/// The provider, where this build knows it.
fn dispatch(provider: Provider) -> Option<ExecutionProviderDispatch> {
    match provider {
        #[cfg(feature = "onnx-cuda")]
        Provider::Cuda => Some(ort::ep::CUDA::default().build()),
        #[cfg(feature = "onnx-tensorrt")]
        Provider::Tensorrt => Some(ort::ep::TensorRT::default().build()),
        #[cfg(feature = "onnx-coreml")]
        Provider::Coreml => Some(ort::ep::CoreML::default().build()),
        #[cfg(feature = "onnx-directml")]
        Provider::Directml => Some(ort::ep::DirectML::default().build()),
        #[cfg(feature = "onnx-openvino")]
        Provider::Openvino => Some(ort::ep::OpenVINO::default().build()),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

struct NativeModel {
    // A run needs the session for itself; its threads are the pool's, so waiting costs nothing.
    session: Mutex<Session>,
    inputs: Vec<Port>,
    outputs: Vec<String>,
}

impl NativeModel {
    fn new(session: Session, graph: &Graph) -> Self {
        let outputs = graph.outputs.iter().map(|port| port.name.clone()).collect();
        Self { session: Mutex::new(session), inputs: graph.inputs.clone(), outputs }
    }
}

impl Backend for NativeModel {
    fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<Vec<Tensor>> {
        let values = self
            .inputs
            .iter()
            .zip(inputs)
            .map(|(port, tensor)| Ok((port.name.as_str(), value(port.element, tensor).map_err(failed)?)));
        let values: Vec<(&str, SessionInputValue<'_>)> = values.collect::<Result<_>>()?;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(values).map_err(failed)?;
        self.outputs
            .iter()
            .map(|name| {
                let output = outputs.get(name).ok_or_else(|| {
                    Error::new(ErrorKind::Internal, format!("the runtime left out the output {name:?}"))
                })?;
                tensor(output, name)
            })
            .collect()
    }
}

fn value<'a>(element: Element, tensor: &'a ArrayViewD<'_, f32>) -> ort::Result<SessionInputValue<'a>> {
    let shape: Vec<i64> = tensor.shape().iter().map(|d| *d as i64).collect();
    let numbers = tensor.iter().copied();
    Ok(match element {
        Element::U8 => {
            let data: Vec<u8> = numbers.map(|x| x.round() as u8).collect();
            OrtTensor::from_array((shape, data))?.into()
        }
        Element::I32 => {
            let data: Vec<i32> = numbers.map(|x| x.round() as i32).collect();
            OrtTensor::from_array((shape, data))?.into()
        }
        Element::I64 => {
            let data: Vec<i64> = numbers.map(|x| x.round() as i64).collect();
            OrtTensor::from_array((shape, data))?.into()
        }
        _ => match tensor.as_slice() {
            Some(data) => TensorRef::from_array_view((shape, data))?.into(),
            None => OrtTensor::from_array((shape, numbers.collect::<Vec<f32>>()))?.into(),
        },
    })
}

fn tensor(value: &DynValue, name: &str) -> Result<Tensor> {
    fn make<T: Copy>(shape: &[i64], data: &[T], convert: impl Fn(T) -> f32) -> Option<Tensor> {
        let shape: Vec<usize> = shape.iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
        Tensor::from_shape_vec(shape, data.iter().map(|x| convert(*x)).collect()).ok()
    }
    let made = if let Ok((shape, data)) = value.try_extract_tensor::<f32>() {
        make(shape, data, |x| x)
    } else if let Ok((shape, data)) = value.try_extract_tensor::<i64>() {
        make(shape, data, |x| x as f32)
    } else if let Ok((shape, data)) = value.try_extract_tensor::<i32>() {
        make(shape, data, |x| x as f32)
    } else if let Ok((shape, data)) = value.try_extract_tensor::<u8>() {
        make(shape, data, f32::from)
    } else {
        None
    };
    made.ok_or_else(|| super::no_numbers(name))
}

fn failed<T>(error: ort::Error<T>) -> Error {
    Error::new(ErrorKind::Unsupported, "ONNX Runtime could not run the model")
        .with_context("why", error.to_string())
}
