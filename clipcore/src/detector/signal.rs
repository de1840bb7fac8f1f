use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::stable_id;
use crate::{CameraId, StreamId, Timestamp};

/// A detector's finding: at `at`, there was evidence of `label` with strength `score`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Hash of stream, camera, detector, label and `at`.
    pub id: Arc<str>,
    /// The stream.
    pub stream: StreamId,
    /// The detector's name.
    pub detector: Arc<str>,
    /// The detector's version.
    pub version: u32,
    /// The camera, where the detector watches one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<CameraId>,
    /// What there was evidence of.
    pub label: Arc<str>,
    /// When, on the stream's timeline.
    pub at: Timestamp,
    /// When it began, as far as the detector can tell; never after `at`.
    pub onset: Timestamp,
    /// How strong, in the detector's own unit (a z-score, a probability); finite, four decimals.
    pub score: f64,
    /// W3C `traceparent` of the event that it answers, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
}

impl Signal {
    /// A signal with its derived id and rounded score.
    #[allow(clippy::too_many_arguments)] // one line of the wire format, in its order
    pub fn new(
        stream: StreamId,
        camera: Option<CameraId>,
        detector: Arc<str>,
        version: u32,
        label: &str,
        at: Timestamp,
        onset: Timestamp,
        score: f64,
    ) -> Self {
        let id = stable_id(&[
            stream.as_str().as_bytes(),
            camera.as_ref().map_or("", CameraId::as_str).as_bytes(),
            detector.as_bytes(),
            label.as_bytes(),
            &at.as_micros().to_be_bytes(),
        ]);
        Self {
            id: id.into(),
            stream,
            detector,
            version,
            camera,
            label: label.into(),
            at,
            onset,
            score: round_score(score),
            trace: None,
        }
    }

    /// The order in which fusion sees signals: `(at, detector, camera, label, id)`.
    pub fn sort_key(&self) -> (Timestamp, &str, &str, &str, &str) {
        (self.at, &self.detector, self.camera.as_ref().map_or("", CameraId::as_str), &self.label, &self.id)
    }
}

/// Rounds to four decimals.
pub fn round_score(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}
