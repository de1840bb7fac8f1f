use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::{load, save};
use super::{Detector, DetectorInfo, Output};
use crate::event::{GameEvent, Stamped};
use crate::{Error, Result, Timestamp};

/// How a [`GameEventDetector`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GameEventConfig {
    /// Kinds that add up to a streak when they come in quick succession.
    pub streak_of: Vec<String>,
    /// The longest pause within a streak.
    #[serde(with = "crate::config::secs")]
    pub streak_window: Duration,
    /// How much one event of a kind matters, where it does not say so itself; 1 for kinds not named.
    pub weights: BTreeMap<String, f64>,
}

impl Default for GameEventConfig {
    fn default() -> Self {
        Self {
            streak_of: vec!["kill".to_owned()],
            streak_window: Duration::from_secs(10),
            weights: BTreeMap::new(),
        }
    }
}

impl GameEventConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        if let Some((kind, weight)) = self.weights.iter().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
            return Err(Error::config(format!("the weight of {kind:?} is {weight}; it must be 0 or more"))
                .with_context("key", "weights"));
        }
        if self.streak_window.is_zero() {
            return Err(Error::config("streak_window of game_event must be above 0 s"));
        }
        Ok(())
    }
}

/// Scores what the game itself reports.
///
/// A single event of kind `k` gives a signal labelled `k` with score `weight × count`. Events of the kinds in
/// `streak_of` add up while they follow each other within `streak_window`: from the second on the signal is
/// `streak`, its score the streak's sum and its onset the streak's first event. What happens at one and the
/// same instant gives one signal a label.
#[derive(Debug, Clone, Default)]
pub struct GameEventDetector {
    config: GameEventConfig,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    streak: Option<Streak>,
    /// What happened at the last instant, by label: score and onset.
    pending: BTreeMap<Arc<str>, (f64, Timestamp)>,
    pending_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Streak {
    since: Timestamp,
    last: Timestamp,
    events: u32,
    sum: f64,
}

impl GameEventDetector {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: GameEventConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, state: State::default() })
    }

    fn streak(&mut self, at: Timestamp, score: f64) -> Option<(f64, Timestamp)> {
        let streak = match self.state.streak.take() {
            Some(s) if s.last + self.config.streak_window >= at => {
                Streak { last: at, events: s.events.saturating_add(1), sum: s.sum + score, ..s }
            }
            _ => Streak { since: at, last: at, events: 1, sum: score },
        };
        let found = (streak.events > 1).then_some((streak.sum, streak.since));
        self.state.streak = Some(streak);
        found
    }
}

impl Detector for GameEventDetector {
    type Input = GameEvent;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("game_event", &["kill", "streak", DetectorInfo::ANY_LABEL])
    }

    fn detect(&mut self, event: &Stamped<GameEvent>, _out: &mut Output) {
        let game = &event.data;
        let weight = game.weight.or_else(|| self.config.weights.get(&*game.kind).copied()).unwrap_or(1.0);
        let score = weight * f64::from(game.count.unwrap_or(1));
        if !score.is_finite() || score <= 0.0 {
            return;
        }
        self.state.pending_at = event.at;
        let is_streak = self.config.streak_of.iter().any(|k| **k == *game.kind);
        match is_streak.then(|| self.streak(event.at, score)).flatten() {
            Some((sum, since)) => {
                self.state.pending.insert("streak".into(), (sum, since));
            }
            None => self.state.pending.entry(game.kind.clone()).or_insert((0.0, event.at)).0 += score,
        }
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        if to > self.state.pending_at {
            for (label, (score, onset)) in std::mem::take(&mut self.state.pending) {
                out.signal(&label, self.state.pending_at, onset, score);
            }
        }
    }

    fn reset(&mut self) {
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        save(&self.state)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.state = load(state, "game_event")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, found, run};
    use super::*;

    fn event(kind: &str, weight: Option<f64>) -> GameEvent {
        GameEvent { kind: kind.into(), count: None, weight }
    }

    #[test]
    fn kills_in_quick_succession_are_a_streak() {
        let mut detector = GameEventDetector::default();
        let kills = [10.0, 14.0, 21.0, 60.0].map(|t| at(t, event("kill", None)));
        let signals = run(&mut detector, &kills, 100.0);
        assert_eq!(
            found(&signals),
            [("kill", 10.0, 1.0), ("streak", 14.0, 2.0), ("streak", 21.0, 3.0), ("kill", 60.0, 1.0)]
        );
        assert_eq!(signals[2].onset, Timestamp::from_secs(10));
    }

    #[test]
    fn kills_at_one_instant_are_one_streak_and_none_is_lost() {
        let mut detector = GameEventDetector::default();
        let kills = [10.0; 5].map(|t| at(t, event("kill", None)));
        assert_eq!(found(&run(&mut detector, &kills, 11.0)), [("kill", 10.0, 1.0), ("streak", 10.0, 5.0)]);
    }

    #[test]
    fn weights_come_from_the_event_or_the_settings_and_nonsense_is_passed_over() {
        let weights = BTreeMap::from([("goal".to_owned(), 4.0)]);
        let mut detector =
            GameEventDetector::try_new(GameEventConfig { weights, ..GameEventConfig::default() }).unwrap();
        let events = [("goal", None), ("goal", Some(2.0)), ("goal", Some(f64::NAN)), ("goal", Some(-1.0))];
        let events: Vec<_> =
            (1u8..).zip(events).map(|(i, (k, w))| at(20.0 * f64::from(i), event(k, w))).collect();
        assert_eq!(found(&run(&mut detector, &events, 100.0)), [("goal", 20.0, 4.0), ("goal", 40.0, 2.0)]);
    }
}
