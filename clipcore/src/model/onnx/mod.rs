//! ONNX models on either of two backends: the native ONNX Runtime where its library is found, else pure Rust.

mod find;
mod graph;
mod guard;
mod model;
mod native;
mod pure;
mod runtime;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod wire;

pub use graph::{Dim, Element, Graph, Port};
pub(super) use guard::signature;
pub use model::OnnxModel;
pub(super) use model::read;
pub use runtime::{BackendChoice, Found, Provider, Runtime, RuntimeConfig, Tried};

use ndarray::ArrayViewD;

use super::Tensor;
use crate::{Error, ErrorKind, Result};

/// A loaded model, as a backend holds it.
trait Backend: Send + Sync {
    /// Runs whole inputs, in the graph's order, and gives all outputs, in the graph's order.
    fn run(&self, inputs: &[ArrayViewD<'_, f32>]) -> Result<Vec<Tensor>>;
}

fn no_numbers(output: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the model's output {output:?} holds no numbers")).with_hint(
        "clipcore takes tensors of float32, uint8, int32 or int64; export the model without the last step",
    )
}
