use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::index::{self, Slice};
use super::segment::Segment;
use super::{RecorderConfig, scan};
use crate::cutter::Span;
use crate::{Error, Result, Timestamp};

/// How far behind the consumed watermark media is kept whatever the retention says: the longest look-back of a
/// moment's start.
const LOOK_BACK_US: i64 = 90_000_000;

/// What a recording counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordingStats {
    /// Files there are now.
    pub segments: usize,
    /// Bytes they hold.
    pub bytes: u64,
    /// Files deleted by retention.
    pub deleted: u64,
    /// Parts that could not be written (disk full, for example).
    pub lost_parts: u64,
    /// Bytes cut off from torn ends when the recording was opened.
    pub torn_bytes: u64,
}

/// A recording's index, shared between the recorder that fills it and the cutter that reads it.
#[derive(Debug)]
pub struct Recording {
    dir: PathBuf,
    config: RecorderConfig,
    state: Mutex<State>,
    /// How far the recording reaches, and whether it has ended.
    progress: watch::Sender<(Timestamp, bool)>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) segments: VecDeque<Segment>,
    pins: BTreeMap<u64, Timestamp>,
    next_pin: u64,
    consumed: Option<Timestamp>,
    pub(super) stats: RecordingStats,
}

impl Recording {
    /// Opens a recording to read it, and only to read it.
    ///
    /// # Errors
    /// `NotFound` where the folder is not there.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Arc<Self>> {
        let recording = Self::load(dir.into(), RecorderConfig::default(), false)?;
        recording.progress.send_modify(|p| p.1 = true);
        Ok(Arc::new(recording))
    }

    pub(super) fn load(dir: PathBuf, config: RecorderConfig, repair: bool) -> Result<Self> {
        let found = scan::scan(&dir, repair)?;
        for (path, error) in &found.unreadable {
            tracing::warn!(path = %path.display(), %error, "a recorded file cannot be read and is left alone");
        }
        let mut state = State { segments: found.segments.into(), ..State::default() };
        state.stats.torn_bytes = found.torn_bytes;
        let until = state.segments.iter().filter_map(Segment::end_us).max();
        let until = until.map_or(Timestamp::MIN, Timestamp::from_micros);
        Ok(Self { dir, config, state: Mutex::new(state), progress: watch::Sender::new((until, false)) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn config(&self) -> &RecorderConfig {
        &self.config
    }

    /// What was counted.
    pub fn stats(&self) -> RecordingStats {
        let state = self.lock();
        RecordingStats {
            segments: state.segments.len(),
            bytes: state.segments.iter().map(|s| s.bytes).sum(),
            ..state.stats
        }
    }

    /// First and last recorded instant; `None` where nothing is recorded.
    pub fn span(&self) -> Option<Span> {
        let state = self.lock();
        let spans: Vec<(i64, i64)> = state.segments.iter().filter_map(Segment::span_us).collect();
        Some(Span {
            start: Timestamp::from_micros(spans.iter().map(|s| s.0).min()?),
            end: Timestamp::from_micros(spans.iter().map(|s| s.1).max()?),
        })
    }

    /// What is recorded, as stretches that can be shown without a break, oldest first.
    pub fn stretches(&self) -> Vec<Span> {
        index::stretches(self.lock().segments.iter())
    }

    /// The end of the newest session in the index, for a recorder that continues after a restart.
    pub fn newest_info(&self) -> Option<super::SegmentInfo> {
        self.lock().segments.back().map(|s| s.info.clone())
    }

    /// Everything presented before this instant is recorded.
    pub fn recorded_until(&self) -> Timestamp {
        self.progress.borrow().0
    }

    /// Waits until everything before `at` is recorded, or until no more will come; says which is so.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_until(&self, at: Timestamp) -> bool {
        let mut progress = self.progress.subscribe();
        match progress.wait_for(|(until, ended)| *until >= at || *ended).await {
            Ok(reached) => reached.0 >= at,
            Err(_) => false,
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<(Timestamp, bool)> {
        self.progress.subscribe()
    }

    /// Whether no more media will come.
    pub fn has_ended(&self) -> bool {
        self.progress.borrow().1
    }

    pub(super) fn set_progress(&self, until: Timestamp) {
        self.progress.send_if_modified(|p| {
            let moved = until > p.0;
            p.0 = p.0.max(until);
            moved
        });
    }

    /// No more media will come (or, with `false`, it will again).
    pub fn set_ended(&self, ended: bool) {
        self.progress.send_modify(|p| p.1 = ended);
    }

    /// Finds what is recorded of `asked`; where a gap divides it, the part that holds `peak`.
    ///
    /// # Errors
    /// `NotFound` where nothing of it is recorded.
    pub fn slice(&self, asked: Span, peak: Option<Timestamp>) -> Result<Slice> {
        index::slice(self.lock().segments.iter(), asked, peak)
    }

    /// Keeps media from `from` on from being deleted while the pin lives.
    pub fn pin(self: &Arc<Self>, from: Timestamp) -> Pin {
        let mut state = self.lock();
        let key = state.next_pin;
        state.next_pin += 1;
        state.pins.insert(key, from);
        Pin { recording: self.clone(), key }
    }

    /// Moments are decided up to `watermark`: media before it, less the longest look-back, is no longer needed for
    /// moments that are still to come.
    pub fn set_consumed(&self, watermark: Timestamp) {
        let mut state = self.lock();
        state.consumed = state.consumed.max(Some(watermark));
    }

    /// Free bytes of the file system.
    pub fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.dir).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
    }

    /// Whether so little room is left that no clip should be begun.
    ///
    /// # Errors
    /// `DiskFull`, saying how much is free and how much there should be.
    pub fn check_room(&self) -> Result<()> {
        let (free, floor) = (self.free_bytes(), self.config.min_free_bytes / 2);
        if free >= floor {
            return Ok(());
        }
        Err(Error::new(crate::ErrorKind::DiskFull, format!("only {} MiB are free", free >> 20))
            .with_context("path", self.dir.display())
            .with_hint(format!("free some space: clips are made again from {} MiB on", floor >> 20)))
    }

    /// Deletes what retention allows. `urgent` deletes the oldest file that no pending clip needs, whatever its age:
    /// what moments still to come may look back on is worth less than what is recorded now.
    pub(super) fn trim(&self, urgent: bool) -> bool {
        let free = self.free_bytes();
        let mut state = self.lock();
        let mut deleted = false;
        loop {
            // The newest file is being written.
            if state.segments.len() < 2 {
                return deleted;
            }
            let total: u64 = state.segments.iter().map(|s| s.bytes).sum();
            let newest = state.segments.iter().filter_map(Segment::end_us).max().unwrap_or(i64::MIN);
            let end = state.segments[0].end_us().unwrap_or(i64::MIN);
            let expired = end < newest.saturating_sub(self.config.retain.as_micros() as i64);
            let crowded = total > self.config.max_bytes || free < self.config.min_free_bytes;
            let pinned = state.pins.values().any(|from| end > from.as_micros());
            let awaited = state.consumed.is_some_and(|w| end > w.as_micros().saturating_sub(LOOK_BACK_US));
            let forced = total > self.config.max_pinned_bytes;
            let now = urgent && !deleted;
            let wanted = !awaited && (expired || crowded);
            if !(forced || ((wanted || now) && !pinned)) {
                return deleted;
            }
            let Some(segment) = state.segments.pop_front() else { return deleted };
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "a recorded file could not be deleted");
            }
            state.stats.deleted += 1;
            deleted = true;
            if free < self.config.min_free_bytes && !expired {
                // One at a time: free space is read anew before the next one goes.
                return deleted;
            }
        }
    }
}

/// Keeps part of a recording from being deleted until dropped.
#[derive(Debug)]
pub struct Pin {
    recording: Arc<Recording>,
    key: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.recording.lock().pins.remove(&self.key);
    }
}
