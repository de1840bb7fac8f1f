//! From a level in decibels to a score: what the loudness detectors share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LoudnessConfig, Normalizer, NormalizerState};
use crate::Timestamp;

/// A pause in which a run of loud instants does not end.
const RUN_GAP: Duration = Duration::from_millis(500);
/// A hole in the levels after which "now" is unknown.
const HOLE: Duration = Duration::from_secs(1);
/// A level covers this much sound before its instant (EBU R128 momentary).
const WINDOW: Duration = Duration::from_millis(400);

/// The z-score of a level, its gate against silence, and where a loud run began.
#[derive(Debug, Clone)]
pub(super) struct LevelScore {
    normalizer: Normalizer,
    min_z: f64,
    gate: f64,
    state: LevelScoreState,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LevelScoreState {
    normalizer: NormalizerState,
    last: Option<Timestamp>,
    /// Onset and latest instant of the run of loud instants.
    run: Option<(Timestamp, Timestamp)>,
}

impl LevelScore {
    pub(super) fn with_valid(config: &LoudnessConfig, step: Duration) -> Self {
        Self {
            normalizer: Normalizer::with_valid(&config.normalizer, step),
            min_z: config.min_z,
            gate: config.gate_lufs,
            state: LevelScoreState::default(),
        }
    }

    /// Takes in the level at `at`; gives score and onset where it is loud.
    ///
    /// Silence below the gate is passed over, so that neither a muted microphone nor its return counts.
    pub(super) fn update(&mut self, at: Timestamp, level: f64) -> Option<(f64, Timestamp)> {
        if self.state.last.replace(at).is_some_and(|last| at > last + HOLE) {
            self.normalizer.gap();
        }
        if level.is_nan() || level < self.gate {
            self.normalizer.gap();
            return None;
        }
        let z = self.normalizer.update(level);
        if z < self.min_z {
            return None;
        }
        let onset = match self.state.run {
            Some((onset, last)) if at <= last + RUN_GAP => onset,
            _ => at - WINDOW,
        };
        self.state.run = Some((onset, at));
        Some((z, onset))
    }

    pub(super) fn reset(&mut self) {
        self.normalizer.reset();
        self.state = LevelScoreState::default();
    }

    pub(super) fn state(&self) -> LevelScoreState {
        LevelScoreState { normalizer: self.normalizer.state().clone(), ..self.state.clone() }
    }

    pub(super) fn restore(&mut self, state: LevelScoreState) {
        self.normalizer.restore(state.normalizer.clone());
        self.state = state;
    }
}
