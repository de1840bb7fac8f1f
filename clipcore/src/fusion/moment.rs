use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::stable_id;
use crate::{CameraId, StreamId, Timestamp, WallTime};

/// Where a moment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MomentState {
    /// Fast evidence (sound, face, game) says something happened; the recording is pinned.
    Provisional,
    /// Confirmed; it may still grow.
    Open,
    /// Over, with final bounds. Later evidence is only counted.
    Closed,
    /// Was provisional and was not confirmed.
    Dropped,
}

/// One signal's share in a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The detector's name.
    pub detector: Arc<str>,
    /// What it found.
    pub label: Arc<str>,
    /// The camera, where it watches one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<CameraId>,
    /// When.
    pub at: Timestamp,
    /// The detector's score.
    pub score: f64,
    /// Its share of the moment's score.
    pub contribution: f64,
}

/// One transition of a moment; the newest `rev` of an id is what the moment is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Hash of stream and opening tick.
    pub id: Arc<str>,
    /// Counts transitions from 1.
    pub rev: u32,
    /// The stream.
    pub stream: StreamId,
    /// Where it is in its life.
    pub state: MomentState,
    /// Where its clip should begin, pre-roll and chat-delay correction included.
    pub start: Timestamp,
    /// The instant of maximum fused score, not shifted.
    pub peak: Timestamp,
    /// Where its clip should end, post-roll included.
    pub end: Timestamp,
    /// The watermark at which this transition happened.
    pub decided_at: Timestamp,
    /// `start` in civil time, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<WallTime>,
    /// `peak` in civil time, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_time: Option<WallTime>,
    /// `end` in civil time, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<WallTime>,
    /// Fused score at the peak, in logits; the contributions of `evidence` add up to it.
    pub score: f64,
    /// What kind of moment, from the strongest evidence.
    pub label: Arc<str>,
    /// What made it, strongest first.
    pub evidence: Vec<Evidence>,
    /// W3C `traceparent` of the event that opened it, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
}

impl Moment {
    /// Whether this transition is the last one.
    pub fn is_final(&self) -> bool {
        matches!(self.state, MomentState::Closed | MomentState::Dropped)
    }
}

/// The id of the moment that opens on `stream` at `tick`.
pub fn moment_id(stream: &StreamId, tick: Timestamp) -> Arc<str> {
    stable_id(&[b"moment", stream.as_str().as_bytes(), &tick.as_micros().to_be_bytes()]).into()
}
