use std::cmp::Ordering;
use std::collections::VecDeque;

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

/// Items that wait for the watermark, in their own order; equal keys are one item.
///
/// Most items come nearly in order, so each finds its place from the end.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    items: VecDeque<T>,
}

/// An empty queue of more bytes than this gives its memory back: most streams are quiet most of the time.
const KEPT: usize = 256;

impl<T: Ordered> Default for Reorder<T> {
    fn default() -> Self {
        Self { items: VecDeque::new() }
    }
}

impl<T: Ordered> Reorder<T> {
    /// Whether the item is new; where it is not, the first one stays.
    pub(super) fn push(&mut self, item: T) -> bool {
        match self.items.back().map(|last| last.order(&item)) {
            None | Some(Ordering::Less) => self.items.push_back(item),
            Some(Ordering::Equal) => return false,
            Some(Ordering::Greater) => match self.items.binary_search_by(|known| known.order(&item)) {
                Ok(_) => return false,
                Err(place) => self.items.insert(place, item),
            },
        }
        true
    }

    /// The first item, where it lies before `to`.
    pub(super) fn pop_before(&mut self, to: Timestamp) -> Option<T> {
        if self.items.front()?.at() >= to {
            return None;
        }
        self.items.pop_front()
    }

    /// Gives back memory that a quiet stream does not need.
    pub(super) fn shrink(&mut self) {
        if self.items.is_empty() && self.items.capacity() * size_of::<T>() > KEPT {
            self.items = VecDeque::new();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.items.back().map(Ordered::at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct At(i64);

    impl Ordered for At {
        fn at(&self) -> Timestamp {
            Timestamp::from_secs(self.0)
        }
        fn order(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }
    }

    proptest! {
        /// It is a sorted set, whatever is pushed and popped when.
        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((0i64..50, any::<bool>()), 0..200)) {
            let (mut queue, mut set) = (Reorder::default(), BTreeSet::new());
            for (at, pops) in steps {
                if pops {
                    let expected = set.first().copied().filter(|first| *first < at);
                    set.retain(|first| Some(*first) != expected);
                    prop_assert_eq!(queue.pop_before(Timestamp::from_secs(at)).map(|item: At| item.0), expected);
                    queue.shrink();
                } else {
                    prop_assert_eq!(queue.push(At(at)), set.insert(at));
                }
                prop_assert_eq!(queue.last_at(), set.last().map(|s| Timestamp::from_secs(*s)));
                prop_assert!(queue.iter().map(|item| item.0).eq(set.iter().copied()));
            }
        }
    }
}
