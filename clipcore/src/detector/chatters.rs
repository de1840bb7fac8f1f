use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
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
    known: HashSet<u64, BuildHasherDefault<Hashed>>,
}

/// When somebody (a hash) was counted, in microseconds, oldest first.
type Queue = VecDeque<(i64, u64)>;

/// People come as hashes: hashing them again would only cost time.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = fnv1a(bytes);
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

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
        self.shrink();
    }

    /// A chat that has become quiet gives its memory back.
    fn shrink(&mut self) {
        let (used, room) = (self.queue.len(), self.queue.capacity());
        if room > 0 && (used == 0 || room > 32 && used < room / 8) {
            self.queue.shrink_to(2 * used);
            self.known.shrink_to(2 * used);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// FNV-1a: the same on every machine, and good enough to tell people apart.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
