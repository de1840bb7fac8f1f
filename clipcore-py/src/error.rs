//! Errors: clipcore's own become the exceptions of `clipcore._errors`, one class a kind.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Turns a failure into a Python exception.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception that says what went wrong.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for clipcore::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error))
    }
}

impl<T> OrRaise<T> for anyhow::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| match error.downcast_ref::<clipcore::Error>() {
            Some(own) => {
                let places = error.chain().map(ToString::to_string).collect::<Vec<_>>();
                let place = (places.len() > 1 && places[0] != own.to_string()).then(|| places[0].clone());
                let raised = exception(py, own);
                if let Some(place) = place {
                    let _ = raised.value(py).call_method1("add_context", ("where", place));
                }
                raised
            }
            None => exception(py, &clipcore::Error::new(clipcore::ErrorKind::Internal, format!("{error:#}"))),
        })
    }
}

/// The exception for an error; one that came out of Python code is its cause, with its traceback.
pub(crate) fn exception(py: Python<'_>, error: &clipcore::Error) -> PyErr {
    match build(py, error) {
        Ok(raised) => {
            raised.set_cause(py, python_cause(py, error));
            raised
        }
        Err(failed) => failed,
    }
}

fn build(py: Python<'_>, error: &clipcore::Error) -> PyResult<PyErr> {
    let context = PyDict::new(py);
    for (key, value) in error.context() {
        context.set_item(*key, value)?;
    }
    let source = std::error::Error::source(error).filter(|s| s.downcast_ref::<PyErr>().is_none());
    let made = py.import("clipcore._errors")?.getattr("build")?.call1((
        error.kind().as_str(),
        error.message(),
        error.is_retryable(),
        error.operation(),
        error.hint(),
        context,
        source.map(|s| s.to_string()),
    ))?;
    Ok(PyErr::from_value(made))
}

/// The exception inside an error, where Python code raised it.
fn python_cause(py: Python<'_>, error: &clipcore::Error) -> Option<PyErr> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(raised) = inner.downcast_ref::<PyErr>() {
            return Some(raised.clone_ref(py));
        }
        source = inner.source();
    }
    None
}

/// An exception of user code as an error of clipcore, which keeps it.
pub(crate) fn from_python(
    py: Python<'_>,
    what: impl Into<std::borrow::Cow<'static, str>>,
    raised: PyErr,
) -> clipcore::Error {
    let value = raised.value(py);
    let read = |name: &str| value.getattr(name).ok().and_then(|v| v.extract::<bool>().ok());
    let transient = value.is_instance_of::<pyo3::exceptions::PyConnectionError>()
        || value.is_instance_of::<pyo3::exceptions::PyTimeoutError>();
    let retryable = read("retryable").unwrap_or(transient);
    clipcore::Error::new(clipcore::ErrorKind::Internal, what).with_retryable(retryable).with_source(raised)
}
