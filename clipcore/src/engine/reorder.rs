use std::collections::BTreeMap;

use crate::Timestamp;
use crate::detector::Signal;
use crate::event::AnyEvent;

/// Something that is seen in an order of its own, whatever the order of arrival.
pub(super) trait Ordered {
    fn key(&self) -> Key;
}

type Key = (Timestamp, String, String, String, String);

impl Ordered for AnyEvent {
    fn key(&self) -> Key {
        let (at, kind, source, id) = self.sort_key();
        (at, kind.into(), source.into(), id.into(), String::new())
    }
}

impl Ordered for Signal {
    fn key(&self) -> Key {
        let (at, detector, camera, label, id) = self.sort_key();
        (at, detector.into(), camera.into(), label.into(), id.into())
    }
}

/// Items that wait for the watermark, in their own order; equal keys are one item.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    items: BTreeMap<Key, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new() }
    }
}

impl<T: Ordered> Reorder<T> {
    /// Whether the item is new.
    pub(super) fn push(&mut self, item: T) -> bool {
        match self.items.entry(item.key()) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(item);
                true
            }
        }
    }

    /// The first item, where it lies before `to`.
    pub(super) fn pop_before(&mut self, to: Timestamp) -> Option<T> {
        let first = self.items.first_entry()?;
        (first.key().0 < to).then(|| first.remove())
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn last_at(&self) -> Option<Timestamp> {
        self.items.last_key_value().map(|(key, _)| key.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.values()
    }
}
