use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Checkpoint, EventLog, Lease, Offset, Record, no_partition, stale};
use crate::{Error, ErrorKind, Result, StreamId};

/// A log that lives in this process: for tests, for embedding, and for runs whose log nobody needs later.
///
/// Its durability is the process's: what it acknowledged is there until the process ends. It holds at most
/// [`max_records`](Self::with_max_records) records in each partition; when that many are there, `append` fails
/// with a retryable `DiskFull` until [`trim`](EventLog::trim) made room. Appending never waits.
#[derive(Debug)]
pub struct MemoryLog {
    partitions: Vec<Mutex<Partition>>,
    max_records: usize,
}

#[derive(Debug, Default)]
struct Partition {
    first: Offset,
    records: VecDeque<Record>,
    token: u64,
    checkpoints: HashMap<String, Checkpoint>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new(1)
    }
}

impl MemoryLog {
    /// An empty log of `partitions` partitions (at least one), each for up to a million records.
    pub fn new(partitions: u32) -> Self {
        Self {
            partitions: (0..partitions.max(1)).map(|_| Mutex::default()).collect(),
            max_records: 1_000_000,
        }
    }

    /// How many records a partition holds before `append` fails.
    #[must_use]
    pub fn with_max_records(mut self, max_records: usize) -> Self {
        self.max_records = max_records;
        self
    }

    fn partition(&self, partition: u32) -> Result<MutexGuard<'_, Partition>> {
        let found = self.partitions.get(partition as usize);
        let mutex = found.ok_or_else(|| no_partition(partition, self.partitions()))?;
        // Every change is one step, so a panic elsewhere leaves nothing half done.
        Ok(mutex.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset> {
        for record in records {
            if let Record::Event(event) = record
                && !event.reads_back()
                && event.data_json().is_none()
            {
                // Gives the error that a log on disk would give.
                record.to_json()?;
            }
        }
        let mut part = self.partition(partition)?;
        if part.records.len() + records.len() > self.max_records {
            return Err(Error::new(
                ErrorKind::DiskFull,
                format!("the memory log holds its {} records", self.max_records),
            )
            .with_retryable(true)
            .with_context("partition", partition)
            .with_hint("trim what was consumed, raise max_records, or use a file log"));
        }
        let offset = part.first + part.records.len() as u64;
        part.records.extend(records.iter().cloned());
        Ok(offset)
    }

    async fn append_as(&self, lease: &Lease, records: &[Record]) -> Result<Offset> {
        let current = self.partition(lease.partition)?.token;
        if lease.token != current {
            return Err(stale(lease, current));
        }
        self.append(lease.partition, records).await
    }

    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>> {
        let part = self.partition(partition)?;
        let from = from.max(part.first);
        let skip = usize::try_from(from - part.first).unwrap_or(usize::MAX);
        Ok((from..).zip(part.records.iter().skip(skip).take(max).cloned()).collect())
    }

    async fn read_stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        let part = self.partition(partition)?;
        let from = from.max(part.first);
        let skip = usize::try_from(from - part.first).unwrap_or(usize::MAX);
        let looked = part.records.len().saturating_sub(skip).min(max);
        let all = (from..).zip(part.records.iter().skip(skip).take(looked));
        let records = all.filter(|(_, record)| record.stream() == stream);
        Ok((records.map(|(offset, record)| (offset, record.clone())).collect(), from + looked as u64))
    }

    async fn acquire(&self, partition: u32, _owner: &str) -> Result<Lease> {
        let mut part = self.partition(partition)?;
        part.token += 1;
        Ok(Lease { partition, token: part.token })
    }

    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let mut part = self.partition(lease.partition)?;
        if lease.token != part.token {
            return Err(stale(lease, part.token));
        }
        part.checkpoints.insert(consumer.to_owned(), checkpoint.clone());
        Ok(())
    }

    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>> {
        Ok(self.partition(partition)?.checkpoints.get(consumer).cloned())
    }

    async fn trim(&self, partition: u32, before: Offset) -> Result<()> {
        let mut part = self.partition(partition)?;
        while part.first < before && part.records.pop_front().is_some() {
            part.first += 1;
        }
        Ok(())
    }

    async fn trimmed(&self, partition: u32) -> Result<Offset> {
        Ok(self.partition(partition)?.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::log as kit;

    #[test]
    fn conforms() {
        futures::executor::block_on(kit::log(async || Ok(MemoryLog::new(3))));
    }

    #[test]
    fn a_full_log_says_so_and_goes_on_after_a_trim() {
        futures::executor::block_on(async {
            let log = MemoryLog::new(1).with_max_records(2);
            log.append(0, &[kit::marker("a"), kit::marker("b")]).await.unwrap();
            let err = log.append(0, &[kit::marker("c")]).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::DiskFull);
            assert!(err.is_retryable());
            log.trim(0, 1).await.unwrap();
            assert_eq!(log.append(0, &[kit::marker("c")]).await.unwrap(), 2);
            assert_eq!(log.read(0, 0, 9).await.unwrap().len(), 2);
        });
    }
}
