//! The newest records of a partition, kept in memory: those who follow the log need not read and parse what was written a
//! moment ago.

use std::collections::VecDeque;

use crate::StreamId;
use crate::log::{Offset, Record};

/// Committed records without gaps, up to the end of the log.
#[derive(Debug)]
pub(super) struct Tail {
    /// Offset of the first one that is kept.
    first: Offset,
    /// With the bytes that each takes on disk.
    records: VecDeque<(Record, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl Tail {
    /// Nothing, of a log whose next record will be `next`.
    pub(super) fn new(next: Offset, max_bytes: usize) -> Self {
        Self { first: next, records: VecDeque::new(), bytes: 0, max_bytes }
    }

    /// Takes up a record that was committed.
    pub(super) fn push(&mut self, record: Record, bytes: usize) {
        self.bytes += bytes;
        self.records.push_back((record, bytes));
        while self.bytes > self.max_bytes
            && let Some((_, bytes)) = self.records.pop_front()
        {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    /// Keeps nothing of what lies before `offset`.
    pub(super) fn forget_before(&mut self, offset: Offset) {
        while self.first < offset
            && let Some((_, bytes)) = self.records.pop_front()
        {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    /// Up to `max` records from `from` on, where all of them are here; of one stream only, where one is given. With the
    /// offset after the last one that was looked at.
    pub(super) fn read(
        &self,
        from: Offset,
        max: usize,
        stream: Option<&StreamId>,
    ) -> Option<(Vec<(Offset, Record)>, Offset)> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        let looked = self.records.len().saturating_sub(skip).min(max);
        let all = (from..).zip(self.records.iter().skip(skip).take(looked));
        let wanted = all.filter(|(_, (record, _))| stream.is_none_or(|stream| record.stream() == stream));
        let records = wanted.map(|(offset, (record, _))| (offset, record.clone())).collect();
        Some((records, from + looked as u64))
    }
}
