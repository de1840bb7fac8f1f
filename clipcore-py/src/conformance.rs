//! The library's test kit, for detectors in Python.

use std::sync::Arc;

use clipcore::conformance::{cases, detector};
use clipcore::event::{AnyEvent, Header, Kinds};
use clipcore::{Result, StreamId, Timestamp};
use pyo3::prelude::*;

use crate::detached::detached;
use crate::detector::{Failure, Faults, local, specs};
use crate::error::OrRaise;
use crate::model;

/// Checks one detector; `events` holds lines of JSON, and `(kind, at, rate, array)` for sound and pictures.
#[pyfunction]
pub(crate) fn check_detector(
    py: Python<'_>,
    spec: &Bound<'_, PyAny>,
    models: &Bound<'_, PyAny>,
    events: Option<Vec<Bound<'_, PyAny>>>,
    seed: u64,
) -> PyResult<Vec<Failure>> {
    let faults = Arc::new(Faults::default());
    let spec = specs(&(spec,).into_pyobject(py)?.into_any(), &faults)?.remove(0);
    let models = model::registry(models)?;
    let events = match events {
        Some(given) => given.iter().enumerate().map(|(n, e)| event(e, n)).collect::<PyResult<Vec<_>>>()?,
        None => made(seed),
    };
    // The kit makes detectors without a way to say why one cannot be made.
    spec.make(&cases::stream()).or_raise(py)?;
    let checked = detached(py, None, |_| -> Result<()> {
        let make = || spec.make(&cases::stream()).unwrap_or_else(|e| panic!("{e}"));
        detector::check_with_models(make, &events, &models)
    });
    let raised = faults.take(py);
    if raised.is_empty() {
        checked?;
    }
    Ok(raised)
}

/// Every kind of event and of sound, in order of time.
fn made(seed: u64) -> Vec<AnyEvent> {
    let mut all = [cases::events(seed), cases::audio(seed), cases::audio_16k(seed)].concat();
    all.sort_by_key(AnyEvent::at);
    all
}

fn event(given: &Bound<'_, PyAny>, n: usize) -> PyResult<AnyEvent> {
    let py = given.py();
    if let Ok(line) = given.extract::<String>() {
        let incoming = Kinds::builtin().parse(line.as_bytes()).or_raise(py)?;
        return incoming.with_default_stream(&cases::stream()).resolve(&mut |_| None).or_raise(py);
    }
    let (kind, at, rate, data): (String, f64, u32, Bound<'_, PyAny>) = given.extract()?;
    let stream: StreamId = cases::stream();
    let header = Header::new(
        stream,
        Timestamp::try_from_secs_f64(at).or_raise(py)?,
        "conformance",
        format!("c{n:06}"),
    );
    local(header, &kind, &data, rate)
}
