//! Models: the one seam for inference, and ONNX behind it.
//!
//! A detector holds no model. It asks for one by name ([`Output::request`](crate::detector::Output::request)), a
//! [`ModelRegistry`] finds it, and the answer comes back to [`Detector::resolve`](crate::detector::Detector::resolve).
//! Whatever implements [`Model`] can stand there: an ONNX file ([`OnnxModel`], feature `onnx`), a remote server, a
//! Python callable, speech-to-text.
//!
//! # For implementors
//! Implement [`Model`]. Wrap it in [`Batched`] where the model gains from seeing several streams' inputs at once.

mod batched;
#[cfg(feature = "onnx")]
pub mod card;
#[cfg(feature = "onnx")]
mod embedded;
#[cfg(feature = "onnx")]
pub mod front_end;
pub mod image;
#[cfg(feature = "onnx")]
mod onnx;
mod registry;
#[cfg(feature = "onnx")]
mod store;
mod tensors;

pub use batched::Batched;
#[cfg(feature = "onnx")]
pub use onnx::{
    BackendChoice, Dim, Element, Found, Graph, OnnxModel, Port, Provider, Runtime, RuntimeConfig, Tried,
};
pub use registry::{ModelRegistry, Request, Response};
#[cfg(feature = "onnx")]
pub use store::{ModelFile, ModelStore, StoredModel};
pub use tensors::{Tensor, Tensors};

use crate::Result;

/// Something that turns numbers into numbers, batch by batch.
///
/// # Contract
/// `infer` may block and is called from worker threads, never from a reactor. It answers one output
/// for each input, in order; batches may mix streams, so it keeps no state between calls: a recurrent model's
/// state is one of its inputs and outputs.
pub trait Model: Send + Sync {
    /// The name that detectors ask for.
    fn name(&self) -> &str;

    /// Answers a batch.
    ///
    /// # Errors
    /// Any; the detectors concerned go without an answer, and the stream goes on.
    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>>;
}
