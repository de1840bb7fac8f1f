use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Group;
use crate::detector::Signal;
use crate::{CameraId, Timestamp};

/// Faded log-likelihood ratios below this are forgotten.
const FORGET: f64 = 0.05;
/// Signals of one detector this close to each other are one happening.
const CHAIN: Duration = Duration::from_secs(2);
/// Evidence is fresh for this long.
const FRESH: Duration = Duration::from_millis(1500);

/// A signal in memory, with its calibrated log-likelihood ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) at: Timestamp,
    pub(super) onset: Timestamp,
    pub(super) llr: f64,
    pub(super) score: f64,
    pub(super) detector: Arc<str>,
    pub(super) label: Arc<str>,
    pub(super) camera: Option<CameraId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<Arc<str>>,
}

impl Item {
    pub(super) fn new(signal: &Signal, llr: f64) -> Self {
        Self {
            at: signal.at,
            onset: signal.onset,
            llr,
            score: signal.score,
            detector: signal.detector.clone(),
            label: signal.label.clone(),
            camera: signal.camera.clone(),
            trace: signal.trace.clone(),
        }
    }
}

/// The maximum over a group's evidence of `llr·h(age)`, with h = 1 up to `hold` and e^(−(age − hold)/decay) after.
///
/// Amortised O(1) an item: within `hold` a monotone queue (strictly falling ratios, strongest first); past it
/// all items fade alike, so that only the strongest of them can ever matter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    held: VecDeque<Item>,
    fading: Option<Item>,
}

impl Memory {
    /// Takes in an item; items come in the order of `at`.
    pub(super) fn push(&mut self, mut item: Item) {
        while let Some(last) = self.held.back()
            && last.llr <= item.llr
        {
            // What it outdoes may have been its own beginning.
            if item.onset <= last.at + CHAIN {
                item.onset = item.onset.min(last.onset);
            }
            self.held.pop_back();
        }
        self.held.push_back(item);
    }

    /// Lets time pass: moves what is past its hold, forgets what has faded.
    pub(super) fn advance(&mut self, now: Timestamp, group: &Group) {
        while self.held.front().is_some_and(|item| item.at + group.hold <= now) {
            let Some(item) = self.held.pop_front() else { break };
            let stronger = match &self.fading {
                Some(old) => faded(&item, now, group) >= faded(old, now, group),
                None => true,
            };
            if stronger {
                self.fading = Some(item);
            }
        }
        if self.fading.as_ref().is_some_and(|item| faded(item, now, group) < FORGET) {
            self.fading = None;
        }
    }

    /// The strongest evidence and what is left of its log-likelihood ratio.
    pub(super) fn best(&self, now: Timestamp, group: &Group) -> Option<(&Item, f64)> {
        let held = self.held.front().map(|item| (item, item.llr));
        let fading = self.fading.as_ref().map(|item| (item, faded(item, now, group)));
        match (held, fading) {
            (Some(h), Some(f)) => Some(if f.1 > h.1 { f } else { h }),
            (h, f) => h.or(f),
        }
    }

    /// The strongest evidence of the last moment.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<&Item> {
        self.held.iter().rev().take_while(|item| now < item.at + FRESH).last()
    }

    /// Gives back memory that an empty one does not need.
    pub(super) fn shrink(&mut self) {
        if self.held.is_empty() {
            self.held.shrink_to_fit();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.fading.is_none()
    }
}

fn fade(item: &Item, now: Timestamp, group: &Group) -> f64 {
    let past = now.secs_since(item.at + group.hold).max(0.0);
    if group.decay.is_zero() { 0.0 } else { (-past / group.decay.as_secs_f64()).exp() }
}

fn faded(item: &Item, now: Timestamp, group: &Group) -> f64 {
    item.llr * fade(item, now, group)
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;
    use proptest::prelude::*;

    fn item(at: i64, llr: f64) -> Item {
        Item {
            at: Timestamp::from_secs(at),
            onset: Timestamp::from_secs(at),
            llr,
            score: llr,
            detector: "d".into(),
            label: "l".into(),
            camera: None,
            trace: None,
        }
    }

    proptest! {
        /// The queue says what a look at all items would say.
        #[test]
        fn the_queue_equals_the_definition(llrs in prop::collection::vec(0u8..40, 1..200), decay in 0u64..20) {
            let group = Group {
                role: Role::Fast,
                weight: 1.0,
                hold: Duration::from_secs(7),
                decay: Duration::from_secs(decay),
                delay: Duration::ZERO,
            };
            let mut memory = Memory::default();
            let mut all = Vec::new();
            for (t, llr) in llrs.iter().enumerate() {
                let now = Timestamp::from_secs(t as i64);
                if *llr < 20 {
                    let new = item(t as i64, f64::from(*llr) / 5.0);
                    memory.push(new.clone());
                    all.push(new);
                }
                memory.advance(now, &group);
                let expected = all
                    .iter()
                    .filter(|i| now < i.at + group.hold || faded(i, now, &group) >= FORGET)
                    .map(|i| if now < i.at + group.hold { i.llr } else { faded(i, now, &group) })
                    .fold(0.0, f64::max);
                let got = memory.best(now, &group).map_or(0.0, |(_, llr)| llr);
                prop_assert!((got - expected).abs() < 1e-9, "at {t}: {got}, not {expected}");
            }
        }
    }

    #[test]
    fn a_rising_sound_keeps_its_onset() {
        let mut memory = Memory::default();
        for (at, llr) in [(10, 0.5), (11, 1.0), (12, 3.0)] {
            memory.push(item(at, llr));
        }
        let group = Group {
            role: Role::Fast,
            weight: 1.0,
            hold: Duration::from_secs(35),
            decay: Duration::ZERO,
            delay: Duration::ZERO,
        };
        let now = Timestamp::from_secs(12);
        assert_eq!(memory.best(now, &group).unwrap().0.onset, Timestamp::from_secs(10));
    }
}
