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
    /// How late chat peaks after what it reacts to, until a channel has taught its own delay.
    #[serde(with = "crate::config::secs")]
    pub chat_delay: Duration,
    /// Moments of chat alone: how much earlier than that the clip begins, since the delay varies.
    #[serde(with = "crate::config::secs")]
    pub chat_before: Duration,
    /// Moments of chat alone: how long after that instant the clip ends, before the post-roll.
    #[serde(with = "crate::config::secs")]
    pub chat_after: Duration,
}

impl Bounds {
    pub(super) fn validate(&self) -> Result<()> {
        let longest = Duration::from_secs(600);
        let all = [self.pre_roll, self.post_roll, self.chat_delay, self.chat_before, self.chat_after];
        if all.iter().any(|d| *d > longest) {
            return Err(Error::config("the durations of bounds must be at most 600 s"));
        }
        Ok(())
    }
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
