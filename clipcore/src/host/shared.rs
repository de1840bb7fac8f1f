//! One log for many pipelines of one process: a partition is leased once for all of them, and trimmed only as far as
//! each of them allows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::log::{Checkpoint, EventLog, Lease, Offset, Record, partition_of};
use crate::{Error, ErrorKind, Result, StreamId};

/// What the views of one log share.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    log: Arc<dyn EventLog>,
    leases: tokio::sync::Mutex<BTreeMap<u32, Lease>>,
    /// Partitions are shared with other processes: only those that were [given](Shared::give) are this one's.
    claimed: bool,
    /// Before which offset each stream needs nothing any more.
    needs: Mutex<BTreeMap<u32, BTreeMap<StreamId, Offset>>>,
}

impl Shared {
    /// A log whose partitions are all this process's, or only those that it claims.
    pub(super) fn new(log: Arc<dyn EventLog>, claimed: bool) -> Self {
        Self(Arc::new(Inner { log, leases: Default::default(), claimed, needs: Mutex::default() }))
    }

    /// The partition is this process's from now on.
    pub(super) async fn give(&self, lease: Lease) {
        self.0.leases.lock().await.insert(lease.partition, lease);
    }

    /// The partition is somebody else's; what its streams needed is theirs to say.
    pub(super) async fn take(&self, partition: u32) {
        self.0.leases.lock().await.remove(&partition);
        self.0.needs.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// A stream's view: until it says otherwise it needs everything.
    pub(super) fn of(&self, stream: &StreamId) -> Arc<SharedLog> {
        let partition = partition_of(stream, self.0.log.partitions());
        let mut needs = self.0.needs.lock().unwrap_or_else(PoisonError::into_inner);
        needs.entry(partition).or_default().entry(stream.clone()).or_insert(0);
        Arc::new(SharedLog { shared: self.clone(), stream: stream.clone() })
    }

    /// The log itself, to be read.
    pub(super) fn whole(&self) -> Arc<dyn EventLog> {
        self.0.log.clone()
    }

    /// The stream has stopped in good order: its checkpoint has seen all that is there of it.
    pub(super) fn forget(&self, stream: &StreamId) {
        let partition = partition_of(stream, self.0.log.partitions());
        let mut needs = self.0.needs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = needs.get_mut(&partition) {
            all.remove(stream);
        }
    }
}

/// One stream's view of a shared log.
pub(super) struct SharedLog {
    shared: Shared,
    stream: StreamId,
}

#[async_trait]
impl EventLog for SharedLog {
    fn partitions(&self) -> u32 {
        self.shared.0.log.partitions()
    }

    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset> {
        self.shared.0.log.append(partition, records).await
    }

    async fn append_as(&self, lease: &Lease, records: &[Record]) -> Result<Offset> {
        self.shared.0.log.append_as(lease, records).await
    }

    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>> {
        self.shared.0.log.read(partition, from, max).await
    }

    async fn read_stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        self.shared.0.log.read_stream(partition, stream, from, max).await
    }

    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease> {
        let mut leases = self.shared.0.leases.lock().await;
        if let Some(lease) = leases.get(&partition) {
            return Ok(lease.clone());
        }
        if self.shared.0.claimed {
            let text = format!("partition {partition} belongs to another worker now");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let lease = self.shared.0.log.acquire(partition, owner).await?;
        leases.insert(partition, lease.clone());
        Ok(lease)
    }

    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.shared.0.log.checkpoint(lease, consumer, checkpoint).await
    }

    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>> {
        self.shared.0.log.last_checkpoint(partition, consumer).await
    }

    async fn trim(&self, partition: u32, before: Offset) -> Result<()> {
        let least = {
            let mut needs = self.shared.0.needs.lock().unwrap_or_else(PoisonError::into_inner);
            let all = needs.entry(partition).or_default();
            all.insert(self.stream.clone(), before);
            all.values().copied().min().unwrap_or(0)
        };
        if least == 0 { Ok(()) } else { self.shared.0.log.trim(partition, least).await }
    }

    async fn trimmed(&self, partition: u32) -> Result<Offset> {
        self.shared.0.log.trimmed(partition).await
    }

    async fn within(&self, partition: u32, bytes: u64) -> Result<Offset> {
        self.shared.0.log.within(partition, bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::log::marker;
    use crate::log::MemoryLog;

    #[tokio::test]
    async fn streams_of_a_partition_share_its_lease_and_hold_each_others_records() {
        let shared = Shared::new(Arc::new(MemoryLog::new(1)), false);
        let [a, b] = ["a", "b"].map(|name| StreamId::new(name).unwrap());
        let (one, other) = (shared.of(&a), shared.of(&b));
        let records: Vec<_> = (0..10).map(|n| marker(&n.to_string())).collect();
        one.append(0, &records).await.unwrap();
        let lease = one.acquire(0, "x").await.unwrap();
        assert_eq!(other.acquire(0, "x").await.unwrap(), lease);
        let checkpoint = Checkpoint { next: 3, state: serde_json::Value::Null };
        one.checkpoint(&lease, "a", &checkpoint).await.unwrap();

        one.trim(0, 8).await.unwrap();
        assert_eq!(one.trimmed(0).await.unwrap(), 0, "the other may need all of it");
        other.trim(0, 5).await.unwrap();
        assert_eq!(one.trimmed(0).await.unwrap(), 5);
        shared.forget(&b);
        one.trim(0, 9).await.unwrap();
        assert_eq!(one.trimmed(0).await.unwrap(), 9);
    }
}
