use std::sync::Arc;

use clipcore::detector::{DetectorInfo, DynDetector, Output};
use clipcore::event::media::Audio16k;
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::model::Response;
use clipcore::{Error, ErrorKind, Result, StreamId, Timestamp};
use pyo3::prelude::*;
use serde_json::{Value, json};

use super::faults::Fault;
use super::spec::Inner;
use super::windows::Windows;
use super::{PyEvent, PyOutput};
use crate::error::from_python;
use crate::gate;
use crate::tensors;

/// A detector whose decisions are made in Python. The interpreter's lock is held inside its methods only.
///
/// Where user code raises, the detector is off from then on: its stream goes on without it, and the exception goes to
/// whoever started the work.
pub(crate) struct PyDetector {
    spec: Arc<Inner>,
    stream: StreamId,
    object: Py<PyAny>,
    output: Py<PyOutput>,
    windows: Option<Windows>,
    /// The latest instant that it was advanced to.
    reached: Timestamp,
    off: bool,
}

impl PyDetector {
    pub(super) fn new(py: Python<'_>, spec: Arc<Inner>, stream: StreamId, object: Py<PyAny>) -> Result<Self> {
        let windows = spec.window.map(|(window, hop)| Windows::new(window, hop)).transpose()?;
        let output = Py::new(py, PyOutput::new(spec.labels.clone()))
            .map_err(|raised| from_python(py, "no output can be made", raised))?;
        Ok(Self { spec, stream, object, output, windows, reached: Timestamp::MIN, off: false })
    }

    /// Calls into user code: signals are about `at` unless they say otherwise.
    fn call(
        &mut self,
        at: Timestamp,
        out: &mut Output,
        work: impl FnOnce(Python<'_>, &Bound<'_, PyAny>, &Py<PyOutput>) -> PyResult<()>,
    ) {
        if self.off {
            return;
        }
        // An interpreter that is shutting down takes no more calls.
        let called = gate::attach(|py| {
            let output = self.output.get();
            output.open(at, at.max(self.reached));
            match work(py, self.object.bind(py), &self.output) {
                Ok(()) => {
                    output.close(out);
                    None
                }
                Err(raised) => {
                    output.discard();
                    Some(raised)
                }
            }
        });
        match called {
            Some(None) => {}
            None => self.off = true,
            Some(Some(raised)) => {
                self.off = true;
                let detector = self.spec.info.name.to_string();
                self.spec.faults.add(Fault { detector, stream: self.stream.clone(), at, raised });
            }
        }
    }

    fn detect(&mut self, event: AnyEvent, at: Timestamp, out: &mut Output) {
        self.call(at, out, |py, object, output| {
            let event = Py::new(py, PyEvent::new(event))?;
            object.call_method1(pyo3::intern!(py, "detect"), (event, output)).map(drop)
        });
    }

    /// Shows the windows that are complete by `to`.
    fn show(&mut self, to: Timestamp, out: &mut Output) {
        while let Some((at, samples, end)) = self.windows.as_mut().and_then(|w| w.next(to)) {
            let header = Header::new(self.stream.clone(), at, "clipcore:media", "");
            self.detect(AnyEvent::local(Stamped::new(header, Audio16k { samples })), end, out);
        }
    }
}

impl DynDetector for PyDetector {
    fn info(&self) -> DetectorInfo {
        self.spec.info.clone()
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.spec.kinds.clone()
    }

    fn detect_any(&mut self, event: &AnyEvent, out: &mut Output) -> bool {
        if !self.spec.kinds.contains(&event.kind()) {
            return false;
        }
        match &mut self.windows {
            Some(windows) => windows.push(event),
            None => self.detect(event.clone(), event.at(), out),
        }
        true
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        self.reached = self.reached.max(to);
        self.show(to, out);
        if self.spec.ticks {
            self.call(to, out, |py, object, output| {
                object.call_method1(pyo3::intern!(py, "advance"), (to.as_secs_f64(), output)).map(drop)
            });
        }
    }

    fn resolve(&mut self, response: Response, out: &mut Output) {
        let Response { tag, at, output: answer } = response;
        self.call(at, out, |py, object, output| {
            let answer = tensors::to_python(py, &answer)?;
            object
                .call_method1(pyo3::intern!(py, "resolve"), (tag, at.as_secs_f64(), answer, output))
                .map(drop)
        });
    }

    fn reset(&mut self) {
        let made = gate::attach(|py| self.spec.make.call0(py));
        match made {
            Some(Ok(object)) => (self.object, self.off) = (object, false),
            Some(Err(raised)) => {
                self.off = true;
                let (detector, stream) = (self.spec.info.name.to_string(), self.stream.clone());
                self.spec.faults.add(Fault { detector, stream, at: self.reached, raised });
            }
            None => self.off = true,
        }
        self.reached = Timestamp::MIN;
        if let Some(windows) = &mut self.windows {
            windows.reset();
        }
    }

    fn snapshot(&self) -> Result<Value> {
        let windows = self.windows.as_ref().map(Windows::snapshot).transpose()?;
        let reached = self.reached.as_micros();
        if self.off {
            return Ok(json!({ "off": true, "reached_us": reached, "windows": windows }));
        }
        let text: String = attached(
            |py| {
                let state = self.object.call_method0(py, pyo3::intern!(py, "snapshot"))?;
                py.import("json")?.getattr("dumps")?.call1((state,))?.extract()
            },
            || format!("the state of detector {} cannot be taken", self.spec.info.name),
        )?;
        let state: Value = serde_json::from_str(&text)?;
        Ok(json!({ "off": false, "reached_us": reached, "windows": windows, "state": state }))
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let name = &self.spec.info.name;
        let wrong = || Error::invalid(format!("this is no state of detector {name}"));
        let parts = state.as_object().ok_or_else(wrong)?;
        let off = parts.get("off").and_then(Value::as_bool).ok_or_else(wrong)?;
        let reached = parts.get("reached_us").and_then(Value::as_i64).ok_or_else(wrong)?;
        let before = self.windows.as_ref().map(Windows::snapshot).transpose()?;
        if let Some(windows) = &mut self.windows {
            windows.restore(parts.get("windows").ok_or_else(wrong)?)?;
        }
        if !off {
            let inner = parts.get("state").ok_or_else(wrong)?.to_string();
            let restored = attached(
                |py| {
                    let state = py.import("json")?.getattr("loads")?.call1((inner,))?;
                    self.object.call_method1(py, pyo3::intern!(py, "restore"), (state,)).map(drop)
                },
                || format!("detector {name} refuses a state"),
            );
            if let Err(error) = restored {
                if let (Some(windows), Some(before)) = (&mut self.windows, &before) {
                    windows.restore(before)?;
                }
                return Err(error);
            }
        }
        (self.off, self.reached) = (off, Timestamp::from_micros(reached));
        Ok(())
    }
}

/// Runs Python code whose exceptions are errors of the call.
fn attached<T>(work: impl FnOnce(Python<'_>) -> PyResult<T>, what: impl FnOnce() -> String) -> Result<T> {
    gate::attach(|py| work(py).map_err(|raised| from_python(py, what(), raised)))
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Cancelled, "the interpreter is shutting down")))
}
