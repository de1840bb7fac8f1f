//! Where moments and clips go in Python: the reader of the run, and sinks that are functions.

use std::sync::Arc;

use async_trait::async_trait;
use clipcore::log::Receipt;
use clipcore::sink::{ClipSink, Delivery};
use clipcore::{Error, ErrorKind, Result};
use pyo3::prelude::*;

use super::outbox::{Item, Outbox};
use crate::error::from_python;
use crate::gate;

/// Hands everything to whoever reads the run.
pub(super) struct Reader(pub(super) Arc<Outbox>);

#[async_trait]
impl ClipSink for Reader {
    fn name(&self) -> &str {
        "python"
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        if let Some((kind, json)) = parts(item)? {
            let told = if kind == "clip" { Item::Clip(json) } else { Item::Moment(json) };
            self.0.push(told).await;
        }
        Ok(item.receipt(self.name()))
    }
}

fn parts(item: &Delivery) -> Result<Option<(&'static str, String)>> {
    Ok(match item {
        Delivery::Moment(moment) => Some(("moment", serde_json::to_string(moment)?)),
        Delivery::Clip { clip, .. } => Some(("clip", serde_json::to_string(clip)?)),
        _ => None,
    })
}

/// A sink in Python: `call(kind, json)`, which returns once the item is delivered.
pub(super) struct PySink {
    name: String,
    call: Arc<Py<PyAny>>,
}

impl PySink {
    pub(super) fn new(name: String, call: Py<PyAny>) -> Self {
        Self { name, call: Arc::new(call) }
    }
}

#[async_trait]
impl ClipSink for PySink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let Some((kind, json)) = parts(item)? else { return Ok(item.receipt(&self.name)) };
        let (call, name) = (self.call.clone(), self.name.clone());
        // User code may take its time, and the interpreter's lock may be elsewhere.
        let delivered = tokio::task::spawn_blocking(move || {
            gate::attach(|py| {
                call.call1(py, (kind, json))
                    .map(drop)
                    .map_err(|raised| from_python(py, format!("the sink {name} has failed"), raised))
            })
        });
        match delivered.await {
            Ok(Some(done)) => done.map(|()| item.receipt(&self.name)),
            _ => Err(Error::new(ErrorKind::Cancelled, "the interpreter is shutting down")),
        }
    }
}
