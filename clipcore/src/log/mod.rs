//! The event log: a partitioned, replayable, append-only sequence of records.
//!
//! Streams hash to partitions; a partition keeps the order of appends. Pixels and PCM never enter a log.
//!
//! # For implementors
//! Implement [`EventLog`], then run [`conformance::log`](mod@crate::conformance::log) on it. Refuse records that
//! [`Record::from_json`] could not read back: in the log they would stop every reader.

#[cfg(any(feature = "redis", feature = "kafka"))]
mod appends;
mod arrival;
#[cfg(feature = "runtime")]
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
mod memory;
mod record;
#[cfg(feature = "redis")]
pub mod redis;

pub use arrival::{Arrival, Arrived, Looked};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "runtime")]
pub use file::{FileLog, FileLogConfig, FileLogReader, segment_records};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaLog, KafkaLogConfig};
pub use memory::MemoryLog;
pub use record::{Late, Receipt, Record};
#[cfg(feature = "redis")]
pub use redis::{RedisDurability, RedisLog, RedisLogConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[cfg(feature = "runtime")]
pub use crate::durable::Durability;
#[cfg(feature = "runtime")]
use crate::event::Kinds;
use crate::{Error, ErrorKind, Result, StreamId};

/// Where a record stands in its partition. Offsets rise by at least one from record to record.
pub type Offset = u64;

/// What a stateful consumer has reached: written in one step, so that state and offset never disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The first offset that `state` has not seen.
    pub next: Offset,
    /// The consumer's state.
    pub state: Value,
}

/// The right to consume a partition. A later owner's token is larger; a checkpoint with a smaller one fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The partition.
    pub partition: u32,
    /// The fencing token.
    pub token: u64,
}

/// What becomes of a record when a log is [rewritten](EventLog::rewrite): it is given the record's JSON, and gives what takes
/// its place, or nothing where it may stay.
pub type RewriteRecord = Arc<dyn Fn(&[u8]) -> Option<String> + Send + Sync>;

/// What becomes of a checkpoint when they are [rewritten](EventLog::rewrite_checkpoints): it is given the consumer's name and
/// state. `None` leaves it as it is, `Some(None)` deletes it.
pub type RewriteState = Arc<dyn Fn(&str, &Value) -> Option<Option<Value>> + Send + Sync>;

/// A partitioned, replayable log.
///
/// # Contract
/// - `append` returns after the records are durable; what it acknowledged is read back, in order, once.
/// - Appending is safe from many tasks at once; the records of one call stay together and in order.
/// - `read` gives records from `from` on, oldest first, at most `max`; an empty answer means the end *now*.
/// - A call that fails, or that a crash cut short, was not acknowledged: after a crash some of its first records
///   may be there, so producers that repeat a call give the records the ids they had.
/// - `acquire` revokes earlier leases of the partition: their checkpoints fail with `Conflict`.
/// - A partition that does not exist is `InvalidInput`.
/// - A torn or corrupt tail (a crash during append) is cut off when the log is opened; corruption in
///   the middle is an error that names file and offset.
///
/// # Cancel safety
/// An `append` that is dropped half-way may still take effect; the other calls may be dropped and repeated.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// How many partitions there are; constant.
    fn partitions(&self) -> u32;

    /// Appends records; gives the offset of the first one.
    ///
    /// # Errors
    /// `DiskFull`, `Io`, or `Unavailable`: none of the records counts as appended. `Unsupported` where one of
    /// them has no wire form.
    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset>;

    /// Reads up to `max` records from `from` on. An offset that was trimmed away reads from the oldest kept.
    ///
    /// # Errors
    /// `Corrupt`, `Io` or `Unavailable`.
    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>>;

    /// As [`read`](Self::read), but only what belongs to one stream among up to `max` records from `from` on; with the offset to
    /// go on from, which is `from` at the end.
    ///
    /// # Errors
    /// As there.
    async fn read_stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        let mut read = self.read(partition, from, max).await?;
        let next = read.last().map_or(from, |(offset, _)| offset + 1);
        read.retain(|(_, record)| record.stream() == stream);
        Ok((read, next))
    }

    /// As [`append`](Self::append), by a partition's owner. A log that several processes share refuses it, in the same step,
    /// once another has taken the partition over: so two owners never both write. One that belongs to a single process
    /// need not look.
    ///
    /// # Errors
    /// `Conflict` where the lease is stale; else as there.
    async fn append_as(&self, lease: &Lease, records: &[Record]) -> Result<Offset> {
        self.append(lease.partition, records).await
    }

    /// Takes over a partition, whoever holds it.
    ///
    /// # Errors
    /// `Io` or `Unavailable`.
    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease>;

    /// Takes over a partition for so long, unless somebody of another name has [claimed](Self::claim) it for a time that is
    /// not over: then `None`.
    ///
    /// # Errors
    /// `Unsupported` where the log cannot tell, `Io` or `Unavailable`.
    async fn claim(&self, partition: u32, owner: &str, span: Duration) -> Result<Option<Lease>> {
        let _ = (partition, owner, span);
        Err(Error::new(ErrorKind::Unsupported, "this log cannot be shared by several workers")
            .with_hint("let one process do it all, or keep the log in Redis or Kafka"))
    }

    /// Holds a claimed partition for so long from now on; zero gives it back.
    ///
    /// # Errors
    /// `Conflict` where the lease is stale; else as [`claim`](Self::claim).
    async fn renew(&self, lease: &Lease, span: Duration) -> Result<()> {
        let _ = (lease, span);
        Err(Error::new(ErrorKind::Unsupported, "this log cannot be shared by several workers"))
    }

    /// Takes a partition for so long from whoever has [claimed](Self::claim) it: from then on the log refuses what that
    /// owner appends and stores, until it has the partition again. For what may not happen while somebody works on the
    /// partition. `None` where another has seized it already. It is held by [`renew`](Self::renew), and then
    /// [handed back](Self::hand_back).
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    async fn seize(&self, partition: u32, owner: &str, span: Duration) -> Result<Option<Lease>> {
        let _ = (partition, owner, span);
        Err(Error::new(ErrorKind::Unsupported, "partitions of this log cannot be taken from their owners"))
    }

    /// Gives a [seized](Self::seize) partition up to the one that it was taken from, who may claim it again at once. For as long
    /// as that owner's claim had still run, nobody else is given it.
    ///
    /// # Errors
    /// `Conflict` where somebody else has it by now; else as [`claim`](Self::claim).
    async fn hand_back(&self, lease: &Lease) -> Result<()> {
        let _ = lease;
        Err(Error::new(ErrorKind::Unsupported, "partitions of this log cannot be taken from their owners"))
    }

    /// Says that `worker` is one of those that share the log's partitions, for so long from now on; zero: not any more. Gives
    /// how many there are, itself counted, as far as it is known: a worker that has died counts until its time is over.
    ///
    /// # Errors
    /// `Io` or `Unavailable`.
    async fn attend(&self, worker: &str, span: Duration) -> Result<usize> {
        let _ = (worker, span);
        Ok(1)
    }

    /// Stores `(state, offset)` of a consumer in one step.
    ///
    /// # Errors
    /// `Conflict` where the lease is stale.
    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()>;

    /// The consumer's last checkpoint.
    ///
    /// # Errors
    /// `Corrupt`, `Io` or `Unavailable`.
    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>>;

    /// Drops whole segments that lie before `before`; may keep more.
    ///
    /// # Errors
    /// `Io` or `Unavailable`.
    async fn trim(&self, partition: u32, before: Offset) -> Result<()>;

    /// The offset before which records were trimmed away; 0 where none were.
    ///
    /// # Errors
    /// `Io` or `Unavailable`.
    async fn trimmed(&self, partition: u32) -> Result<Offset>;

    /// An offset from which on the records take at most `bytes`, as far as whole segments allow; 0, which keeps
    /// everything, where the log does not know.
    ///
    /// # Errors
    /// `Io` or `Unavailable`.
    async fn within(&self, partition: u32, bytes: u64) -> Result<Offset> {
        let _ = (partition, bytes);
        Ok(0)
    }

    /// Changes what is there, for erasure. Every record that was acknowledged before the call and is still there is shown
    /// to `change`; what takes its place has its offset. A log that cannot replace a record removes it instead. Reading and
    /// appending go on meanwhile. Gives how many were changed.
    ///
    /// # Errors
    /// `Unsupported` where what was written stays; `Io`, `DiskFull` or `Unavailable`: what was changed is changed, and
    /// doing it again goes on.
    async fn rewrite(&self, partition: u32, change: RewriteRecord) -> Result<usize> {
        let _ = (partition, change);
        Err(indelible())
    }

    /// The same for the checkpoints of a partition's consumers.
    ///
    /// # Errors
    /// As [`rewrite`](Self::rewrite).
    async fn rewrite_checkpoints(&self, partition: u32, change: RewriteState) -> Result<usize> {
        let _ = (partition, change);
        Err(indelible())
    }
}

fn indelible() -> Error {
    Error::new(ErrorKind::Unsupported, "what was written to this log cannot be taken out of it").with_hint(
        "let its retention drop it; keys of pseudonyms that are destroyed make what is left anonymous",
    )
}

/// The partition that a stream hashes to.
pub fn partition_of(stream: &StreamId, partitions: u32) -> u32 {
    crc32fast::hash(stream.as_str().as_bytes()) % partitions.max(1)
}

fn no_partition(partition: u32, partitions: u32) -> Error {
    Error::invalid(format!("there is no partition {partition}: this log has {partitions}"))
        .with_hint("use partition_of to find a stream's partition")
}

fn stale(lease: &Lease, current: u64) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("the lease of partition {} is not valid any more", lease.partition),
    )
    .with_context("token", lease.token)
    .with_context("current", current)
    .with_hint("another owner has taken the partition over: stop consuming it")
}

/// Records as lines of JSON, for a log on disk or a server.
///
/// # Errors
/// `InvalidInput` where one is longer than `max_bytes` or could not be read back; `Unsupported` where one has no wire form.
#[cfg(feature = "runtime")]
fn lines_of(records: &[Record], kinds: &Kinds, max_bytes: usize) -> Result<Vec<String>> {
    let lines: Vec<_> = records.iter().map(|record| readable(record, kinds)).collect::<Result<_>>()?;
    match lines.iter().find(|line| line.len() > max_bytes) {
        Some(long) => {
            Err(Error::invalid(format!("a record of {} bytes is too long for the log", long.len()))
                .with_context("max_record_bytes", max_bytes))
        }
        None => Ok(lines),
    }
}

/// The JSON of a record. What could not be read back is refused here: in the log it would stop every reader.
#[cfg(feature = "runtime")]
fn readable(record: &Record, kinds: &Kinds) -> Result<String> {
    let json = record.to_json()?;
    if record.reads_back() {
        return Ok(json);
    }
    Record::from_json(json.as_bytes(), kinds).map_err(|e| {
        Error::invalid("this record could not be read back from the log")
            .with_source(e)
            .with_operation("log::append")
    })?;
    Ok(json)
}

/// The same error for each call of a group.
#[cfg(feature = "runtime")]
fn copy(e: &Error) -> Error {
    let mut copy = Error::new(e.kind(), e.message().to_owned()).with_retryable(e.is_retryable());
    for (key, value) in e.context() {
        copy = copy.with_context(key, value);
    }
    if let Some(hint) = e.hint() {
        copy = copy.with_hint(hint.to_owned());
    }
    match std::error::Error::source(e) {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}
