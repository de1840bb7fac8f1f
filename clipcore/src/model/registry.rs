use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{Model, Tensors};
use crate::{Error, ErrorKind, Result, Timestamp};

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
    pub input: Tensors,
}

/// What a model answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// The mark of the request.
    pub tag: u64,
    /// The instant asked about.
    pub at: Timestamp,
    /// The model's output.
    pub output: Tensors,
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
    pub fn infer(&self, requests: Vec<Request>) -> Result<Vec<Response>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while let Some(first) = requests.next() {
            let name = first.model.clone();
            let model = self.models.get(&name).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("no model named {name:?} is registered"))
                    .with_hint("register it with PipelineBuilder::with_model")
            })?;
            let (mut marks, mut inputs) = (vec![(first.tag, first.at)], vec![first.input]);
            while let Some(next) = requests.next_if(|next| next.model == name) {
                marks.push((next.tag, next.at));
                inputs.push(next.input);
            }
            let outputs = model.infer(&inputs)?;
            if outputs.len() != inputs.len() {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("model {name:?} answered {} outputs to {} inputs", outputs.len(), inputs.len()),
                ));
            }
            answers.extend(marks.into_iter().zip(outputs).map(|((tag, at), output)| Response {
                tag,
                at,
                output,
            }));
        }
        Ok(answers)
    }
}
