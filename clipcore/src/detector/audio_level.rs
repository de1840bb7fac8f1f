use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::level::{LevelScore, LevelScoreState};
use super::loudness::LoudnessConfig;
use super::state::{load, save};
use super::{Detector, DetectorInfo, Output};
use crate::event::{AudioLevel, Stamped};
use crate::{Result, Timestamp};

/// How often an instant of level is scored.
const STEP: Duration = Duration::from_millis(100);

/// A level holds at least this long, unless another one comes: producers send as rarely as once a second.
const HOLD: Duration = Duration::from_secs(2);

/// Finds sound that is louder than usual in levels that somebody else measured (`audio.level`).
///
/// The counterpart of [`Loudness`](super::Loudness) for producers that send levels instead of sound: `lufs`
/// as it is, else `rms` or `peak` as decibels. A level holds until the next one comes, at most 2 s or
/// `window_ms`, and is scored every 100 ms.
#[derive(Debug, Clone)]
pub struct AudioLevelDetector {
    score: LevelScore,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    score: LevelScoreState,
    /// The level that holds, in decibels, and until when.
    level: Option<(f64, Timestamp)>,
    /// The next instant of the grid.
    next: Option<Timestamp>,
}

impl Default for AudioLevelDetector {
    fn default() -> Self {
        Self { score: LevelScore::with_valid(&LoudnessConfig::default(), STEP), state: State::default() }
    }
}

impl AudioLevelDetector {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: LoudnessConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { score: LevelScore::with_valid(&config, STEP), state: State::default() })
    }
}

fn decibels(level: &AudioLevel) -> Option<f64> {
    let db = |amplitude: f64| 20.0 * amplitude.abs().max(1e-6).log10();
    let found = level.lufs.or_else(|| level.rms.map(db)).or_else(|| level.peak.map(db));
    found.filter(|l| l.is_finite())
}

impl Detector for AudioLevelDetector {
    type Input = AudioLevel;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("audio_level", &["loud"])
    }

    fn detect(&mut self, event: &Stamped<AudioLevel>, _out: &mut Output) {
        let Some(level) = decibels(&event.data) else { return };
        let window = event.data.window_ms.filter(|w| w.is_finite()).unwrap_or(0.0).clamp(0.0, 10_000.0);
        let hold = HOLD.max(Duration::from_micros((window * 1000.0) as u64));
        self.state.level = Some((level, event.at + hold));
        self.state.next.get_or_insert(event.at.next_multiple(STEP));
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        while let (Some(at), Some((level, until))) = (self.state.next, self.state.level)
            && at <= to
        {
            if at > until {
                self.state.next = None;
                return;
            }
            if let Some((z, onset)) = self.score.update(at, level) {
                out.signal("loud", at, onset, z);
            }
            self.state.next = Some(at + STEP);
        }
    }

    fn reset(&mut self) {
        self.score.reset();
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        save(&State { score: self.score.state(), ..self.state.clone() })
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state: State = load(state, "audio_level")?;
        self.score.restore(state.score.clone());
        self.state = state;
        Ok(())
    }
}
