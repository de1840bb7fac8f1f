//! Detectors: events or media windows in, scored signals out.
//!
//! A detector is a synchronous, deterministic state machine: no I/O, no threads, no clock. It learns of
//! time through [`Detector::advance`], so that silence ticks too.
//!
//! # For implementors
//! Implement [`Detector`], then run [`conformance::detector`](crate::conformance) on it: the kit checks
//! that chunking, snapshot and restore, and reset do not change what it finds.

mod audio_level;
#[cfg(feature = "onnx")]
mod audio_tagger;
mod chat_burst;
mod chat_keyword;
mod chat_lexicon;
mod chatters;
mod erased;
pub mod face;
mod game_event;
mod k_weighting;
mod level;
mod loudness;
mod marker;
mod normalizer;
mod signal;
mod state;
#[cfg(feature = "onnx")]
mod tape;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
#[cfg(feature = "onnx")]
mod voice_activity;

use std::borrow::Cow;
use std::time::Duration;

pub use audio_level::AudioLevelDetector;
#[cfg(feature = "onnx")]
pub use audio_tagger::{AudioTagger, AudioTaggerConfig, Tagger};
pub use chat_burst::{ChatBurst, ChatBurstConfig, ChatInput};
pub use chat_keyword::{ChatKeyword, ChatKeywordConfig};
pub use chat_lexicon::{ChatLexicon, ChatLexiconConfig};
pub use erased::{AnyDetector, DynDetector};
pub use game_event::{GameEventConfig, GameEventDetector};
pub use loudness::{Loudness, LoudnessConfig};
pub use marker::MarkerDetector;
pub use normalizer::{Normalizer, NormalizerConfig, NormalizerState};
use serde_json::Value;
pub use signal::{Signal, round_score};
#[cfg(feature = "onnx")]
pub use tape::{Place, Tape};
#[cfg(feature = "onnx")]
pub use voice_activity::{VoiceActivity, VoiceActivityConfig};

use crate::consent::Consent;
use crate::event::{FromEvents, Stamped};
use crate::model::{Request, Response, Tensors};
use crate::{CameraId, Result, StreamId, Timestamp};

/// What a detector says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorInfo {
    /// Its name, unique in a pipeline: `chat_burst`, `loudness`, …
    pub name: Cow<'static, str>,
    /// Raised when the meaning of its scores changes.
    pub version: u32,
    /// The labels its signals may carry; [`ANY_LABEL`](Self::ANY_LABEL) among them allows every label.
    pub labels: Vec<Cow<'static, str>>,
    /// How far before the time it has been advanced to a signal's `at` may lie.
    pub max_lateness: Duration,
    /// What the stream's consent must cover for it to start.
    pub needs: Consent,
}

impl DetectorInfo {
    /// Stands among [`labels`](Self::labels) where the events themselves bring labels along.
    pub const ANY_LABEL: &'static str = "*";

    /// Version 1, no lateness, no consent needed.
    pub fn new(name: impl Into<Cow<'static, str>>, labels: &[&'static str]) -> Self {
        Self {
            name: name.into(),
            version: 1,
            labels: labels.iter().map(|l| Cow::Borrowed(*l)).collect(),
            max_lateness: Duration::ZERO,
            needs: Consent::NONE,
        }
    }
}

/// Finds evidence in what happens on one stream (or on one camera of it).
///
/// # Contract
/// - The caller hands over events with `at` never decreasing, and calls `advance(e.at)` before
///   `detect(e)`. Time bins are half open: an event at exactly `t` belongs to the bin that starts at `t`.
/// - The signals depend only on the sequence of events and on the last time advanced to, not on how often
///   or in what steps `advance` was called.
/// - A signal's `at` is at most the time advanced to, and at least the time advanced to before this call, minus
///   `max_lateness`; `onset ≤ at`.
/// - `restore(snapshot())` on a fresh detector of the same configuration continues identically.
/// - Absence of input is no evidence: it never emits a signal *because* a modality is missing.
pub trait Detector: Send + 'static {
    /// One event type, or an enum of several made by [`events!`](crate::events).
    type Input: FromEvents;

    /// Name, labels, lateness and consent needed. Constant for the life of the detector.
    fn info(&self) -> DetectorInfo;

    /// Takes one event in.
    fn detect(&mut self, event: &Stamped<Self::Input>, out: &mut Output);

    /// Stream time has reached `to`: every event before it has been seen.
    fn advance(&mut self, to: Timestamp, out: &mut Output);

    /// A model has answered an earlier [`Output::request`]. Only detectors that ask are called.
    fn resolve(&mut self, response: Response, out: &mut Output) {
        let _ = (response, out);
    }

    /// Forgets everything, as if new (a new epoch with unrelated content).
    fn reset(&mut self);

    /// Its whole state.
    ///
    /// # Errors
    /// Where the state cannot be expressed as JSON (a NaN, for example).
    fn snapshot(&self) -> Result<Value>;

    /// Takes up a state that [`snapshot`](Self::snapshot) gave.
    ///
    /// # Errors
    /// `InvalidInput` where the value is not such a state; the detector is then unchanged.
    fn restore(&mut self, state: &Value) -> Result<()>;
}

/// Where a detector puts what it found. One `Output` serves one detector of one stream.
#[derive(Debug)]
pub struct Output {
    stream: StreamId,
    camera: Option<CameraId>,
    name: std::sync::Arc<str>,
    version: u32,
    pub(crate) signals: Vec<Signal>,
    pub(crate) requests: Vec<Request>,
    pub(crate) rejected: u64,
}

impl Output {
    /// An empty output for a detector on a stream.
    pub fn new(stream: StreamId, camera: Option<CameraId>, info: &DetectorInfo) -> Self {
        Self {
            stream,
            camera,
            name: (*info.name).into(),
            version: info.version,
            signals: Vec::new(),
            requests: Vec::new(),
            rejected: 0,
        }
    }

    /// Emits a signal: at `at`, evidence of `label` with `score`, which began at `onset`.
    ///
    /// The score is rounded to four decimals, so that logs of different machines agree. A score that is
    /// not finite is dropped and counted: one bad window does not poison the stream.
    pub fn signal(&mut self, label: &str, at: Timestamp, onset: Timestamp, score: f64) {
        if !score.is_finite() {
            self.reject();
            return;
        }
        self.signals.push(Signal::new(
            self.stream.clone(),
            self.camera.clone(),
            self.name.clone(),
            self.version,
            label,
            at,
            onset.min(at),
            score,
        ));
    }

    /// Counts an input or an answer that could not be used.
    pub(crate) fn reject(&mut self) {
        self.rejected += 1;
    }

    /// Asks a model; the answer comes to [`Detector::resolve`] with the same `tag`, before time is
    /// advanced past `at`.
    pub fn request(&mut self, model: &str, tag: u64, at: Timestamp, input: impl Into<Tensors>) {
        self.requests.push(Request { model: model.into(), tag, at, input: input.into() });
    }

    /// Takes out the signals found so far.
    pub fn take_signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.signals)
    }

    /// Takes out the model requests made so far.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    /// How many signals were dropped because their score was not a finite number, and how many inputs and answers because
    /// they could not be used.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }
}
