use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// People remembered at once; in a chat of more, no single person can make a burst.
const MAX: usize = 16_384;

/// Who was counted in the last few seconds: the guard against one person who writes a lot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Queue", into = "Queue")]
pub(super) struct Chatters {
    queue: Queue,
    known: HashSet<u64>,
}

/// When somebody (a hash) was counted, in microseconds, oldest first.
type Queue = VecDeque<(i64, u64)>;

impl From<Queue> for Chatters {
    fn from(queue: Queue) -> Self {
        let known = queue.iter().map(|(_, who)| *who).collect();
        Self { queue, known }
    }
}

impl From<Chatters> for Queue {
    fn from(chatters: Chatters) -> Self {
        chatters.queue
    }
}

impl Chatters {
    /// Whether this person counts now: they were not counted within `window`.
    pub(super) fn count(&mut self, who: u64, at: Timestamp, window: Duration) -> bool {
        self.forget(at, window);
        if self.known.len() >= MAX {
            return true;
        }
        let new = self.known.insert(who);
        if new {
            self.queue.push_back((at.as_micros(), who));
        }
        new
    }

    /// Lets everybody count again who was counted longer ago than `window`.
    pub(super) fn forget(&mut self, now: Timestamp, window: Duration) {
        let since = (now - window).as_micros();
        while let Some(&(at, who)) = self.queue.front() {
            if at > since {
                break;
            }
            self.known.remove(&who);
            self.queue.pop_front();
        }
    }

    /// How many people were counted within the window.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// FNV-1a: the same on every machine, and good enough to tell people apart.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
