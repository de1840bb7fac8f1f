//! An event as Python code sees it.

use clipcore::event::AnyEvent;
use clipcore::event::media::{Audio16k, AudioWindow, VideoFrame};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyType};

use super::media::{PyAudio16k, PyAudioWindow, PyVideoFrame};
use crate::error::OrRaise;

/// See `_clipcore.pyi`.
#[pyclass(frozen, name = "Event", module = "clipcore")]
pub(crate) struct PyEvent {
    event: AnyEvent,
    data: PyOnceLock<Py<PyAny>>,
}

impl PyEvent {
    pub(crate) fn new(event: AnyEvent) -> Self {
        Self { event, data: PyOnceLock::new() }
    }

    fn payload(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (event, at) = (&self.event, self.event.at());
        if let Some(window) = event.payload::<Audio16k>() {
            return Ok(Py::new(py, PyAudio16k::new(window.clone(), at))?.into_any());
        }
        if let Some(window) = event.payload::<AudioWindow>() {
            return Ok(Py::new(py, PyAudioWindow::new(window.clone(), at))?.into_any());
        }
        if let Some(frame) = event.payload::<VideoFrame>() {
            return Ok(Py::new(py, PyVideoFrame::new(frame.clone()))?.into_any());
        }
        static PARSE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let parse = PARSE.get_or_try_init(py, || {
            Ok::<_, PyErr>(py.import("clipcore.events")?.getattr("_payload")?.unbind())
        })?;
        let json = event.data_json().transpose().or_raise(py)?.unwrap_or_default().to_string();
        parse.call1(py, (event.kind(), json))
    }
}

#[pymethods]
impl PyEvent {
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        cls.py().import("types")?.getattr("GenericAlias")?.call1((cls, item))
    }

    #[getter]
    fn id(&self) -> &str {
        &self.event.header().id
    }

    #[getter]
    fn source(&self) -> &str {
        &self.event.header().source
    }

    #[getter]
    fn stream(&self) -> &str {
        self.event.stream().as_str()
    }

    #[getter]
    fn camera(&self) -> Option<&str> {
        self.event.header().camera.as_ref().map(|c| c.as_str())
    }

    #[getter]
    fn at(&self) -> f64 {
        self.event.at().as_secs_f64()
    }

    #[getter]
    fn time(&self) -> Option<String> {
        self.event.header().time.map(|t| t.to_string())
    }

    #[getter]
    fn kind(&self) -> &str {
        self.event.kind()
    }

    #[getter]
    fn data(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.data.get_or_try_init(py, || self.payload(py))?.clone_ref(py))
    }

    fn __repr__(&self) -> String {
        format!("Event(kind={:?}, stream={:?}, at={:.3})", self.kind(), self.stream(), self.at())
    }
}
