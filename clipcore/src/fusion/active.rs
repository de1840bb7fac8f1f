use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{Burst, ChatDelay};
use super::memory::{Item, Memory};
use super::{Bounds, Evidence, FusionSetup, Moment, MomentState, Role};
use crate::detector::round_score;
use crate::{StreamId, Timestamp};

/// Fast evidence of at least this share of the score supports a moment's bounds, in logits.
const SUPPORT: f64 = 0.5;

/// Fast evidence this close to each other is one happening.
const SAME_HAPPENING: Duration = Duration::from_secs(5);
/// As many happenings of one moment are told apart.
const MAX_HAPPENINGS: usize = 8;
/// How much chat's delay varies: the scale of a Laplace distribution with the median absolute deviation of 9 s that was
/// measured on two games (9 / ln 2).
const DELAY_SCALE_SECS: f64 = 13.0;

/// Something that was heard or seen in the course of a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Happening {
    onset: Timestamp,
    last: Timestamp,
    /// Its strongest evidence, in logits.
    strength: f64,
}

/// The evidence at one tick, weighed.
#[derive(Debug, Clone, Default)]
pub(super) struct Weighed {
    /// The fused log-odds, memory included.
    pub(super) total: f64,
    /// The same from fresh evidence alone.
    pub(super) fresh: f64,
    /// Of `fresh`, what fast evidence adds.
    pub(super) fast: f64,
    /// Of `total`, what late evidence adds.
    pub(super) late: f64,
    /// Of `fresh`, what decisive evidence adds.
    pub(super) decisive: f64,
    /// When the fast evidence that is fresh began.
    pub(super) fast_onset: Option<Timestamp>,
    /// Late evidence is left out: it may still speak of the moment before.
    deaf: bool,
}

impl Weighed {
    pub(super) fn new(setup: &FusionSetup, memories: &[Memory], now: Timestamp) -> Self {
        let bias = setup.weights.bias;
        let mut w = Self { total: bias, fresh: bias, ..Self::default() };
        for (group, memory) in setup.groups.iter().zip(memories) {
            let held = memory.best(now, group).map_or(0.0, |(_, llr)| group.weight * llr);
            let fresh = memory.fresh(now).map_or(0.0, |item| group.weight * item.llr);
            w.total += held;
            w.fresh += fresh;
            match group.role {
                Role::Fast => {
                    w.fast += fresh;
                    let onset = memory.fresh(now).map(|item| item.onset);
                    w.fast_onset = w.fast_onset.into_iter().chain(onset).min();
                }
                Role::Late => w.late += held,
                Role::Decisive => w.decisive += fresh,
            }
        }
        w
    }

    /// The same without late evidence.
    pub(super) fn without_late(mut self) -> Self {
        self.total -= self.late;
        self.late = 0.0;
        self.deaf = true;
        self
    }
}

/// A moment that is provisional or open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Active {
    pub(super) id: Arc<str>,
    pub(super) rev: u32,
    /// The tick at which it was first emitted, and the one at which it opened.
    pub(super) since: Timestamp,
    pub(super) opened: Option<Timestamp>,
    /// When the moment before it closed.
    after: Option<Timestamp>,
    pub(super) peak: Timestamp,
    score: f64,
    evidence: Vec<Evidence>,
    /// What names it, with the instant it was found.
    named: Option<Item>,
    /// The trace of the first evidence that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<Arc<str>>,
    /// What was heard or seen, one entry a happening.
    happenings: Vec<Happening>,
    /// What a person asked for began here, and when they last asked.
    wish: Option<(Timestamp, Timestamp)>,
    pub(super) last_fast: Option<Timestamp>,
    chat: Option<Burst>,
    /// The last tick at which fresh evidence was above the exit threshold.
    pub(super) last_above: Timestamp,
    /// For how long fast evidence alone was above the enter threshold.
    pub(super) sustained: Duration,
}

impl Active {
    pub(super) fn new(id: Arc<str>, now: Timestamp, after: Option<Timestamp>) -> Self {
        Self {
            id,
            rev: 0,
            since: now,
            opened: None,
            after,
            peak: now,
            score: f64::MIN,
            evidence: Vec::new(),
            named: None,
            trace: None,
            happenings: Vec::new(),
            wish: None,
            last_fast: None,
            chat: None,
            last_above: now,
            sustained: Duration::ZERO,
        }
    }

    /// Takes in the evidence of a tick.
    pub(super) fn observe(
        &mut self,
        setup: &FusionSetup,
        memories: &[Memory],
        naming: &Memory,
        weighed: &Weighed,
        now: Timestamp,
    ) {
        if weighed.total > self.score {
            self.score = weighed.total;
            self.peak = now;
            self.evidence = explain(setup, memories, weighed.deaf, now);
        }
        if self.trace.is_none() {
            let fresh = memories.iter().filter_map(|memory| memory.fresh(now));
            let traced = fresh.filter(|item| item.trace.is_some());
            let strongest = traced.max_by(|a, b| a.llr.total_cmp(&b.llr));
            self.trace = strongest.and_then(|item| item.trace.clone());
        }
        let above = weighed.fresh >= setup.weights.decision.exit();
        if above {
            self.last_above = now;
        }
        if weighed.late > 0.0 {
            self.react(setup, memories, weighed.late, above, now);
        }
        for (group, memory) in setup.groups.iter().zip(memories) {
            let Some((item, llr)) = memory.best(now, group) else { continue };
            match group.role {
                Role::Fast if group.weight * llr >= SUPPORT => {
                    let fresh = memory.fresh(now);
                    for (item, llr) in [(item, llr)].into_iter().chain(fresh.map(|item| (item, item.llr))) {
                        // What was over before the last moment closed belongs to that one.
                        if self.after.is_none_or(|closed| item.onset > closed)
                            && group.weight * llr >= SUPPORT
                        {
                            self.happened(item, group.weight * llr);
                            self.last_fast = self.last_fast.or(Some(item.at));
                        }
                    }
                    self.last_fast = self.last_fast.max(fresh.map(|item| item.at));
                }
                Role::Decisive => {
                    let since = self.wish.map(|(since, _)| since);
                    let since = earlier(since, item.onset - group.delay);
                    self.wish = since.map(|since| (since, item.at));
                }
                Role::Fast | Role::Late => {}
            }
        }
        if let Some((item, _)) = naming.best(now, &setup.naming)
            && self.named.as_ref().is_none_or(|named| item.llr > named.llr)
        {
            self.named = Some(item.clone());
        }
    }

    /// Files fast evidence under the happening that it continues, or as a new one.
    fn happened(&mut self, item: &Item, strength: f64) {
        let near =
            |h: &&mut Happening| item.onset <= h.last + SAME_HAPPENING && item.at + SAME_HAPPENING >= h.onset;
        if let Some(known) = self.happenings.iter_mut().find(near) {
            known.onset = known.onset.min(item.onset);
            known.last = known.last.max(item.at);
            known.strength = known.strength.max(strength);
            return;
        }
        if self.happenings.len() == MAX_HAPPENINGS {
            self.happenings.remove(0);
        }
        self.happenings.push(Happening { onset: item.onset, last: item.at, strength });
    }

    /// When what the moment is about began. Where several things happened, the one that is most likely behind what chat
    /// says: the log-likelihood of its evidence plus that of chat being as late as it would have to be.
    fn fast_onset(&self, onset_delay: Duration) -> Option<Timestamp> {
        let likelihood = |h: &Happening| {
            let lateness = self.chat.as_ref().map(|chat| chat.onset.secs_since(h.onset + onset_delay).abs());
            h.strength - lateness.unwrap_or(0.0) / DELAY_SCALE_SECS
        };
        self.happenings.iter().max_by(|a, b| likelihood(a).total_cmp(&likelihood(b))).map(|h| h.onset)
    }

    /// Takes in that chat speaks.
    fn react(
        &mut self,
        setup: &FusionSetup,
        memories: &[Memory],
        strength: f64,
        above: bool,
        now: Timestamp,
    ) {
        let late = setup.groups.iter().zip(memories).filter(|(group, _)| group.role == Role::Late);
        let strongest = late
            .filter_map(|(group, memory)| {
                memory.best(now, group).map(|(item, llr)| (group.weight * llr, item))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let onset = strongest.map_or(now, |(_, item)| item.onset);
        let burst = self.chat.get_or_insert(Burst { onset, peak: now, strength, last: now });
        if strength > burst.strength {
            (burst.peak, burst.strength) = (now, strength);
        }
        if above {
            burst.last = now;
        }
    }

    /// Where a clip of it begins and ends, as far as is known at `now`.
    fn bounds(&self, bounds: &Bounds, delay: Duration, now: Timestamp) -> (Timestamp, Timestamp) {
        let onset_delay = (bounds.chat_onset_delay + delay).saturating_sub(bounds.chat_delay);
        let seen = self.fast_onset(onset_delay).into_iter().chain(self.wish.map(|(since, _)| since)).min();
        let (start, end) = match (seen, &self.chat) {
            (Some(onset), chat) => {
                let heard = chat.as_ref().map(|chat| chat.last - delay);
                let end =
                    [self.last_fast, self.wish.map(|(_, last)| last), heard].into_iter().flatten().max();
                (onset, end.unwrap_or(onset).max(onset))
            }
            (None, Some(chat)) => bounds.of_chat(chat, delay),
            (None, None) => (now, now),
        };
        (start - bounds.pre_roll, end + bounds.post_roll)
    }

    /// The moment as it is now, after a transition.
    pub(super) fn transition(
        &mut self,
        state: MomentState,
        stream: &StreamId,
        setup: &FusionSetup,
        delay: &ChatDelay,
        now: Timestamp,
    ) -> Moment {
        self.rev += 1;
        let bounds = &setup.weights.bounds;
        let (start, end) = self.bounds(bounds, delay.estimate(bounds.chat_delay), now);
        let mut evidence = self.evidence.clone();
        let label = match &self.named {
            Some(named) => {
                if !evidence.iter().any(|e| e.detector == named.detector && e.label == named.label) {
                    // It adds nothing to the score, but it is why the moment is called what it is called.
                    evidence.insert(evidence.len() - 1, Evidence::of(named, 0.0));
                }
                named.label.clone()
            }
            None => evidence[0].label.clone(),
        };
        Moment {
            id: self.id.clone(),
            rev: self.rev,
            stream: stream.clone(),
            state,
            start,
            peak: self.peak,
            end,
            decided_at: now,
            start_time: None,
            peak_time: None,
            end_time: None,
            score: round_score(evidence.iter().map(|e| e.contribution).sum()),
            label,
            evidence,
            trace: self.trace.clone(),
        }
    }

    /// When it happened and when chat peaked, where both sound (or the like) and chat were there.
    pub(super) fn lesson(&self, bounds: &Bounds) -> Option<(Timestamp, Timestamp)> {
        Some((self.fast_onset(bounds.chat_onset_delay)?, self.chat.as_ref()?.peak))
    }
}

fn earlier(known: Option<Timestamp>, new: Timestamp) -> Option<Timestamp> {
    Some(known.map_or(new, |k| k.min(new)))
}

impl Evidence {
    fn of(item: &Item, contribution: f64) -> Self {
        Self {
            detector: item.detector.clone(),
            label: item.label.clone(),
            camera: item.camera.clone(),
            at: item.at,
            score: item.score,
            contribution: round_score(contribution),
        }
    }
}

/// Each group's strongest evidence with its share, strongest first, and the prior last.
fn explain(setup: &FusionSetup, memories: &[Memory], deaf: bool, now: Timestamp) -> Vec<Evidence> {
    let mut evidence: Vec<_> = setup
        .groups
        .iter()
        .zip(memories)
        .filter(|(group, _)| !(deaf && group.role == Role::Late))
        .filter_map(|(group, memory)| memory.best(now, group).map(|(item, llr)| (item, group.weight * llr)))
        .filter(|(_, share)| *share > 0.0)
        .map(|(item, share)| Evidence::of(item, share))
        .collect();
    evidence.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
    let bias = round_score(setup.weights.bias);
    evidence.push(Evidence {
        detector: "fusion".into(),
        label: "prior".into(),
        camera: None,
        at: now,
        score: bias,
        contribution: bias,
    });
    evidence
}
