use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Timestamp};

/// Where a clip begins and ends, relative to the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// How long before the earliest onset a clip begins.
    #[serde(with = "crate::config::secs")]
    pub pre_roll: Duration,
    /// How long after the last evidence a clip ends.
    #[serde(with = "crate::config::secs")]
    pub post_roll: Duration,
    /// How late chat peaks after the beginning of what it reacts to, until a channel has taught its own delay.
    #[serde(with = "crate::config::secs")]
    pub chat_delay: Duration,
    /// How late chat begins to rise after it; follows what is learned about the peak.
    #[serde(with = "crate::config::secs")]
    pub chat_onset_delay: Duration,
    /// Moments of chat alone: how long before the estimated beginning the clip starts, since the delay varies.
    #[serde(with = "crate::config::secs")]
    pub chat_before: Duration,
    /// Moments of chat alone: how many seconds after the instant that the peak reacts to the clip ends; below 0 before
    /// it, since the burst's length adds to it.
    pub chat_after: f64,
    /// Moments of chat alone: by how much of the burst's own length (a minute at most) the clip grows at its end.
    pub chat_stretch: f64,
    /// Moments of chat alone: the least length of a clip, rolls included. A short burst says no better than a long
    /// one when what it is about began and ended.
    #[serde(with = "crate::config::secs")]
    pub chat_min_length: Duration,
}

impl Bounds {
    pub(super) fn validate(&self) -> Result<()> {
        let longest = Duration::from_secs(600);
        let rolls = [self.pre_roll, self.post_roll, self.chat_before, self.chat_min_length];
        if [self.chat_delay, self.chat_onset_delay].iter().chain(&rolls).any(|d| *d > longest) {
            return Err(Error::config("the durations of bounds must be at most 600 s"));
        }
        if !(-600.0..=600.0).contains(&self.chat_after) {
            return Err(Error::config("chat_after must be from -600 to 600 s"));
        }
        if !(0.0..=2.0).contains(&self.chat_stretch) {
            return Err(Error::config("chat_stretch must be from 0 to 2"));
        }
        Ok(())
    }

    /// Start and end, without the rolls, of what a burst of chat is about, where `delay` is the channel's.
    ///
    /// When it began is estimated twice, from where chat began to rise and from where it peaked; the mean of both errs
    /// less than either, since the rise of a long burst is often that of an earlier one.
    pub(super) fn of_chat(&self, burst: &Burst, delay: Duration) -> (Timestamp, Timestamp) {
        let by_onset = burst.onset - (self.chat_onset_delay + delay).saturating_sub(self.chat_delay);
        let by_peak = burst.peak - delay;
        let start = by_onset.offset_micros(by_peak.micros_since(by_onset) / 2) - self.chat_before;
        let length = burst.last.micros_since(burst.onset).clamp(0, LONGEST_BURST.as_micros() as i64) as f64;
        let end = by_peak.offset_micros((self.chat_after * 1e6 + self.chat_stretch * length) as i64);
        let least = self.chat_min_length.saturating_sub(self.pre_roll + self.post_roll);
        (start, end.max(start + least.max(Duration::from_secs(1))))
    }
}

/// Chat that goes on for longer than this talks of something else by then.
const LONGEST_BURST: Duration = Duration::from_secs(60);

/// A burst of chat in a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Burst {
    /// When chat began to rise.
    pub(super) onset: Timestamp,
    /// When it was strongest, and how strong.
    pub(super) peak: Timestamp,
    pub(super) strength: f64,
    /// When it was last above the exit threshold.
    pub(super) last: Timestamp,
}

/// How late this channel's chat is, from confirmed moments that had both sound and chat.
///
/// The median of the last 20 differences between chat's peak and the earliest fast onset, clamped to 5–40 s.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct ChatDelay {
    samples: VecDeque<Duration>,
}

/// As many moments are remembered.
const SAMPLES: usize = 20;
/// Fewer teach nothing yet.
const LEAST: usize = 5;
/// What is believed of a delay.
const RANGE: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(40)];

impl ChatDelay {
    /// A confirmed moment: something happened at `onset`, and chat peaked at `peak`.
    pub(super) fn learn(&mut self, onset: Timestamp, peak: Timestamp) {
        let Ok(micros) = u64::try_from(peak.micros_since(onset)) else { return };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Duration::from_micros(micros));
    }

    /// The delay, or `default` while too little is known.
    pub(super) fn estimate(&self, default: Duration) -> Duration {
        if self.samples.len() < LEAST {
            return default;
        }
        let mut sorted: Vec<_> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2].clamp(RANGE[0], RANGE[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_learned_robustly_and_only_from_enough() {
        let (mut delay, default) = (ChatDelay::default(), Duration::from_secs(20));
        for i in 0..4 {
            delay.learn(Timestamp::from_secs(100 * i), Timestamp::from_secs(100 * i + 12));
        }
        assert_eq!(delay.estimate(default), default);
        for (onset, peak) in [(500, 513), (600, 611), (700, 759), (800, 790)] {
            delay.learn(Timestamp::from_secs(onset), Timestamp::from_secs(peak));
        }
        assert_eq!(delay.estimate(default), Duration::from_secs(12));
        for i in 0..20 {
            delay.learn(Timestamp::from_secs(1000 + 100 * i), Timestamp::from_secs(1000 + 100 * i + 58));
        }
        assert_eq!(
            delay.estimate(default),
            Duration::from_secs(40),
            "clamped, and old moments are forgotten"
        );
    }
}
