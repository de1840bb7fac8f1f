use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Timestamp};

/// When a moment becomes provisional, opens and closes. Thresholds are log-odds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The grid of stream time on which is decided.
    #[serde(with = "crate::config::secs")]
    pub tick: Duration,
    /// Late evidence, or fast evidence for `sustain`, opens a moment here.
    pub enter: f64,
    /// A moment is over once fresh evidence stays this much below `enter`.
    pub hysteresis: f64,
    /// Fast evidence makes a moment provisional here.
    pub provisional: f64,
    /// A provisional moment is dropped this long after its last fast evidence.
    #[serde(with = "crate::config::secs")]
    pub confirm_within: Duration,
    /// Fast evidence that stays above `enter` for this long opens a moment without any chat.
    #[serde(with = "crate::config::secs")]
    pub sustain: Duration,
    /// For how long evidence must stay away for a moment to close.
    #[serde(with = "crate::config::secs")]
    pub quiet: Duration,
    /// For how long after a moment's peak late evidence is taken to speak of it still.
    #[serde(with = "crate::config::secs")]
    pub refractory: Duration,
    /// A moment closes after this long whatever happens.
    #[serde(with = "crate::config::secs")]
    pub max_length: Duration,
}

impl Decision {
    /// The threshold below which a moment goes quiet.
    pub fn exit(&self) -> f64 {
        self.enter - self.hysteresis
    }

    pub(super) fn validate(&self, bias: f64) -> Result<()> {
        let levels = [self.enter, self.hysteresis, self.provisional];
        if levels.iter().any(|l| !l.is_finite()) || self.hysteresis < 0.0 {
            return Err(Error::config(
                "enter, hysteresis and provisional must be finite, hysteresis 0 or more",
            ));
        }
        if self.exit() <= bias || self.provisional <= bias {
            return Err(Error::config(format!(
                "enter − hysteresis ({}) and provisional ({}) must lie above bias ({bias})",
                self.exit(),
                self.provisional
            ))
            .with_hint("otherwise a moment opens without any evidence and never closes"));
        }
        if self.tick < Duration::from_millis(10) || self.tick > Duration::from_secs(10) {
            return Err(Error::config("tick must be from 0.01 to 10 s"));
        }
        if self.max_length < self.tick {
            return Err(Error::config("max_length must be at least one tick"));
        }
        Ok(())
    }
}

/// Raises the threshold so that no more moments open than a budget of clips an hour allows.
///
/// Each opening raises it by one logit, and time lowers it at `per_hour` logits an hour, never below
/// zero: the Robbins–Monro estimate of the score's quantile that is exceeded `per_hour` times an hour. Since
/// scores are bounded, so is the number of openings in any hour.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Budget {
    margin: f64,
    at: Option<Timestamp>,
}

impl Budget {
    pub(super) fn margin(&self, per_hour: Option<f64>, now: Timestamp) -> f64 {
        let (Some(per_hour), Some(at)) = (per_hour, self.at) else { return 0.0 };
        (self.margin - per_hour * now.secs_since(at) / 3600.0).max(0.0)
    }

    pub(super) fn opened(&mut self, per_hour: Option<f64>, now: Timestamp) {
        if per_hour.is_some() {
            self.margin = self.margin(per_hour, now) + 1.0;
            self.at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lets_the_best_through() {
        let (mut budget, per_hour) = (Budget::default(), Some(6.0));
        let mut opened = Vec::new();
        // Every minute one candidate; its strength above the threshold is 0 to 4, and 5 once an hour.
        for minute in 0..600i64 {
            let now = Timestamp::from_secs(minute * 60);
            let strength = if minute % 60 == 59 { 5.0 } else { ((minute * 7) % 5) as f64 };
            if strength >= budget.margin(per_hour, now) {
                budget.opened(per_hour, now);
                opened.push((minute, strength));
            }
        }
        let later = opened.iter().filter(|(minute, _)| *minute >= 60);
        assert!((40..=63).contains(&later.clone().count()), "{}", later.count());
        assert_eq!(later.clone().filter(|(_, s)| *s == 5.0).count(), 9, "the best of each hour is kept");
        assert!(later.filter(|(_, s)| *s <= 1.0).count() <= 2);
    }
}
