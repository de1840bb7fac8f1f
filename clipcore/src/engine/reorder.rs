use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::Timestamp;
use crate::detector::Signal;
use crate::event::AnyEvent;

/// Something that is seen in an order of its own, whatever the order of arrival.
pub(super) trait Ordered {
    fn at(&self) -> Timestamp;
    fn order(&self, other: &Self) -> Ordering;
}

impl Ordered for AnyEvent {
    fn at(&self) -> Timestamp {
        self.at()
    }
    fn order(&self, other: &Self) -> Ordering {
        // Most events differ in time: the rest of the key costs a call each.
        self.at().cmp(&other.at()).then_with(|| self.sort_key().cmp(&other.sort_key()))
    }
}

impl Ordered for Signal {
    fn at(&self) -> Timestamp {
        self.at
    }
    fn order(&self, other: &Self) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

/// An item that compares by its own order; no copy of the key is kept.
#[derive(Debug)]
struct InOrder<T>(T);

impl<T: Ordered> Ord for InOrder<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.order(&other.0)
    }
}

impl<T: Ordered> PartialOrd for InOrder<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ordered> PartialEq for InOrder<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ordered> Eq for InOrder<T> {}

/// Items that wait for the watermark, in their own order; equal keys are one item.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    items: BTreeSet<InOrder<T>>,
}

impl<T: Ordered> Default for Reorder<T> {
    fn default() -> Self {
        Self { items: BTreeSet::new() }
    }
}

impl<T: Ordered> Reorder<T> {
    /// Whether the item is new; where it is not, the first one stays.
    pub(super) fn push(&mut self, item: T) -> bool {
        self.items.insert(InOrder(item))
    }

    /// The first item, where it lies before `to`.
    pub(super) fn pop_before(&mut self, to: Timestamp) -> Option<T> {
        if self.items.first()?.0.at() >= to {
            return None;
        }
        self.items.pop_first().map(|item| item.0)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.items.last().map(|item| item.0.at())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.0)
    }
}
