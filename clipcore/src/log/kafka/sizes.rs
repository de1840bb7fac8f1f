//! How many bytes of a partition lie where, as far as this process has read it: brokers do not say.

use std::collections::VecDeque;

/// A mark is set where so many bytes have passed since the one before, at first.
const STEP: u64 = 64 << 10;
/// With so many marks, every other one is given up.
const MARKS: usize = 4096;

/// Marks at which it is known how much was read before.
#[derive(Debug)]
pub(super) struct Sizes {
    step: u64,
    /// Kafka's offset, and the bytes read before it.
    marks: VecDeque<(i64, u64)>,
    total: u64,
    /// The offset after the last message that was counted.
    end: i64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { step: STEP, marks: VecDeque::new(), total: 0, end: 0 }
    }
}

impl Sizes {
    /// Counts a message, once.
    pub(super) fn note(&mut self, offset: i64, bytes: usize) {
        if offset < self.end {
            return;
        }
        if self.marks.back().is_none_or(|(_, before)| self.total - before >= self.step) {
            if self.marks.len() == MARKS {
                let mut keep = false;
                self.marks.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.step *= 2;
            }
            self.marks.push_back((offset, self.total));
        }
        self.total += bytes as u64;
        self.end = offset + 1;
    }

    /// The oldest mark from which on there are at most so many bytes; nothing where all that was read is within
    /// them.
    pub(super) fn within(&self, bytes: u64) -> Option<i64> {
        if self.marks.front().is_none_or(|(_, before)| self.total - before <= bytes) {
            return None;
        }
        let beyond = self.marks.partition_point(|(_, before)| self.total - before > bytes);
        // The last message itself, where it alone is too much.
        Some(self.marks.get(beyond).map_or(self.end - 1, |(offset, _)| *offset))
    }

    /// What lies before was deleted.
    pub(super) fn trimmed(&mut self, before: i64) {
        while self.marks.get(1).is_some_and(|(offset, _)| *offset <= before) {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_at_most_what_was_asked_and_little_less() {
        let mut sizes = Sizes::default();
        let each = 10_000;
        for offset in 0..100 {
            sizes.note(2 * offset, each);
            sizes.note(2 * offset, each);
        }
        assert_eq!(sizes.within(1_000_000), None);
        assert_eq!(sizes.within(0), Some(198));
        let from = sizes.within(500_000).unwrap();
        let kept = (0..100).filter(|offset| 2 * offset >= from).count() * each;
        assert!((400_000..=500_000).contains(&kept), "{kept}");
        sizes.trimmed(from);
        assert_eq!((sizes.within(500_000), sizes.within(u64::MAX)), (None, None));
        assert!(sizes.within(100_000).unwrap() > from);
    }
}
