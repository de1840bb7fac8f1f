//! Events from a Python iterator.

use std::sync::Arc;

use async_trait::async_trait;
use clipcore::event::Kinds;
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{Error, ErrorKind, Result};
use pyo3::prelude::*;

use crate::error::from_python;
use crate::gate;

/// Asks `next()` for lines of JSON until it gives `None`.
pub(super) struct PySource(pub(super) Py<PyAny>);

#[async_trait]
impl Source for PySource {
    fn name(&self) -> String {
        "python".to_owned()
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let stop = out.stop().clone();
        let (done, ended) = tokio::sync::oneshot::channel();
        // The iterator may wait for its next event for ever: the thread is not waited for.
        std::thread::Builder::new()
            .name("clipcore-events".into())
            .spawn(move || drop(done.send(self.read(&out))))?;
        tokio::select! {
            result = ended => result.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the events' thread has panicked"))),
            () = stop.cancelled() => Ok(()),
        }
    }
}

impl PySource {
    fn read(&self, out: &SourceOutput) -> Result<()> {
        let kinds = Kinds::builtin();
        while !out.stop().is_cancelled() {
            let next = gate::attach(|py| {
                let line = self.0.call0(py).and_then(|line| line.extract::<Option<String>>(py));
                line.map_err(|raised| from_python(py, "the events' iterator has failed", raised))
            });
            let Some(line) = next.transpose()?.flatten() else { return Ok(()) };
            out.blocking_send(match kinds.parse(line.as_bytes()) {
                Ok(incoming) => Item::Incoming(incoming.with_default_stream(out.stream())),
                Err(error) => Item::Bad(Arc::new(error)),
            })?;
        }
        Ok(())
    }
}
