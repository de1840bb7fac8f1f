//! What is heard of one label over time: pooled, compared with the usual, held.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AudioTaggerConfig;
use crate::Timestamp;

/// Log-odds outside ±8 say nothing more.
pub(super) const LOGIT_LIMIT: f64 = 8.0;
/// The usual level means something from so many steps on.
const SETTLED: usize = 20;

/// One label's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    /// The latest log-odds, with their instants.
    recent: VecDeque<(Timestamp, f64)>,
    /// Pooled log-odds of the last minute, silence left out.
    usual: VecDeque<f64>,
    /// Since when the score has been high enough.
    since: Option<Timestamp>,
}

impl Track {
    /// Takes in the log-odds of the patch that ends at `at`, or that it was silent; gives the score, and since when
    /// it has been high enough, where it has been so for long enough.
    pub(super) fn step(
        &mut self,
        at: Timestamp,
        logit: Option<f64>,
        patches: usize,
        config: &AudioTaggerConfig,
    ) -> Option<(f64, Timestamp)> {
        let x = logit.map_or(-LOGIT_LIMIT, |x| x.clamp(-LOGIT_LIMIT, LOGIT_LIMIT));
        let span = config.hop * u32::try_from(patches).unwrap_or(u32::MAX);
        self.recent.push_back((at, x));
        while self.recent.front().is_some_and(|(t, _)| *t + span <= at) {
            self.recent.pop_front();
        }
        let pooled = self.recent.iter().map(|(_, x)| x).sum::<f64>() / self.recent.len() as f64;
        let score = pooled - self.baseline(config);
        if logit.is_some() {
            self.usual.push_back(pooled);
            let most = (config.baseline.as_micros() / config.hop.as_micros().max(1)) as usize;
            while self.usual.len() > most.max(1) {
                self.usual.pop_front();
            }
        }
        if score < config.min_score {
            self.since = None;
            return None;
        }
        let since = *self.since.get_or_insert(at);
        (at + config.hop >= since + config.hold).then_some((score, since))
    }

    /// The median of the last minute, where that is above the floor.
    fn baseline(&self, config: &AudioTaggerConfig) -> f64 {
        if self.usual.len() < SETTLED {
            return config.baseline_floor;
        }
        let mut sorted: Vec<f64> = self.usual.iter().copied().collect();
        let middle = sorted.len() / 2;
        let (_, median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
        median.max(config.baseline_floor)
    }

    /// Nothing is known of what was heard just now.
    pub(super) fn gap(&mut self) {
        self.recent.clear();
        self.since = None;
    }
}

/// Checks the settings that this is about.
pub(super) fn validate(config: &AudioTaggerConfig) -> Result<(), &'static str> {
    let range = |d: Duration, low: u64, high: u64| (low..=high).contains(&(d.as_millis() as u64));
    if !range(config.hop, 100, 10_000) {
        return Err("hop must be from 0.1 to 10 s");
    }
    if !range(config.window, 100, 60_000) {
        return Err("window must be from 0.1 to 60 s");
    }
    if !range(config.hold, 0, 60_000) {
        return Err("hold must be at most 60 s");
    }
    if !range(config.baseline, 1_000, 3_600_000) || config.baseline < config.hop {
        return Err("baseline must be from 1 s to 1 h, and no shorter than hop");
    }
    let number = |x: f64, limit: f64| x.is_finite() && x.abs() <= limit;
    if !number(config.baseline_floor, LOGIT_LIMIT) || !number(config.min_score, 2.0 * LOGIT_LIMIT) {
        return Err("baseline_floor must be from -8 to 8, and min_score from -16 to 16");
    }
    if !(-160.0..=0.0).contains(&config.gate_db) {
        return Err("gate_db must be from -160 to 0");
    }
    Ok(())
}
