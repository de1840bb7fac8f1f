use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::{ExpressionConfig, Person, Scorer};
use crate::consent::Consent;
use crate::detector::state::{load, save};
use crate::detector::{Detector, DetectorInfo, Output};
use crate::event::{FaceExpression, Stamped};
use crate::{Result, Timestamp};

/// People remembered at once.
const MOST_PEOPLE: usize = 16;

/// Finds changes of expression in scores that somebody else computed (`face.expression`), each person against their own
/// usual.
///
/// The counterpart of [`FaceDetector`](super::FaceDetector) for producers that send scores instead of pictures; what is
/// said there of labels and scores holds here. Events without a `person` are all about the same one.
#[derive(Debug, Clone)]
pub struct FaceExpressionDetector {
    scorer: Scorer,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    people: Vec<Known>,
    next: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: Arc<str>,
    last: Timestamp,
    person: Person,
}

impl FaceExpressionDetector {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: ExpressionConfig) -> Result<Self> {
        Ok(Self { scorer: Scorer::try_new(config)?, state: State::default() })
    }

    fn person(&mut self, name: &Arc<str>, at: Timestamp) -> &mut Person {
        let people = &mut self.state.people;
        let index = people.iter().position(|p| p.name == *name).unwrap_or_else(|| {
            let new = Known { name: name.clone(), last: at, person: Person::default() };
            let oldest = (0..people.len()).min_by_key(|i| people[*i].last);
            match oldest.filter(|_| people.len() >= MOST_PEOPLE) {
                Some(i) => {
                    people[i] = new;
                    i
                }
                None => {
                    people.push(new);
                    people.len() - 1
                }
            }
        });
        people[index].last = at;
        &mut people[index].person
    }
}

impl Detector for FaceExpressionDetector {
    type Input = FaceExpression;

    fn info(&self) -> DetectorInfo {
        let needs = Consent { face: true, ..Consent::NONE };
        DetectorInfo { labels: self.scorer.labels(), needs, ..DetectorInfo::new("face_expression", &[]) }
    }

    fn detect(&mut self, event: &Stamped<FaceExpression>, _out: &mut Output) {
        let name = event.data.person.clone().unwrap_or_default();
        let named: Vec<_> = event.data.scores.iter().map(|(name, score)| (&**name, *score)).collect();
        let mut person = std::mem::take(self.person(&name, event.at));
        self.scorer.observe(&mut person, event.at, &named);
        *self.person(&name, event.at) = person;
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        let people = self.state.people.iter_mut().map(|known| &mut known.person);
        self.scorer.advance(to, people, out);
    }

    fn reset(&mut self) {
        self.scorer.next = None;
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        save(&State { next: self.scorer.next, ..self.state.clone() })
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.state = load(state, "face_expression")?;
        self.scorer.next = self.state.next;
        Ok(())
    }
}
