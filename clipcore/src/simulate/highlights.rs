use serde::{Deserialize, Serialize};

use crate::eval::Label;
use crate::rng::Rng;
use crate::{StreamId, Timestamp};

/// How often highlights happen and what they do to chat.
///
/// The response was measured on labelled streams of two games: the rate of chat peaks 17–23 s after a highlight
/// starts, at 1.6–1.9 times its usual level on average, and 20–30 % of highlights leave chat unmoved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HighlightConfig {
    /// Highlights in an hour.
    pub per_hour: f64,
    /// Shortest and longest highlight, seconds.
    pub length: [f64; 2],
    /// From a highlight's end to the next one's start at least, seconds.
    pub apart: f64,
    /// Earliest and latest peak of chat after the start, seconds.
    pub delay: [f64; 2],
    /// Mean extra rate at the peak, in usual rates, over the highlights that move chat.
    pub lift: f64,
    /// Share of highlights that chat does not respond to.
    pub unanswered: f64,
}

impl Default for HighlightConfig {
    fn default() -> Self {
        Self {
            per_hour: 20.0,
            length: [5.0, 25.0],
            apart: 60.0,
            delay: [17.0, 23.0],
            lift: 1.1,
            unanswered: 0.25,
        }
    }
}

/// The kinds that simulated highlights have.
pub(super) const KINDS: [&str; 4] = ["hype", "funny", "shock", "sad"];

/// Spread of the response before and after its peak, seconds.
const RISE: f64 = 5.0;
const FALL: f64 = 9.0;

/// A highlight and chat's answer to it. Times are seconds of media time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Highlight {
    pub(super) start: f64,
    pub(super) end: f64,
    pub(super) kind: usize,
    /// Extra rate at the peak in usual rates; 0 where chat does not answer.
    pub(super) lift: f64,
    pub(super) peak: f64,
}

impl HighlightConfig {
    pub(super) fn sample(&self, length: f64, rng: &mut Rng) -> Vec<Highlight> {
        let mut highlights = Vec::new();
        let mean_length = (self.length[0] + self.length[1]) / 2.0;
        let mean_gap = (3600.0 / self.per_hour.max(1e-9) - self.apart - mean_length).max(1.0);
        let mut t = 0.0;
        loop {
            let start = t + self.apart + rng.exponential(mean_gap);
            let end = start + rng.between(self.length[0], self.length[1]);
            if end + self.delay[1] > length {
                return highlights;
            }
            // Log-normal with mean 1 and a spread of about one half: some moments shake chat, others barely.
            let strength = (0.5 * rng.normal() - 0.125).exp();
            let answered = !rng.chance(self.unanswered);
            highlights.push(Highlight {
                start,
                end,
                kind: rng.below(KINDS.len()),
                lift: if answered { self.lift * strength } else { 0.0 },
                peak: start + rng.between(self.delay[0], self.delay[1]),
            });
            t = end;
        }
    }
}

impl Highlight {
    /// Extra messages at `rate` usual messages a second, as a Poisson process, unsorted.
    pub(super) fn response(&self, rate: f64, rng: &mut Rng) -> Vec<f64> {
        let half = (std::f64::consts::PI / 2.0).sqrt();
        let side = |spread: f64, sign: f64, rng: &mut Rng| {
            let n = rng.poisson(rate * self.lift * spread * half);
            (0..n).map(|_| self.peak + sign * spread * rng.normal().abs()).collect::<Vec<_>>()
        };
        let mut times = side(RISE, -1.0, rng);
        times.extend(side(FALL, 1.0, rng));
        times
    }

    pub(super) fn label(&self, stream: &StreamId) -> Label {
        let at = |secs: f64| Timestamp::from_millis((secs * 1e3).round() as i64);
        Label {
            stream: stream.clone(),
            start: at(self.start),
            end: at(self.end),
            kind: Some(KINDS[self.kind].into()),
        }
    }
}
