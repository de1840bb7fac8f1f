use std::fmt;

use serde_json::Value;

use super::{Detector, DetectorInfo, Output, Signal};
use crate::event::{AnyEvent, FromEvents, Stamped};
use crate::model::{ModelRegistry, Response};
use crate::{CameraId, Result, StreamId, Timestamp};

/// A [`Detector`] whose input type is known only at run time.
pub trait DynDetector: Send {
    /// See [`Detector::info`].
    fn info(&self) -> DetectorInfo;
    /// The event kinds it asks for.
    fn kinds(&self) -> Vec<&'static str>;
    /// Takes the event in where it is of one of its kinds; says whether it was.
    fn detect_any(&mut self, event: &AnyEvent, out: &mut Output) -> bool;
    /// See [`Detector::advance`].
    fn advance(&mut self, to: Timestamp, out: &mut Output);
    /// See [`Detector::resolve`].
    fn resolve(&mut self, response: Response, out: &mut Output);
    /// See [`Detector::reset`].
    fn reset(&mut self);
    /// See [`Detector::snapshot`].
    ///
    /// # Errors
    /// As there.
    fn snapshot(&self) -> Result<Value>;
    /// See [`Detector::restore`].
    ///
    /// # Errors
    /// As there.
    fn restore(&mut self, state: &Value) -> Result<()>;
}

impl<D: Detector> DynDetector for D {
    fn info(&self) -> DetectorInfo {
        Detector::info(self)
    }

    fn kinds(&self) -> Vec<&'static str> {
        D::Input::kinds()
    }

    fn detect_any(&mut self, event: &AnyEvent, out: &mut Output) -> bool {
        let Some(data) = D::Input::from_event(event) else { return false };
        self.detect(&Stamped { header: event.shared_header(), data }, out);
        true
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        Detector::advance(self, to, out);
    }

    fn resolve(&mut self, response: Response, out: &mut Output) {
        Detector::resolve(self, response, out);
    }

    fn reset(&mut self) {
        Detector::reset(self);
    }

    fn snapshot(&self) -> Result<Value> {
        Detector::snapshot(self)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        Detector::restore(self, state)
    }
}

/// A detector of any input type, bound to a stream and to the models it may ask.
pub struct AnyDetector {
    info: DetectorInfo,
    kinds: Vec<&'static str>,
    inner: Box<dyn DynDetector>,
    out: Output,
    models: ModelRegistry,
    failures: u64,
    last_failure: Option<crate::Error>,
}

impl fmt::Debug for AnyDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyDetector").field("info", &self.info).field("kinds", &self.kinds).finish()
    }
}

impl AnyDetector {
    /// Binds a detector to a stream (and to one camera, where it watches one).
    pub fn new(
        inner: Box<dyn DynDetector>,
        stream: StreamId,
        camera: Option<CameraId>,
        models: ModelRegistry,
    ) -> Self {
        let info = inner.info();
        let out = Output::new(stream, camera, &info);
        let kinds = inner.kinds();
        Self { info, kinds, inner, out, models, failures: 0, last_failure: None }
    }

    /// What the detector says about itself.
    pub fn info(&self) -> &DetectorInfo {
        &self.info
    }

    /// Whether the detector asks for events of this kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }

    /// Advances to the event's time and takes it in.
    pub fn detect(&mut self, event: &AnyEvent) {
        self.advance(event.at());
        let before = self.out.signals.len();
        self.inner.detect_any(event, &mut self.out);
        self.answer();
        if let Some(trace) = &event.header().trace {
            for signal in self.out.signals.iter_mut().skip(before) {
                signal.trace.get_or_insert_with(|| trace.clone());
            }
        }
    }

    /// Stream time has reached `to`.
    pub fn advance(&mut self, to: Timestamp) {
        self.inner.advance(to, &mut self.out);
        self.answer();
    }

    /// A model that fails costs its own answers only; the detector goes on without them.
    fn answer(&mut self) {
        while !self.out.requests.is_empty() {
            let requests = self.out.take_requests();
            let asked = requests.len() as u64;
            match self.models.infer(requests) {
                Ok(responses) => {
                    for response in responses {
                        self.inner.resolve(response, &mut self.out);
                    }
                }
                Err(error) => {
                    self.failures += asked;
                    self.last_failure = Some(error);
                }
            }
        }
    }

    /// Takes out the signals found so far.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        self.out.take_signals()
    }

    /// Model requests that got no answer, and signals dropped for a score that was not finite.
    pub fn failures(&self) -> u64 {
        self.failures + self.out.rejected()
    }

    /// Why the last model request got no answer.
    pub fn last_failure(&self) -> Option<&crate::Error> {
        self.last_failure.as_ref()
    }

    /// See [`Detector::reset`].
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// See [`Detector::snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn snapshot(&self) -> Result<Value> {
        self.inner.snapshot()
    }

    /// See [`Detector::restore`].
    ///
    /// # Errors
    /// As there.
    pub fn restore(&mut self, state: &Value) -> Result<()> {
        self.inner.restore(state)
    }
}
