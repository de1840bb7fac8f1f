//! What user code raised: the stream goes on, and whoever started it is told.

use std::sync::{Mutex, PoisonError};

use clipcore::{StreamId, Timestamp};
use pyo3::prelude::*;

/// One detector that was switched off.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) detector: String,
    pub(crate) stream: StreamId,
    pub(crate) at: Timestamp,
    pub(crate) raised: PyErr,
}

/// A fault as Python has it: detector, stream, instant, exception.
pub(crate) type Failure = (String, String, f64, Py<PyAny>);

type Told = Box<dyn Fn(Fault) + Send + Sync>;

/// Where detectors report; by default they are kept until somebody takes them.
#[derive(Default)]
pub(crate) struct Faults {
    kept: Mutex<Vec<Fault>>,
    told: Option<Told>,
}

impl Faults {
    /// Hands each fault over at once.
    pub(crate) fn telling(told: impl Fn(Fault) + Send + Sync + 'static) -> Self {
        Self { kept: Mutex::default(), told: Some(Box::new(told)) }
    }

    pub(super) fn add(&self, fault: Fault) {
        match &self.told {
            Some(told) => told(fault),
            None => self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(fault),
        }
    }

    /// Takes out what was kept.
    pub(crate) fn take(&self, py: Python<'_>) -> Vec<Failure> {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.into_iter().map(|fault| fault.into_parts(py)).collect()
    }
}

impl Fault {
    pub(crate) fn into_parts(self, py: Python<'_>) -> Failure {
        let at = self.at.as_secs_f64();
        (self.detector, self.stream.to_string(), at, self.raised.into_value(py).into_any())
    }
}
