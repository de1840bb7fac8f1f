//! One timeline per stream: where a camera's timestamps lie on it, through reconnects, jumps and wraps.

use crate::Timestamp;
use crate::event::EpochStart;

/// A step of more than this, beyond what time has passed, is a jump rather than jitter.
pub(super) const JUMP_US: i64 = 5_000_000;
/// How far a reconnected publisher's timestamps may fall behind what was recorded and still continue it.
const OVERLAP_US: i64 = 2_000_000;
/// Timestamps wrap at 2^32 ms (RTMP) and at 2^33 ticks of 90 kHz (MPEG-TS).
const WRAPS_US: [i64; 2] = [4_294_967_296_000, 95_443_717_688];

/// Maps a camera's PTS to stream time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timeline {
    epoch: Option<Epoch>,
    previous: Option<Epoch>,
    /// The latest end seen, in stream time.
    end_us: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Epoch {
    number: u32,
    offset_us: i64,
}

/// Where a sample lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Stream time = PTS + this, in microseconds.
    pub(super) offset_us: i64,
    /// The epoch that begins with this sample, where one does.
    pub(super) begins: Option<(Timestamp, EpochStart)>,
    /// Whether it continues what came before (the other case: a new connection's first sample after a gap).
    pub(super) epoch: u32,
}

impl Timeline {
    /// Nothing seen yet: epoch 0 will keep the publisher's timestamps.
    pub(super) fn new() -> Self {
        Self { epoch: None, previous: None, end_us: i64::MIN }
    }

    /// Continues an earlier run that ended at `end`.
    pub(super) fn resume(number: u32, offset_us: i64, end: Timestamp) -> Self {
        Self { epoch: Some(Epoch { number, offset_us }), previous: None, end_us: end.as_micros() }
    }

    /// Where the sample with this PTS lies. `first` says that it is the first one of a connection; `passed_us` how much
    /// time went by since the last sample, where that can be known.
    pub(super) fn map(&mut self, pts_us: i64, first: bool, passed_us: i64) -> Mapped {
        let Some(epoch) = self.epoch else {
            return self.begin(0, 0, pts_us, "start");
        };
        let at = pts_us.saturating_add(epoch.offset_us);
        let ahead = at.saturating_sub(self.end_us);
        let behind_allowed = if first { OVERLAP_US } else { JUMP_US };
        if ahead >= -behind_allowed && ahead <= passed_us.saturating_add(JUMP_US) {
            self.end_us = self.end_us.max(at);
            return Mapped { offset_us: epoch.offset_us, begins: None, epoch: epoch.number };
        }
        // Sound of the old epoch may still come after the first picture of the new one.
        if let Some(old) = self.previous.filter(|_| !first) {
            let at = pts_us.saturating_add(old.offset_us);
            if (at.saturating_sub(self.end_us)).abs() < JUMP_US {
                return Mapped { offset_us: old.offset_us, begins: None, epoch: old.number };
            }
        }
        for wrap in WRAPS_US {
            let unwrapped = at.saturating_add(wrap).saturating_sub(self.end_us);
            if unwrapped >= -behind_allowed && unwrapped <= passed_us.saturating_add(JUMP_US) {
                // The publisher's counter wrapped: the same epoch, with the unwrapped PTS.
                let offset_us = epoch.offset_us + wrap;
                self.epoch = Some(Epoch { offset_us, ..epoch });
                self.end_us = self.end_us.max(pts_us + offset_us);
                return Mapped { offset_us, begins: None, epoch: epoch.number };
            }
        }
        let reason = match (first, ahead < 0) {
            (true, _) => "reconnect",
            (false, true) => "backward",
            (false, false) => "jump",
        };
        // A new epoch goes on where the old one ended, plus the time that passed meanwhile.
        let begin_us = self.end_us.saturating_add(passed_us.max(1));
        self.begin(epoch.number + 1, begin_us.saturating_sub(pts_us), pts_us, reason)
    }

    fn begin(&mut self, number: u32, offset_us: i64, pts_us: i64, reason: &str) -> Mapped {
        self.previous = self.epoch;
        self.epoch = Some(Epoch { number, offset_us });
        let at = pts_us.saturating_add(offset_us);
        self.end_us = self.end_us.max(at);
        let start = EpochStart { number, offset_us, reason: reason.into(), wall: None };
        Mapped { offset_us, begins: Some((Timestamp::from_micros(at), start)), epoch: number }
    }
}

/// Civil time of stream time zero, estimated from when samples arrive: the smallest delay in the last minute is
/// taken for none, so that jitter and bursts do not move it.
#[derive(Debug, Clone)]
pub(super) struct WallEstimate {
    /// Smallest `arrival − stream time` per second of arrival, newest last.
    window: std::collections::VecDeque<(i64, i64)>,
}

const WINDOW_SECS: i64 = 60;

impl WallEstimate {
    pub(super) fn new() -> Self {
        Self { window: std::collections::VecDeque::new() }
    }

    /// Takes note that the sample at `at_us` arrived when the monotonic clock showed `elapsed_us`.
    pub(super) fn observe(&mut self, at_us: i64, elapsed_us: i64) {
        let (second, delay) = (elapsed_us / 1_000_000, elapsed_us - at_us);
        match self.window.back_mut() {
            Some((s, least)) if *s == second => *least = (*least).min(delay),
            _ => self.window.push_back((second, delay)),
        }
        while self.window.front().is_some_and(|(s, _)| second - s > WINDOW_SECS) {
            self.window.pop_front();
        }
    }

    /// Monotonic time of stream time zero; `None` before the first sample.
    pub(super) fn zero_us(&self) -> Option<i64> {
        self.window.iter().map(|(_, delay)| *delay).min()
    }

    /// A new epoch: earlier delays say nothing any more.
    pub(super) fn reset(&mut self) {
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn at(t: &mut Timeline, pts: i64, first: bool, passed: i64) -> (i64, Option<String>) {
        let mapped = t.map(pts, first, passed);
        (pts + mapped.offset_us, mapped.begins.map(|(_, e)| e.reason.to_string()))
    }

    #[test]
    fn epoch_zero_keeps_the_publishers_timestamps() {
        let mut t = Timeline::new();
        assert_eq!(at(&mut t, 1234 * S, true, 0), (1234 * S, Some("start".into())));
        assert_eq!(at(&mut t, 1235 * S, false, 0), (1235 * S, None));
    }

    #[test]
    fn a_reconnect_that_continues_is_the_same_epoch() {
        let mut t = Timeline::new();
        at(&mut t, 100 * S, true, 0);
        assert_eq!(at(&mut t, 112 * S, true, 12 * S), (112 * S, None));
    }

    #[test]
    fn a_publisher_that_starts_anew_goes_on_after_the_gap() {
        let mut t = Timeline::new();
        at(&mut t, 100 * S, true, 0);
        assert_eq!(at(&mut t, 0, true, 7 * S), (107 * S, Some("reconnect".into())));
        assert_eq!(at(&mut t, S, false, S), (108 * S, None));
    }

    #[test]
    fn jumps_inside_a_connection_begin_epochs_and_stragglers_stay_in_the_old_one() {
        let mut t = Timeline::new();
        at(&mut t, 100 * S, true, 0);
        let (jumped, why) = at(&mut t, 5000 * S, false, 0);
        assert_eq!((jumped, why.as_deref()), (100 * S + 1, Some("jump")));
        assert_eq!(
            at(&mut t, 100 * S, false, 0),
            (100 * S, None),
            "sound that lags behind the picture's jump"
        );
        let (_, why) = at(&mut t, 20 * S, false, 0);
        assert_eq!(why.as_deref(), Some("backward"));
    }

    #[test]
    fn wraps_are_unwrapped() {
        for wrap in WRAPS_US {
            let mut t = Timeline::new();
            at(&mut t, wrap - S, true, 0);
            assert_eq!(at(&mut t, S, false, 0), (wrap + S, None));
            assert_eq!(at(&mut t, 2 * S, false, 0), (wrap + 2 * S, None));
        }
    }

    #[test]
    fn bursts_do_not_move_the_wall_estimate() {
        let mut wall = WallEstimate::new();
        for i in 0..100 {
            // A relay sends two seconds of the past at once, then real time with jitter.
            let at = i * 40_000;
            let arrival = (at + 10_000 * (i % 5)).max(2_000_000) + 50_000;
            wall.observe(at, arrival);
        }
        assert_eq!(wall.zero_us(), Some(50_000));
    }
}
