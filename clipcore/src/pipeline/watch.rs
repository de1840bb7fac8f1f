//! Says which detector it was that panicked.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde_json::Value;

use super::workers::describe;
use crate::detector::{DetectorInfo, DynDetector, Output};
use crate::event::AnyEvent;
use crate::model::Response;
use crate::{Result, Timestamp};

/// A detector whose panics carry its name; the stream's worker catches them.
pub(super) struct Watched {
    name: Cow<'static, str>,
    inner: Box<dyn DynDetector>,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn DynDetector>) -> Self {
        Self { name: inner.info().name, inner }
    }

    fn watch<R>(&mut self, call: impl FnOnce(&mut dyn DynDetector) -> R) -> R {
        catch_unwind(AssertUnwindSafe(|| call(&mut *self.inner))).unwrap_or_else(|panic| {
            resume_unwind(Box::new(format!("detector {} panicked: {}", self.name, describe(&*panic))))
        })
    }
}

impl DynDetector for Watched {
    fn info(&self) -> DetectorInfo {
        self.inner.info()
    }
    fn kinds(&self) -> Vec<&'static str> {
        self.inner.kinds()
    }
    fn detect_any(&mut self, event: &AnyEvent, out: &mut Output) -> bool {
        self.watch(|d| d.detect_any(event, out))
    }
    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        self.watch(|d| d.advance(to, out));
    }
    fn resolve(&mut self, response: Response, out: &mut Output) {
        self.watch(|d| d.resolve(response, out));
    }
    fn reset(&mut self) {
        self.watch(|d| d.reset());
    }
    fn snapshot(&self) -> Result<Value> {
        self.inner.snapshot()
    }
    fn restore(&mut self, state: &Value) -> Result<()> {
        self.watch(|d| d.restore(state))
    }
}
