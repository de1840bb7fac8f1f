//! Events from a Python iterator.
//!
//! A thread of Python's own asks it, since it may wait for its next event when the interpreter ends: such a thread may be left
//! behind, one of clipcore's would crash when it comes back.

use std::sync::Arc;

use async_trait::async_trait;
use clipcore::event::Kinds;
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{Error, ErrorKind, Result, StreamId};
use pyo3::prelude::*;
use tokio::sync::mpsc;

use crate::error::from_python;
use crate::gate;

/// What the thread says.
enum Said {
    Item(Item),
    End(Result<()>),
}

/// Where the thread puts events. See `_clipcore.pyi`.
#[pyclass(frozen, name = "Feed", module = "clipcore._clipcore")]
pub(crate) struct PyFeed {
    stream: StreamId,
    kinds: Kinds,
    tx: mpsc::Sender<Said>,
}

impl PyFeed {
    fn say(&self, said: Said) -> bool {
        self.tx.blocking_send(said).is_ok()
    }
}

#[pymethods]
impl PyFeed {
    /// Hands over an event as JSON, waiting for room; says whether more are wanted.
    fn push(&self, py: Python<'_>, line: &str) -> bool {
        gate::detach(py, || {
            self.say(Said::Item(match self.kinds.parse(line.as_bytes()) {
                Ok(incoming) => Item::Incoming(incoming.with_default_stream(&self.stream)),
                Err(error) => Item::Bad(Arc::new(error)),
            }))
        })
    }

    /// There is no more, because of `raised` where that is given.
    fn end(&self, py: Python<'_>, raised: Option<Bound<'_, PyAny>>) {
        let end = raised.map_or(Ok(()), |raised| {
            Err(from_python(py, "the events' iterator has failed", PyErr::from_value(raised)))
        });
        gate::detach(py, || self.say(Said::End(end)));
    }
}

/// `start(feed)`, which starts the thread.
pub(super) struct PySource(pub(super) Py<PyAny>);

#[async_trait]
impl Source for PySource {
    fn name(&self) -> String {
        "python".to_owned()
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let (tx, mut rx) = mpsc::channel(1);
        let feed = PyFeed { stream: out.stream().clone(), kinds: Kinds::builtin(), tx };
        let started = tokio::task::spawn_blocking(move || {
            gate::attach(|py| {
                Py::new(py, feed)
                    .and_then(|feed| self.0.call1(py, (feed,)))
                    .map(drop)
                    .map_err(|raised| from_python(py, "no thread can be had for the events", raised))
            })
        });
        match started.await {
            Ok(Some(started)) => started?,
            _ => return Err(Error::new(ErrorKind::Cancelled, "the interpreter is shutting down")),
        }
        let pass_on = async {
            while let Some(said) = rx.recv().await {
                match said {
                    Said::Item(item) => out.send(item).await?,
                    Said::End(end) => return end,
                }
            }
            Ok(())
        };
        // The iterator may wait for ever, and is not waited for.
        tokio::select! {
            result = pass_on => result,
            () = out.stop().cancelled() => Ok(()),
        }
    }
}
