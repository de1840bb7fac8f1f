//! What the shipped detectors share: saving their state, and ticking once a second.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, Timestamp};

/// A state as JSON.
pub(crate) fn save<T: Serialize>(state: &T) -> Result<Value> {
    serde_json::to_value(state).map_err(|e| {
        Error::invalid("a state does not fit into JSON").with_source(e).with_operation("snapshot")
    })
}

/// A state from JSON.
pub(crate) fn load<T: DeserializeOwned>(state: &Value, who: &str) -> Result<T> {
    T::deserialize(state).map_err(|e| {
        Error::invalid(format!("this is not a state of {who}")).with_source(e).with_operation("restore")
    })
}

/// The whole seconds of stream time at which a detector closes its one-second bins.
///
/// The bin `[T − 1, T)` closes at `T`. The first event starts the grid, so that the steps of `advance`
/// before it do not matter; after half an hour without an event the grid stops, so that a jump of years
/// costs no more than half an hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seconds {
    next: Option<i64>,
    quiet: u32,
}

/// Seconds without an event after which a detector is as new.
const DORMANT_AFTER: u32 = 1800;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A bin closes at this instant.
    Tick(Timestamp),
    /// Nothing has happened for so long that what was learned is void.
    Dormant,
}

impl Seconds {
    /// An event has been seen at `at`.
    pub(super) fn saw(&mut self, at: Timestamp) {
        self.quiet = 0;
        self.next.get_or_insert(at.as_micros().div_euclid(1_000_000).saturating_add(1));
    }

    /// The next thing that is due by `to`; to be called until there is none.
    pub(super) fn due(&mut self, to: Timestamp) -> Option<Due> {
        let tick = Timestamp::from_secs(self.next?);
        if tick > to {
            return None;
        }
        self.quiet += 1;
        if self.quiet > DORMANT_AFTER {
            *self = Self::default();
            return Some(Due::Dormant);
        }
        self.next = self.next.map(|n| n.saturating_add(1));
        Some(Due::Tick(tick))
    }
}
