//! What a live stream's supervisor and its callers share.

use std::collections::VecDeque;
#[cfg(feature = "media")]
use std::sync::atomic::AtomicI64;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::StreamSettings;
use crate::clock::TimeSource;
use crate::detector::Signal;
use crate::pipeline::{PipelineHandle, StreamStats};
#[cfg(feature = "media")]
use crate::source::Heard;
use crate::source::Posted;

/// So many of the latest notices are kept.
const NOTICES: usize = 20;

pub(super) struct Live {
    /// Tells the source that something has come.
    pub(super) wake: Arc<Notify>,
    /// Callers that are about to append.
    pub(super) entered: AtomicUsize,
    /// When something came last, in milliseconds of `TimeSource::elapsed`.
    last: AtomicU64,
    pub(super) repeated: Arc<AtomicU64>,
    /// Up to where sound that was sent has been taken, in microseconds of the timeline.
    #[cfg(feature = "media")]
    pub(super) heard: AtomicI64,
    /// How far its source has read the inbox.
    pub(super) position: Arc<AtomicU64>,
    /// The offset after what was appended to the inbox for it last.
    appended: AtomicU64,
    /// The host is stopping, or the stream is to rest.
    pub(super) stop: CancellationToken,
    /// It has had its time to stop.
    pub(super) abort: CancellationToken,
    /// Its supervisor has ended.
    pub(super) gone: CancellationToken,
    /// It is to be stopped and started with other settings.
    pub(super) reload: Notify,
    state: Mutex<State>,
    /// What it runs with.
    settings: Mutex<Option<StreamSettings>>,
}

#[derive(Default)]
struct State {
    handle: Option<PipelineHandle>,
    ways: Ways,
    told: Told,
    signals: VecDeque<Signal>,
    /// What an earlier run of this process has counted of what is counted over all runs.
    counted: StreamStats,
}

/// Ways to who looks at pictures and listens to sound, where somebody does.
#[derive(Default, Clone)]
pub(super) struct Ways {
    pub(super) pictures: Option<mpsc::Sender<Posted>>,
    #[cfg(feature = "media")]
    pub(super) sounds: Option<mpsc::Sender<Heard>>,
}

/// What people may want to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) error: Option<String>,
    pub(super) notices: VecDeque<String>,
}

impl Live {
    pub(super) fn new(time: &dyn TimeSource) -> Self {
        Self {
            wake: Arc::default(),
            entered: AtomicUsize::new(0),
            last: AtomicU64::new(millis(time.elapsed())),
            repeated: Arc::default(),
            #[cfg(feature = "media")]
            heard: AtomicI64::new(i64::MIN),
            position: Arc::default(),
            appended: AtomicU64::new(0),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            gone: CancellationToken::new(),
            reload: Notify::new(),
            state: Mutex::default(),
            settings: Mutex::default(),
        }
    }

    /// It is being built with these settings.
    pub(super) fn built_with(&self, settings: &StreamSettings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings.clone());
    }

    /// Starts it anew where these are not what it runs with.
    pub(super) fn adopt(&self, settings: &StreamSettings) {
        let mut mine = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if mine.as_ref().is_some_and(|mine| mine != settings) {
            *mine = Some(settings.clone());
            self.restart();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn appended(&self, next: u64) {
        self.appended.fetch_max(next, Ordering::Relaxed);
    }

    /// How far its source is behind, in records.
    pub(super) fn lag(&self) -> u64 {
        self.appended.load(Ordering::Relaxed).saturating_sub(self.position.load(Ordering::Relaxed))
    }

    /// Something has come.
    pub(super) fn touch(&self, time: &dyn TimeSource) {
        self.last.store(millis(time.elapsed()), Ordering::SeqCst);
    }

    /// A caller has appended.
    pub(super) fn leave(&self, time: &dyn TimeSource) {
        self.touch(time);
        self.entered.fetch_sub(1, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Whether nothing has come for `span`, and nobody is about to bring something.
    pub(super) fn is_idle(&self, time: &dyn TimeSource, span: Duration) -> bool {
        let quiet = millis(time.elapsed()).saturating_sub(self.last.load(Ordering::SeqCst));
        self.entered.load(Ordering::SeqCst) == 0 && quiet >= millis(span)
    }

    pub(super) fn restart(&self) {
        self.reload.notify_one();
    }

    pub(super) fn ways(&self) -> Ways {
        self.state().ways.clone()
    }

    pub(super) fn running(&self, handle: PipelineHandle, ways: Ways) {
        let mut state = self.state();
        state.ways = ways;
        state.handle = Some(handle);
        state.told.error = None;
    }

    /// The run is over; gives what it has counted.
    pub(super) fn over(&self, stats: &StreamStats, error: Option<String>) -> StreamStats {
        let mut state = self.state();
        state.handle = None;
        state.ways = Ways::default();
        state.told.error = error;
        let counted = stats.since(&state.counted);
        state.counted = StreamStats {
            late: stats.late,
            full: stats.full,
            duplicate: stats.duplicate,
            ..StreamStats::default()
        };
        counted
    }

    pub(super) fn failed(&self, error: String) {
        self.state().told.error = Some(error);
    }

    pub(super) fn notice(&self, text: String) {
        let notices = &mut self.state().told.notices;
        if notices.len() == NOTICES {
            notices.pop_front();
        }
        notices.push_back(text);
    }

    pub(super) fn signal(&self, signal: &Signal, keep: usize) {
        let signals = &mut self.state().signals;
        signals.push_back(signal.clone());
        if signals.len() > keep {
            signals.pop_front();
        }
    }

    pub(super) fn signals(&self) -> Vec<Signal> {
        self.state().signals.iter().cloned().collect()
    }

    pub(super) fn told(&self) -> Told {
        self.state().told.clone()
    }

    /// What the present run has counted.
    pub(super) fn stats(&self) -> Option<StreamStats> {
        let state = self.state();
        let stats = state.handle.as_ref()?.stats();
        stats.streams.into_values().next().map(|stats| stats.since(&state.counted))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
