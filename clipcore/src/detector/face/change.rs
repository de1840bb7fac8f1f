//! How a person's expression changes, against that person's own usual: what both face detectors share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::detector::chatters::fnv1a;
use crate::detector::{Normalizer, NormalizerConfig, NormalizerState, Output};
use crate::{Error, Result, Timestamp};

/// Expressions are scored this often; between two looks the last one holds.
const STEP: Duration = Duration::from_millis(200);

/// Any change of a face, whatever it is.
const ANY_CHANGE: &str = "expression";

/// Scores of one face that are kept at most.
const MOST_SCORES: usize = 64;

/// How changes of expression are scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpressionConfig {
    /// How unusual a score is for this person.
    pub normalizer: NormalizerConfig,
    /// Changes below this z-score are not reported.
    pub min_z: f64,
    /// A change counts once it has been seen for this long.
    #[serde(with = "crate::config::secs")]
    pub sustain: Duration,
    /// What was seen holds until the next look, at most this long.
    #[serde(with = "crate::config::secs")]
    pub hold: Duration,
    /// What a face does (the label of the signal), and the names that models and producers have for it. Capitals and `_`
    /// do not matter; of several scores the highest counts.
    pub labels: BTreeMap<String, Vec<String>>,
}

impl Default for ExpressionConfig {
    fn default() -> Self {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
        Self {
            normalizer: NormalizerConfig {
                tau_fast: Duration::from_millis(600),
                tau_slow: Duration::from_secs(120),
                warm_up: Duration::from_secs(20),
                winsor: 3.0,
                floor: 0.1,
                counts: false,
                // An expression lasts about a second: five instants say the same.
                overlap: 5.0,
                step_after: Duration::from_secs(30),
            },
            min_z: 2.0,
            sustain: Duration::from_millis(600),
            hold: Duration::from_millis(2500),
            labels: BTreeMap::from([
                (
                    "smile".to_owned(),
                    names(&["smile", "happy", "happiness", "joy", "mouthSmileLeft", "mouthSmileRight"]),
                ),
                (
                    "surprise".to_owned(),
                    names(&["surprise", "surprised", "browInnerUp", "eyeWideLeft", "eyeWideRight"]),
                ),
            ]),
        }
    }
}

impl ExpressionConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.normalizer.validate()?;
        let bad = |key: &'static str, why: &str| {
            Err(Error::config(format!("{key} of expressions {why}")).with_context("key", key))
        };
        if !self.min_z.is_finite() {
            return bad("min_z", "must be a number");
        }
        if self.hold < STEP || self.hold > Duration::from_secs(60) {
            return bad("hold", "must be from 0.2 to 60 s");
        }
        if self
            .labels
            .iter()
            .any(|(label, names)| label.is_empty() || label == ANY_CHANGE || names.is_empty())
        {
            return bad("labels", "need a name other than \"expression\" and at least one score each");
        }
        Ok(())
    }
}

/// Scores under the names that a model or producer gives them.
pub(super) type Named<'a> = &'a [(&'a str, f64)];

/// A person's expression: what is usual, and what is now.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Person {
    /// When it was last seen, and the value of each label then.
    seen: Option<Timestamp>,
    values: Vec<f64>,
    /// By a hash of its name, each score now and its usual height.
    scores: BTreeMap<u64, (f64, f64)>,
    /// Instants that the usual heights rest on.
    instants: f64,
    changes: Vec<Change>,
}

/// One label's baseline, and the run of instants at which it stood out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    normalizer: NormalizerState,
    /// The first and the last look that showed it.
    run: Option<(Timestamp, Timestamp)>,
}

/// A label that stands out: z-score and onset.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    z: f64,
    onset: Timestamp,
}

/// Scores persons at the instants of a grid.
#[derive(Debug, Clone)]
pub(super) struct Scorer {
    config: ExpressionConfig,
    normalizer: Normalizer,
    alpha: f64,
    labels: Vec<(Arc<str>, Vec<String>)>,
    /// The next instant; none while nobody is seen.
    pub(super) next: Option<Timestamp>,
}

impl Scorer {
    pub(super) fn try_new(config: ExpressionConfig) -> Result<Self> {
        config.validate()?;
        let labels = config
            .labels
            .iter()
            .map(|(label, names)| (Arc::from(label.as_str()), names.iter().map(|n| plain(n)).collect()));
        Ok(Self {
            normalizer: Normalizer::try_new(config.normalizer.clone(), STEP)?,
            alpha: 1.0 - (-STEP.as_secs_f64() / config.normalizer.tau_slow.as_secs_f64()).exp(),
            labels: labels.collect(),
            config,
            next: None,
        })
    }

    /// The labels that signals may carry.
    pub(super) fn labels(&self) -> Vec<std::borrow::Cow<'static, str>> {
        let own = self.labels.iter().map(|(label, _)| label.to_string().into());
        own.chain([ANY_CHANGE.into()]).collect()
    }

    /// Whether any label is made of one of these names.
    pub(super) fn knows_any(&self, names: &[String]) -> bool {
        names.iter().any(|n| self.labels.iter().any(|(_, known)| known.contains(&plain(n))))
    }

    /// Takes in what a person's face shows at `at`.
    pub(super) fn observe(&mut self, person: &mut Person, at: Timestamp, scores: Named<'_>) {
        let scores =
            || scores.iter().filter(|(_, s)| s.is_finite()).map(|(n, s)| (plain(n), s.clamp(0.0, 1.0)));
        if scores().next().is_none() {
            return;
        }
        let highest = |names: &[String]| {
            scores().filter(|(n, _)| names.contains(n)).map(|(_, s)| s).fold(0.0, f64::max)
        };
        person.values = self.labels.iter().map(|(_, names)| highest(names)).collect();
        for (name, now) in scores() {
            let key = fnv1a(name.as_bytes());
            let room = person.scores.len() < MOST_SCORES;
            if room || person.scores.contains_key(&key) {
                person.scores.entry(key).or_insert((now, now)).0 = now;
            }
        }
        person.seen = Some(at);
        self.next.get_or_insert(at.next_multiple(STEP));
    }

    /// Time has reached `to`: reports what stood out at each instant up to it, of several people the one who changed most.
    pub(super) fn advance<'a>(
        &mut self,
        to: Timestamp,
        people: impl Iterator<Item = &'a mut Person>,
        out: &mut Output,
    ) {
        if self.next.is_none_or(|at| at > to) {
            return;
        }
        let mut people: Vec<_> = people.collect();
        while let Some(at) = self.next.filter(|at| *at <= to) {
            let mut best: Vec<Option<Found>> = vec![None; self.labels.len() + 1];
            let mut anybody = false;
            for person in &mut people {
                anybody |= self.score(person, at, &mut best);
            }
            let labels = self.labels.iter().map(|(label, _)| &**label).chain([ANY_CHANGE]);
            for (label, found) in labels.zip(best) {
                if let Some(found) = found {
                    out.signal(label, at, found.onset, found.z);
                }
            }
            self.next = anybody.then(|| at + STEP);
        }
    }

    /// Whether the person is in sight at this instant.
    fn score(&mut self, person: &mut Person, at: Timestamp, best: &mut [Option<Found>]) -> bool {
        let Some(seen) = person.seen.filter(|seen| at <= *seen + self.config.hold) else {
            for change in person.changes.iter_mut().filter(|_| person.seen.is_some()) {
                self.normalizer.restore(change.normalizer.clone());
                self.normalizer.gap();
                *change = Change { normalizer: self.normalizer.state().clone(), run: None };
            }
            person.seen = None;
            return false;
        };
        let alpha = self.alpha.max(1.0 / (person.instants + 1.0));
        let mut departure = 0.0f64;
        for (now, usual) in person.scores.values_mut() {
            departure = departure.max((*now - *usual).abs());
            *usual += alpha * (*now - *usual);
        }
        person.instants += 1.0;
        person.values.resize(best.len() - 1, 0.0);
        person.changes.resize_with(best.len(), Change::default);
        let values = person.values.iter().copied().chain([departure]);
        for ((change, value), best) in person.changes.iter_mut().zip(values).zip(best) {
            self.normalizer.restore(change.normalizer.clone());
            // The fast average lags: what is seen now must stand out by itself as well.
            let stands_out = value - self.normalizer.baseline() >= self.normalizer.deviation();
            let z = self.normalizer.update(value);
            change.normalizer = self.normalizer.state().clone();
            if !stands_out || z < self.config.min_z {
                change.run = None;
                continue;
            }
            let (onset, _) = change.run.unwrap_or((seen, seen));
            change.run = Some((onset, seen));
            let sustained = seen >= onset + self.config.sustain;
            if sustained && best.is_none_or(|b| (b.z, onset) < (z, b.onset)) {
                *best = Some(Found { z, onset });
            }
        }
        true
    }
}

/// A score's name without what does not matter.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}
