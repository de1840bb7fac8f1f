use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use clipcore::pipeline::{PipelineHandle, Summary};
use clipcore::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use serde_json::json;

use super::assembly::Plan;
use super::outbox::{Item, Outbox, Read};
use super::sinks::PySink;
use super::source::PySource;
use crate::detached::STEP;
use crate::detector::{Faults, specs};
use crate::error::{OrRaise, exception};
use crate::gate;
use crate::model;
use crate::settings::Settings;

/// How long threads that wait for a pipe may hold up the end.
const LINGER: Duration = Duration::from_secs(2);

/// How often an end that is waited for is looked for.
const TURN: Duration = Duration::from_millis(5);

/// How a run went: JSON, the errors of streams, those of sinks.
type Told = (String, Vec<Py<PyAny>>, Vec<Py<PyAny>>);

/// A pipeline that runs on threads of its own. See `_clipcore.pyi`.
#[pyclass(frozen, name = "Run", module = "clipcore._clipcore")]
pub(crate) struct PyRun {
    outbox: Arc<Outbox>,
    handle: PipelineHandle,
    thread: Mutex<Option<JoinHandle<Result<Summary>>>>,
    summary: Mutex<Option<Result<Summary>>>,
    /// The process that has the threads.
    process: u32,
}

#[pymethods]
impl PyRun {
    #[new]
    #[allow(clippy::too_many_arguments)] // keyword arguments, all of them
    fn new(
        py: Python<'_>,
        settings: Settings,
        inputs: Vec<String>,
        chat: Option<PathBuf>,
        events: Option<Py<PyAny>>,
        detectors: &Bound<'_, PyAny>,
        models: &Bound<'_, PyAny>,
        sinks: Vec<(String, Py<PyAny>)>,
        signals: bool,
    ) -> PyResult<Self> {
        let outbox = Arc::new(Outbox::default());
        let told = outbox.clone();
        let faults = Arc::new(Faults::telling(move |fault| told.tell(Item::Failure(fault))));
        let detectors = specs(detectors, &faults)?;
        let models = model::models(models)?;
        let sinks = sinks.into_iter().map(|(name, call)| PySink::new(name, call)).collect();
        let events = events.map(PySource);
        let plan = |config| Plan { config, inputs, chat, events, detectors, models, sinks, signals };
        let (runtime, pipeline) = gate::detach(py, || -> Result<_> {
            let plan = plan(settings.config()?);
            if !plan.inputs.is_empty() {
                clipcore::media::ffmpeg::Ffmpeg::default().version()?;
            }
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let pipeline = runtime.block_on(plan.build(&outbox))?;
            Ok((runtime, pipeline))
        })
        .or_raise(py)?;
        let (handle, done) = (pipeline.handle(), outbox.clone());
        let thread = std::thread::Builder::new().name("clipcore-run".into()).spawn(move || {
            let summary = runtime.block_on(pipeline.run());
            runtime.shutdown_timeout(LINGER);
            done.end();
            summary
        })?;
        Ok(Self {
            outbox,
            handle,
            thread: Mutex::new(Some(thread)),
            summary: Mutex::new(None),
            process: std::process::id(),
        })
    }

    /// The next item as `(kind, …)`; `None` where there is none within `patience` seconds; `("end",)` after the last.
    fn read(&self, py: Python<'_>, patience: f64) -> PyResult<Option<(&'static str, Py<PyAny>)>> {
        self.check_process(py)?;
        let mut left = Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX);
        loop {
            match gate::detach(py, || self.outbox.read(left.min(STEP))) {
                Read::Item(item) => return told(py, item).map(Some),
                Read::End => return Ok(Some(("end", py.None()))),
                Read::Nothing if left.is_zero() => return Ok(None),
                Read::Nothing => py.check_signals()?,
            }
            left = left.saturating_sub(STEP);
        }
    }

    /// Called, from any thread, whenever there is something to read.
    fn set_waker(&self, waker: Option<Py<PyAny>>) {
        self.outbox.set_waker(waker);
    }

    /// Asks the run to end in good order; `now` does not wait for what is pending.
    fn stop(&self, now: bool) {
        if now { self.handle.abort() } else { self.handle.stop() }
    }

    /// Nothing more will be read.
    fn abandon(&self) {
        self.outbox.abandon();
    }

    /// Waits for the end, up to `patience` seconds; says whether it has come.
    fn join(&self, py: Python<'_>, patience: f64) -> PyResult<bool> {
        self.check_process(py)?;
        let mut left = Duration::try_from_secs_f64(patience).unwrap_or(Duration::MAX);
        while !self.is_finished() {
            if left.is_zero() {
                return Ok(false);
            }
            gate::detach(py, || std::thread::sleep(TURN));
            py.check_signals()?;
            left = left.saturating_sub(TURN);
        }
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let summary = gate::detach(py, || thread.join()).unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Internal, "the pipeline's thread has panicked"))
            });
            *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
        }
        Ok(true)
    }

    /// How it went, after [`join`](Self::join): JSON, and the errors of streams and sinks.
    fn summary(&self, py: Python<'_>) -> PyResult<Told> {
        let summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        let value = |error: &Error| exception(py, error).into_value(py).into_any();
        match &*summary {
            None => Err(exception(py, &Error::new(ErrorKind::Conflict, "the run has not ended yet"))),
            Some(Err(error)) if error.kind() == ErrorKind::Cancelled => {
                Ok((json!({ "streams": [], "interrupted": true }).to_string(), Vec::new(), Vec::new()))
            }
            Some(Err(error)) => Ok((
                json!({ "streams": [], "interrupted": true }).to_string(),
                vec![value(error)],
                Vec::new(),
            )),
            Some(Ok(summary)) => {
                let streams: Vec<_> = summary.streams.iter().map(|s| {
                    json!({ "stream": s.stream, "ended": s.ended, "was_ended": s.was_ended, "stats": s.stats })
                }).collect();
                let failed =
                    summary.streams.iter().filter_map(|s| s.error.as_ref().or(s.cutter_error.as_ref()));
                let undelivered = summary.streams.iter().filter_map(|s| s.delivery_error.as_ref());
                let undelivered = undelivered.chain(&summary.sink_errors);
                let text =
                    json!({ "streams": streams, "interrupted": self.handle.is_stopping() }).to_string();
                Ok((text, failed.map(value).collect(), undelivered.map(value).collect()))
            }
        }
    }

    /// What was counted so far, as JSON.
    fn stats(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.handle.stats()).map_err(Error::from).or_raise(py)
    }
}

impl PyRun {
    fn is_finished(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.process == std::process::id() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "this run belongs to the process that forked")
            .with_hint("start a run of its own in the child process"))
        .or_raise(py)
    }
}

impl Drop for PyRun {
    fn drop(&mut self) {
        // A forked process has no threads that could be stopped.
        if self.process == std::process::id() {
            self.handle.abort();
            self.outbox.abandon();
        }
    }
}

fn told(py: Python<'_>, item: Item) -> PyResult<(&'static str, Py<PyAny>)> {
    let text = |text: String| Ok::<_, PyErr>(text.into_pyobject(py)?.into_any().unbind());
    Ok(match item {
        Item::Moment(json) => ("moment", text(json)?),
        Item::Clip(json) => ("clip", text(json)?),
        Item::Signal(json) => ("signal", text(json)?),
        Item::Notice(notice) => ("notice", text(notice)?),
        Item::Failure(fault) => ("failure", fault.into_parts(py).into_pyobject(py)?.into_any().unbind()),
        Item::Progress(clock, stats) => ("progress", (clock, stats).into_pyobject(py)?.into_any().unbind()),
    })
}
