use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result, Timestamp};

/// A dense block of numbers, the currency of models.
pub type Tensor = ndarray::ArrayD<f32>;

/// The one seam for inference: ONNX, a remote server, a Python callable, speech-to-text.
///
/// # Contract
/// `infer` may block and is called from worker threads, never from a reactor. It answers one output
/// for each input, in order; batches may mix streams, so it keeps no state between calls.
pub trait Model: Send + Sync {
    /// The name that detectors ask for.
    fn name(&self) -> &str;

    /// Answers a batch.
    ///
    /// # Errors
    /// Any; the detectors concerned go without an answer, and the stream goes on.
    fn infer(&self, batch: &[Tensor]) -> Result<Vec<Tensor>>;
}

/// What a detector asks of a model.
#[derive(Debug, Clone)]
pub struct Request {
    /// The model's name.
    pub model: Arc<str>,
    /// The detector's own mark, given back with the answer.
    pub tag: u64,
    /// The instant asked about.
    pub at: Timestamp,
    /// The model's input.
    pub input: Tensor,
}

/// What a model answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The mark of the request.
    pub tag: u64,
    /// The instant asked about.
    pub at: Timestamp,
    /// The model's output.
    pub output: Tensor,
}

/// The models that a pipeline can ask.
#[derive(Clone, Default)]
pub struct ModelRegistry {
    models: HashMap<Arc<str>, Arc<dyn Model>>,
}

impl fmt::Debug for ModelRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.models.keys()).finish()
    }
}

impl ModelRegistry {
    /// Adds a model under its own name; one of the same name is replaced.
    #[must_use]
    pub fn with_model(mut self, model: Arc<dyn Model>) -> Self {
        self.models.insert(model.name().into(), model);
        self
    }

    /// Answers requests in their order.
    ///
    /// # Errors
    /// `NotFound` for a model that is not registered; whatever the model says; `Internal` where it
    /// answers a different number of outputs than it was asked.
    pub fn infer(&self, requests: &[Request]) -> Result<Vec<Response>> {
        let mut answers = Vec::with_capacity(requests.len());
        for group in requests.chunk_by(|a, b| a.model == b.model) {
            let name = &group[0].model;
            let model = self.models.get(name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("no model named {name:?} is registered"))
                    .with_hint("register it with PipelineBuilder::with_model")
            })?;
            let inputs: Vec<Tensor> = group.iter().map(|r| r.input.clone()).collect();
            let outputs = model.infer(&inputs)?;
            if outputs.len() != group.len() {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("model {name:?} answered {} outputs to {} inputs", outputs.len(), group.len()),
                ));
            }
            answers.extend(group.iter().zip(outputs).map(|(r, output)| Response {
                tag: r.tag,
                at: r.at,
                output,
            }));
        }
        Ok(answers)
    }
}
