//! What Python says about a detector, once, before any stream has one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clipcore::detector::{DetectorInfo, DynDetector};
use clipcore::event::Event;
use clipcore::event::media::{Audio16k, AudioWindow, VideoFrame};
use clipcore::{Consent, Error, ErrorKind, Result, StreamId};
use pyo3::prelude::*;

use super::{Faults, PyDetector};
use crate::error::{OrRaise, from_python};
use crate::gate;

/// As `clipcore._detector.Spec` has it.
#[derive(FromPyObject)]
struct Raw {
    name: String,
    version: u32,
    labels: Vec<String>,
    max_lateness: f64,
    needs: String,
    kinds: Vec<String>,
    window: Option<f64>,
    hop: Option<f64>,
    ticks: bool,
    make: Py<PyAny>,
}

/// Makes one detector for each stream.
#[derive(Clone)]
pub(crate) struct Spec(Arc<Inner>);

pub(super) struct Inner {
    pub(super) info: DetectorInfo,
    pub(super) kinds: Vec<&'static str>,
    pub(super) labels: Vec<String>,
    /// Length of a window and the step from one to the next.
    pub(super) window: Option<(Duration, Duration)>,
    /// Whether it wants to be told of time.
    pub(super) ticks: bool,
    pub(super) make: Py<PyAny>,
    pub(super) faults: Arc<Faults>,
}

/// Reads the detectors of a call.
pub(crate) fn specs(list: &Bound<'_, PyAny>, faults: &Arc<Faults>) -> PyResult<Vec<Spec>> {
    list.try_iter()?.map(|spec| Spec::new(&spec?, faults.clone())).collect()
}

impl Spec {
    fn new(spec: &Bound<'_, PyAny>, faults: Arc<Faults>) -> PyResult<Self> {
        let py = spec.py();
        let raw: Raw = spec.extract()?;
        let secs = |name: &str, value: f64| {
            Duration::try_from_secs_f64(value)
                .map_err(|_| {
                    Error::config(format!("{name} of detector {:?} must be seconds from 0 up", raw.name))
                })
                .or_raise(py)
        };
        let window = match (raw.window, raw.hop) {
            (Some(window), hop) => Some((secs("window", window)?, secs("hop", hop.unwrap_or(window))?)),
            (None, _) => None,
        };
        let info = DetectorInfo {
            name: Cow::Owned(raw.name.clone()),
            version: raw.version,
            labels: raw.labels.iter().cloned().map(Cow::Owned).collect(),
            max_lateness: secs("max_lateness", raw.max_lateness)?,
            needs: raw.needs.parse::<Consent>().or_raise(py)?,
        };
        let kinds = raw.kinds.iter().map(|kind| interned(kind)).collect();
        let (labels, make, ticks) = (raw.labels, raw.make, raw.ticks);
        Ok(Self(Arc::new(Inner { info, kinds, labels, window, ticks, make, faults })))
    }

    /// Whether it takes sound or pictures, which exist only where media is read.
    pub(crate) fn is_of_media(&self) -> bool {
        let media = [Audio16k::KIND, AudioWindow::KIND, VideoFrame::KIND];
        self.0.kinds.iter().any(|kind| media.contains(kind))
    }

    /// A new detector.
    ///
    /// # Errors
    /// What the Python code raises.
    pub(crate) fn make(&self, stream: &StreamId) -> Result<Box<dyn DynDetector>> {
        let made = gate::attach(|py| {
            let object = self.0.make.call0(py).map_err(|raised| {
                from_python(py, format!("the detector {} cannot be made", self.0.info.name), raised)
            })?;
            Ok(Box::new(PyDetector::new(py, self.0.clone(), stream.clone(), object)?) as Box<dyn DynDetector>)
        });
        made.unwrap_or_else(|| Err(Error::new(ErrorKind::Cancelled, "the interpreter is shutting down")))
    }
}

/// Kinds live as long as the program; each name is kept once.
fn interned(kind: &str) -> &'static str {
    static KNOWN: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_with(HashSet::new);
    match known.get(kind) {
        Some(kind) => kind,
        None => {
            let kept: &'static str = Box::leak(kind.to_owned().into_boxed_str());
            known.insert(kept);
            kept
        }
    }
}
