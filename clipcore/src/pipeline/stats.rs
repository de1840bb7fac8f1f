//! What a pipeline counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::{StreamId, Timestamp, WallTime};

/// A snapshot of what every stream of a pipeline has counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PipelineStats {
    /// Per stream.
    pub streams: BTreeMap<StreamId, StreamStats>,
}

/// A snapshot of what one stream has counted in this run.
///
/// Nothing is dropped between the parts: a full queue makes its producer wait, and the wait is counted here.
/// What the engine refuses (`late`, `full` and `duplicate`, which count over all
/// runs of the stream) and what is no usable input (`bad`, `refused`) is counted too.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StreamStats {
    /// The latest clock record.
    pub clock: Option<Timestamp>,
    /// Civil time at `clock`, where it is known.
    pub clock_wall: Option<WallTime>,
    /// Every input before this instant has been seen by the detectors.
    pub watermark: Option<Timestamp>,
    /// Events appended to the log, clock and epoch records left out.
    pub events: u64,
    /// Signals from the edge appended to the log.
    pub signals: u64,
    /// Inputs that came after the watermark had passed them.
    pub late: u64,
    /// Inputs refused because the engine's buffer was full.
    pub full: u64,
    /// Inputs that had come before.
    pub duplicate: u64,
    /// Inputs that an earlier run has logged, from a source that started over.
    pub repeated: u64,
    /// Inputs that were no usable event.
    pub bad: u64,
    /// Inputs of which nothing may be kept without more consent.
    pub refused: u64,
    /// Moments that closed.
    pub moments: u64,
    /// Moments that were dropped.
    pub dropped: u64,
    /// Clips that became ready.
    pub clips: u64,
    /// Clips that failed.
    pub clips_failed: u64,
    /// Items that a sink took.
    pub delivered: u64,
    /// Items that a sink refused.
    pub delivery_failures: u64,
    /// Items that wait for a sink now.
    pub pending: u64,
    /// Undelivered items that were forgotten because a sink failed more often than the backlog holds.
    pub forgotten: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// How often a source waited for room in its queue.
    pub source_waits: u64,
    /// How often the stream waited for its worker thread.
    pub worker_waits: u64,
    /// How often an item waited for room in a sink's queue.
    pub sink_waits: u64,
    /// How often a moment waited for room in a cutter's queue.
    pub cutter_waits: u64,
    /// How often sources were held up because too many items waited for sinks or cutters.
    pub backlog_pauses: u64,
    /// How often an append was tried again because the log was full or out of reach.
    pub log_retries: u64,
}

impl StreamStats {
    /// Adds what another run has counted; `clock`, `watermark` and `pending` say how things stand, and are left alone.
    pub(crate) fn add(&mut self, other: &Self) {
        self.each(other, |a, b| *a += b);
    }

    /// What has been counted since `before`; `clock`, `watermark` and `pending` stay.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        since.each(before, |a, b| *a = a.saturating_sub(b));
        since
    }

    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        let pairs = [
            (&mut self.events, other.events),
            (&mut self.signals, other.signals),
            (&mut self.late, other.late),
            (&mut self.full, other.full),
            (&mut self.duplicate, other.duplicate),
            (&mut self.repeated, other.repeated),
            (&mut self.bad, other.bad),
            (&mut self.refused, other.refused),
            (&mut self.moments, other.moments),
            (&mut self.dropped, other.dropped),
            (&mut self.clips, other.clips),
            (&mut self.clips_failed, other.clips_failed),
            (&mut self.delivered, other.delivered),
            (&mut self.delivery_failures, other.delivery_failures),
            (&mut self.forgotten, other.forgotten),
            (&mut self.checkpoints, other.checkpoints),
            (&mut self.source_waits, other.source_waits),
            (&mut self.worker_waits, other.worker_waits),
            (&mut self.sink_waits, other.sink_waits),
            (&mut self.cutter_waits, other.cutter_waits),
            (&mut self.backlog_pauses, other.backlog_pauses),
            (&mut self.log_retries, other.log_retries),
        ];
        pairs.into_iter().for_each(|(a, b)| change(a, b));
    }
}

/// The live counters behind a [`StreamStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    stats: Mutex<StreamStats>,
    pub(super) source_waits: Arc<AtomicU64>,
}

impl Counters {
    pub(super) fn update(&self, change: impl FnOnce(&mut StreamStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn snapshot(&self) -> StreamStats {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stats.source_waits = self.source_waits.load(Ordering::Relaxed);
        stats
    }
}
