//! The backend that is always there: rten, in pure Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ndarray::ArrayViewD;
use rten::{Model as RtenModel, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{Tensor as RtenTensor, TensorView as RtenTensorView};

use super::{Backend, Element, Graph};
use crate::model::Tensor;
use crate::{Error, ErrorKind, Result};

/// The threads that its models share.
pub(super) struct Pure {
    threads: Arc<ThreadPool>,
}

impl Pure {
    pub(super) const NAME: &'static str = "rten 0.27 (pure Rust)";

    pub(super) fn new(threads: usize) -> Self {
        Self { threads: Arc::new(ThreadPool::with_num_threads(threads)) }
    }

    pub(super) fn model(&self, bytes: &[u8], graph: &Graph) -> Result<Box<dyn Backend>> {
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            let mut options = ModelOptions::with_all_ops();
            options.prepack_weights(true);
            options.load(bytes.to_vec())
        }));
        let model = match loaded {
            Ok(Ok(model)) => model,
            Ok(Err(error)) => return Err(refused(error.to_string())),
            Err(_) => return Err(refused("it broke off while reading the model".to_owned())),
        };
        let node = |name: &str| model.node_id(name).map_err(|e| refused(e.to_string()));
        let inputs: Vec<(NodeId, Element)> =
            graph.inputs.iter().map(|port| Ok((node(&port.name)?, port.element))).collect::<Result<_>>()?;
        let outputs: Vec<(NodeId, String)> = graph
            .outputs
            .iter()
            .map(|port| Ok((node(&port.name)?, port.name.clone())))
            .collect::<Result<_>>()?;
        Ok(Box::new(PureModel { model, inputs, outputs, threads: self.threads.clone() }))
    }
}

struct PureModel {
    model: RtenModel,
    inputs: Vec<(NodeId, Element)>,
    outputs: Vec<(NodeId, String)>,
    threads: Arc<ThreadPool>,
}

impl Backend for PureModel {
    fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<Vec<Tensor>> {
        let values = self.inputs.iter().zip(inputs);
        let values = values.map(|((id, element), tensor)| (*id, value(*element, tensor))).collect();
        let ids: Vec<NodeId> = self.outputs.iter().map(|(id, _)| *id).collect();
        let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        let ran = catch_unwind(AssertUnwindSafe(|| self.model.run(values, &ids, Some(options))));
        let outputs = match ran {
            Ok(Ok(outputs)) => outputs,
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("it broke off in the middle".to_owned())),
        };
        outputs.into_iter().zip(&self.outputs).map(|(value, (_, name))| tensor(value, name)).collect()
    }
}

fn value<'a>(element: Element, tensor: &'a ArrayViewD<'_, f32>) -> ValueOrView<'a> {
    let shape = tensor.shape();
    let numbers = tensor.iter().copied();
    match element {
        Element::U8 => {
            let data = numbers.map(|x| x.round() as u8).collect::<Vec<_>>();
            Value::from(RtenTensor::from_data(shape, data)).into()
        }
        // rten keeps 64-bit integers in 32 bits.
        Element::I32 | Element::I64 => {
            let data = numbers.map(|x| x.round() as i32).collect::<Vec<_>>();
            Value::from(RtenTensor::from_data(shape, data)).into()
        }
        _ => match tensor.as_slice() {
            Some(data) => RtenTensorView::from_data(shape, data).into(),
            None => Value::from(RtenTensor::from_data(shape, numbers.collect::<Vec<f32>>())).into(),
        },
    }
}

fn tensor(value: Value, name: &str) -> Result<Tensor> {
    fn make<T: Copy>(tensor: &RtenTensor<T>, convert: impl Fn(T) -> f32) -> Option<Tensor> {
        Tensor::from_shape_vec(tensor.shape().to_vec(), tensor.iter().map(|x| convert(*x)).collect()).ok()
    }
    let made = match value {
        Value::FloatTensor(t) => make(&t, |x| x),
        Value::Int32Tensor(t) => make(&t, |x| x as f32),
        Value::Int8Tensor(t) => make(&t, f32::from),
        Value::UInt8Tensor(t) => make(&t, f32::from),
        _ => None,
    };
    made.ok_or_else(|| super::no_numbers(name))
}

const REMEDY: &str = "install the native ONNX Runtime (pip install onnxruntime, or name a libonnxruntime in \
                      CLIPCORE_ONNXRUNTIME): it knows operators that the backend in pure Rust lacks";

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Unsupported, "the backend in pure Rust does not take the model")
        .with_context("why", why)
        .with_hint(REMEDY)
}

fn failed(why: String) -> Error {
    Error::new(ErrorKind::Unsupported, "the backend in pure Rust could not run the model")
        .with_context("why", why)
        .with_hint(REMEDY)
}
