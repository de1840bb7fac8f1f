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

#[cfg(test)]
mod tests {
    use super::super::testing::{at, run};
    use super::*;

    fn level(rms: Option<f64>, lufs: Option<f64>) -> AudioLevel {
        AudioLevel { rms, lufs, peak: None, window_ms: None }
    }

    /// Levels once a second, louder from 80 to 84 s.
    fn loud(make: impl Fn(bool) -> AudioLevel) -> Vec<f64> {
        let events: Vec<_> = (0..120u8).map(|i| at(f64::from(i), make((80..84).contains(&i)))).collect();
        run(&mut AudioLevelDetector::default(), &events, 120.0)
            .iter()
            .filter(|s| s.score > 4.0)
            .map(|s| s.at.as_secs_f64())
            .collect()
    }

    #[test]
    fn loud_passages_stand_out_in_any_unit() {
        for make in
            [(|loud| level(Some(if loud { 0.5 } else { 0.02 }), None)) as fn(bool) -> AudioLevel, |loud| {
                level(None, Some(if loud { -8.0 } else { -30.0 }))
            }]
        {
            let times = loud(make);
            assert!(times.first().is_some_and(|t| (80.0..81.0).contains(t)), "{times:?}");
            assert!(times.iter().all(|t| (80.0..87.0).contains(t)), "{times:?}");
        }
    }

    #[test]
    fn silence_and_its_end_are_no_loud_passage() {
        assert!(loud(|loud| level(None, Some(if loud { -90.0 } else { -30.0 }))).is_empty());
        assert!(loud(|_| level(Some(f64::NAN), None)).is_empty());
        assert!(loud(|_| level(None, None)).is_empty());
    }
}
