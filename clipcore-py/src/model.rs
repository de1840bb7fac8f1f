//! A model in Python behind the library's one seam for inference.

use std::sync::Arc;

use clipcore::model::{Batched, Model, ModelRegistry, Tensors};
use clipcore::{Error, ErrorKind, Result};
use clipcore_cli::models::Models;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::error::from_python;
use crate::gate;
use crate::tensors;

/// Inputs of several streams that go through a model at once, unless it says otherwise.
const BATCH: usize = 16;

struct PyModel {
    name: String,
    object: Py<PyAny>,
}

impl Model for PyModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        gate::attach(|py| {
            self.call(py, batch)
                .map_err(|raised| from_python(py, format!("model {} has failed", self.name), raised))
        })
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Cancelled, "the interpreter is shutting down")))
    }
}

impl PyModel {
    fn call(&self, py: Python<'_>, batch: &[Tensors]) -> PyResult<Vec<Tensors>> {
        let items = batch.iter().map(|item| tensors::to_python(py, item)).collect::<PyResult<Vec<_>>>()?;
        let answers =
            self.object.bind(py).call_method1(pyo3::intern!(py, "infer"), (PyList::new(py, items)?,))?;
        answers.try_iter()?.map(|answer| tensors::from_python(&answer?)).collect()
    }
}

/// Adds models from Python to those of a run.
pub(crate) fn add(models: &mut Models, more: impl IntoIterator<Item = Arc<dyn Model>>) {
    for model in more {
        models.registry = std::mem::take(&mut models.registry).with_model(model);
    }
}

/// The models of a call, each with batching across streams.
pub(crate) fn models(list: &Bound<'_, PyAny>) -> PyResult<Vec<Arc<dyn Model>>> {
    let mut models: Vec<Arc<dyn Model>> = Vec::new();
    for object in list.try_iter()? {
        let object = object?;
        let name: String = object.getattr("name")?.extract()?;
        let limit = match object.getattr_opt("max_batch")? {
            Some(limit) => limit.extract()?,
            None => BATCH,
        };
        let model = PyModel { name, object: object.unbind() };
        models.push(Arc::new(Batched::new(Arc::new(model), limit)));
    }
    Ok(models)
}

/// Those, to be found by name.
pub(crate) fn registry(list: &Bound<'_, PyAny>) -> PyResult<ModelRegistry> {
    Ok(models(list)?.into_iter().fold(ModelRegistry::default(), ModelRegistry::with_model))
}
