//! Where a detector in Python puts what it found.

use std::sync::{Mutex, MutexGuard, PoisonError};

use clipcore::Timestamp;
use clipcore::detector::{DetectorInfo, Output};
use clipcore::model::Tensors;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::error::OrRaise;
use crate::tensors;

struct Found {
    label: String,
    at: Timestamp,
    onset: Timestamp,
    score: f64,
}

struct Asked {
    model: String,
    tag: u64,
    at: Timestamp,
    input: Tensors,
}

#[derive(Default)]
struct State {
    /// The instant that signals are about unless they say otherwise; `None` between calls.
    now: Option<(Timestamp, Timestamp)>,
    found: Vec<Found>,
    asked: Vec<Asked>,
}

/// See `_clipcore.pyi`.
#[pyclass(frozen, name = "Output", module = "clipcore")]
pub(crate) struct PyOutput {
    labels: Vec<String>,
    state: Mutex<State>,
}

impl PyOutput {
    pub(crate) fn new(labels: Vec<String>) -> Self {
        Self { labels, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens for a call: signals are about `at` unless they say otherwise, and lie at `reached` at the latest.
    pub(super) fn open(&self, at: Timestamp, reached: Timestamp) {
        self.lock().now = Some((at, reached));
    }

    /// Closes after a call and hands over what came.
    pub(super) fn close(&self, out: &mut Output) {
        let State { found, asked, .. } = std::mem::take(&mut *self.lock());
        for f in found {
            out.signal(&f.label, f.at, f.onset, f.score);
        }
        for a in asked {
            out.request(&a.model, a.tag, a.at, a.input);
        }
    }

    /// Closes after a call that failed: what came of it does not count.
    pub(super) fn discard(&self) {
        *self.lock() = State::default();
    }
}

#[pymethods]
impl PyOutput {
    #[pyo3(signature = (label, score, *, at = None, onset = None))]
    fn signal(
        &self,
        py: Python<'_>,
        label: &str,
        score: f64,
        at: Option<f64>,
        onset: Option<f64>,
    ) -> PyResult<()> {
        let mut state = self.lock();
        let (now, reached) = state.now.ok_or_else(closed)?;
        if !self.labels.iter().any(|l| l == label || l == DetectorInfo::ANY_LABEL) {
            return Err(PyValueError::new_err(format!(
                "the label {label:?} is not among the detector's labels {:?}",
                self.labels
            )));
        }
        let instant = |secs: f64| Timestamp::try_from_secs_f64(secs).or_raise(py);
        let at = at.map_or(Ok(now), instant)?;
        if at > reached {
            return Err(PyValueError::new_err(format!(
                "a signal at {at} lies in the future: time has come to {reached}; keep it until advance()"
            )));
        }
        let onset = onset.map_or(Ok(at), instant)?.min(at);
        state.found.push(Found { label: label.to_owned(), at, onset, score });
        Ok(())
    }

    #[pyo3(signature = (model, input, *, tag = 0, at = None))]
    fn request(&self, model: &str, input: &Bound<'_, PyAny>, tag: u64, at: Option<f64>) -> PyResult<()> {
        let py = input.py();
        // Reading the input may run Python code, which may come back here.
        let input = tensors::from_python(input)?;
        let at = at.map(|secs| Timestamp::try_from_secs_f64(secs).or_raise(py)).transpose()?;
        let mut state = self.lock();
        let (now, _) = state.now.ok_or_else(closed)?;
        state.asked.push(Asked { model: model.to_owned(), tag, at: at.unwrap_or(now), input });
        Ok(())
    }
}

fn closed() -> PyErr {
    PyRuntimeError::new_err("this output belongs to a call that has returned")
}
