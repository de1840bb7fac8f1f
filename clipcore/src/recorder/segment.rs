use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::media::Track;
use crate::media::mp4::Row;
use crate::{CameraId, StreamId, WallTime};

/// Marks the box that holds [`SegmentInfo`]: the ASCII bytes of `clipcore-segment`.
pub const SEGMENT_UUID: [u8; 16] = *b"clipcore-segment";

/// What a recorded file says about itself, as JSON in its `uuid` box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Version of this description: 1.
    pub version: u32,
    /// The stream.
    pub stream: StreamId,
    /// The camera.
    pub camera: CameraId,
    /// Counts files from 0.
    pub sequence: u64,
    /// Counts runs of the reader (connections) from 0; samples of one session continue each other.
    pub session: u32,
    /// The epoch of the stream's timeline.
    pub epoch: u32,
    /// Stream time = publisher's PTS + this, in microseconds.
    pub offset_us: i64,
    /// Civil time of stream time zero, where the source is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_zero: Option<WallTime>,
}

/// A recorded file and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) info: SegmentInfo,
    pub(super) path: PathBuf,
    pub(super) tracks: Arc<[Track]>,
    /// Rows per track, in decode order; times in stream time.
    pub(super) rows: Vec<Vec<Row>>,
    pub(super) bytes: u64,
    span_us: Option<(i64, i64)>,
}

impl Segment {
    pub(super) fn new(info: SegmentInfo, path: PathBuf, tracks: Arc<[Track]>, bytes: u64) -> Self {
        let rows = vec![Vec::new(); tracks.len()];
        Self { info, path, tracks, rows, bytes, span_us: None }
    }

    /// Adds a sample.
    pub(super) fn push(&mut self, row: Row) {
        let track = &self.tracks[row.track];
        let end = track.micros(row.pts.saturating_add(i64::from(row.duration)));
        let start = track.micros(row.pts);
        let (a, b) = self.span_us.unwrap_or((start, end));
        self.span_us = Some((a.min(start), b.max(end)));
        self.rows[row.track].push(row);
    }

    /// First and last presented instant in microseconds; `None` for a file without samples.
    pub(super) fn span_us(&self) -> Option<(i64, i64)> {
        self.span_us
    }

    /// The end of the last sample in decode order: cheap, and good enough to order deletions by.
    pub(super) fn end_us(&self) -> Option<i64> {
        self.tracks
            .iter()
            .zip(&self.rows)
            .filter_map(|(t, rows)| {
                rows.last().map(|r| t.micros(r.dts.saturating_add(i64::from(r.duration))))
            })
            .max()
    }
}

/// The name of a file by its sequence number.
pub(super) fn file_name(sequence: u64) -> String {
    format!("{sequence:010}.mp4")
}
