//! A log in Kafka (3.0 or newer, and what speaks like it with transactions), for several processes on several machines.
//!
//! ```text
//! clipcore.log          one message a call of append: key the stream's id, value the records, one line of JSON each
//! clipcore.checkpoints  compacted: key "lease" or "checkpoint:CONSUMER", value JSON with the fencing token; in partition 0
//!                       also "worker:NAME" of those that share the log
//! ```
//!
//! `clipcore` is the [prefix](KafkaLogConfig::prefix); partition n of the one belongs to partition n of the other. Both topics are
//! made where they are missing, without any retention of their own: [`trim`](EventLog::trim) deletes records. Any consumer
//! reads the log with `isolation.level=read_committed`.
//!
//! # Offsets
//! A call's records are one message, so that they stay together whoever else appends. The offset of record i of the message
//! at Kafka's offset k is 4096 k + i.
//!
//! # What is acknowledged
//! Every batch of appends, every lease and every checkpoint is a transaction of an idempotent producer with `acks=all`: all of
//! it is there or nothing. It survives as many brokers as `min.insync.replicas` less one; for that, make the topics with
//! [`replication`](KafkaLogConfig::replication) 3 and set `min.insync.replicas=2` at the brokers.
//!
//! Where the answer to a commit is lost, the writer takes its transactional id over anew, which settles the transaction, and
//! then looks whether the messages are there, before it sends anything else. A caller may repeat a call that failed: its
//! records are not appended twice, as long as this process lives.
//!
//! A process that dies within a transaction holds readers up until Kafka ends it, after [`timeout`](KafkaLogConfig::timeout).
//!
//! # Leases
//! All owners of a partition use one transactional id: whoever [acquires](EventLog::acquire) or [claims](EventLog::claim) it makes
//! Kafka refuse the former owner's checkpoints and [appends](EventLog::append_as). A claim runs out for those who have seen
//! it unrenewed for its span, each by a clock of its own; whoever has just come waits for the whole span, but has at
//! once what was claimed under its own name. Where Kafka ends a
//! transaction that took too long, its owner goes on under a new epoch of the id, unless another has come. A lease is used
//! through the log that acquired it.

pub(crate) mod client;
pub(crate) mod compacted;
mod owners;
mod producer;
pub(crate) mod reader;
pub(crate) mod replaceable;
mod sizes;
mod workers;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::AdminOptions;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::client::{Admin, admin, explain, topics};
use self::owners::Owners;
use self::reader::{Committed, Reader};
use self::replaceable::Replaceable;
use self::workers::Workers;
use self::writer::KafkaWriter;
use super::appends::{Request, Writer};
use super::{Checkpoint, EventLog, Lease, Offset, Record, lines_of, no_partition};
use crate::durable::blocking;
use crate::event::Kinds;
use crate::ids::random;
use crate::{Error, ErrorKind, Result, StreamId, config};

/// Most records of a message.
const RECORDS: usize = 1 << BITS;
const BITS: u32 = 12;

/// How a log in Kafka is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaLogConfig {
    /// Some of the brokers: `host:port`, with commas between.
    pub brokers: String,
    /// What the names of the topics begin with: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub prefix: String,
    /// How many partitions a new log gets, 1 to 1024; an existing log keeps its own number.
    pub partitions: u32,
    /// On how many brokers new topics are kept; 0 leaves it to the brokers' default.
    pub replication: u8,
    /// How long each step of a call may take: sending, committing, reading; in seconds in files, at least 2.
    #[serde(with = "config::secs")]
    pub timeout: Duration,
    /// Longest record in bytes of JSON; longer ones are refused.
    pub max_record_bytes: usize,
    /// Further settings of librdkafka, by its names.
    pub settings: BTreeMap<String, String>,
}

impl Default for KafkaLogConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            prefix: "clipcore".to_owned(),
            partitions: 1,
            replication: 0,
            timeout: Duration::from_secs(10),
            max_record_bytes: 1 << 20,
            settings: BTreeMap::new(),
        }
    }
}

impl KafkaLogConfig {
    fn log_topic(&self) -> String {
        format!("{}.log", self.prefix)
    }

    fn checkpoint_topic(&self) -> String {
        format!("{}.checkpoints", self.prefix)
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(fits) {
            return Err(Error::config("this cannot begin the names of topics")
                .with_context("prefix", crate::ids::shorten(&self.prefix))
                .with_hint("use 1 to 64 of A-Z a-z 0-9 . _ -"));
        }
        if !(1..=1024).contains(&self.partitions) {
            return Err(Error::config("a log has 1 to 1024 partitions"));
        }
        if self.timeout < Duration::from_secs(2) {
            return Err(Error::config("timeout is less than two seconds, which is too short for Kafka"));
        }
        if self.max_record_bytes > client::MESSAGE_BYTES / 2 {
            return Err(Error::config("max_record_bytes is more than the 8 MiB that fit into a message"));
        }
        Ok(())
    }
}

/// A log that several processes share through Kafka; see the [module](self) for topics and promises.
///
/// Appends of one process to a partition share transactions. A partition that is appended to or owned has a producer of its
/// own, and one that is read a consumer: threads and connections each, so many partitions in one process are dear.
///
/// # Errors
/// `Unavailable` or `Timeout` (both retryable) where the brokers cannot be reached; `Config` where they refuse.
#[derive(Debug)]
pub struct KafkaLog {
    partitions: Vec<Partition>,
    config: KafkaLogConfig,
    kinds: Kinds,
    /// Made with the first trim.
    admin: OnceLock<Admin>,
    workers: Replaceable<Workers>,
}

#[derive(Debug)]
struct Partition {
    appends: mpsc::Sender<Request>,
    reader: Arc<Replaceable<Reader>>,
    committed: Arc<Committed>,
    owners: Arc<Mutex<Owners>>,
}

/// What is behind the locks stays usable after a panic elsewhere: broken clients fail with errors of their own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the topics of the log where they are missing; gives how many partitions they have.
async fn made(config: &KafkaLogConfig) -> Result<u32> {
    let wanted = [
        (config.log_topic(), "delete", config.partitions),
        (config.checkpoint_topic(), "compact", config.partitions),
    ];
    match topics(config, &wanted).await?[..] {
        [log, checkpoints] if log == checkpoints => Ok(log),
        ref all => Err(Error::config(format!("the topics of the log have {all:?} partitions"))
            .with_context("prefix", &config.prefix)
            .with_hint("both need the same number: choose another prefix, or make the topics again")),
    }
}

/// The offset of a message's first record.
fn offset_of(message: i64) -> Offset {
    (message.max(0) as u64) << BITS
}

impl KafkaLog {
    /// Opens the log, or begins one. `kinds` reads the events back. Must be called on a tokio runtime, which then runs
    /// the log's writers.
    ///
    /// # Errors
    /// `Config` for settings that make no sense; `Unavailable` or `Timeout` where the brokers cannot be reached.
    pub async fn open(mut config: KafkaLogConfig, kinds: Kinds) -> Result<Self> {
        config.validate()?;
        config.partitions = made(&config).await.map_err(|e| e.with_operation("kafka_log::open"))?;
        let writer = crate::hex(&random::<16>()?);
        let partitions = (0..config.partitions)
            .map(|number| {
                let read = config.clone();
                let reader = move || Reader::new(&read, read.log_topic(), number);
                let reader = Arc::new(Replaceable::new(config.timeout, reader));
                let committed = Arc::new(Committed::default());
                let owners = Arc::new(Mutex::new(Owners::new(&config, number)));
                let (read, noted) = (reader.clone(), committed.clone());
                let remote = KafkaWriter::new(&config, number, &writer, read, noted, owners.clone());
                Partition { appends: Writer::start(remote), reader, committed, owners }
            })
            .collect();
        let shared = config.clone();
        let workers = Replaceable::new(config.timeout, move || Workers::new(&shared));
        Ok(Self { partitions, config, kinds, admin: OnceLock::new(), workers })
    }

    fn admin(&self) -> Result<&Admin> {
        match self.admin.get() {
            Some(admin) => Ok(admin),
            None => {
                let made = admin(&self.config)?;
                Ok(self.admin.get_or_init(|| made))
            }
        }
    }

    fn partition(&self, partition: u32) -> Result<&Partition> {
        self.partitions.get(partition as usize).ok_or_else(|| no_partition(partition, self.partitions()))
    }

    /// The oldest kept message and the one after the last, in Kafka's offsets.
    async fn bounds(&self, partition: u32) -> Result<(i64, i64)> {
        let part = self.partition(partition)?;
        let committed = part.committed.clone();
        part.reader.with(move |reader| reader.bounds(&committed)).await
    }

    async fn append_with(&self, partition: u32, token: Option<u64>, records: &[Record]) -> Result<Offset> {
        let part = self.partition(partition)?;
        let lines = lines_of(records, &self.kinds, self.config.max_record_bytes)?;
        let Some(first) = records.first() else {
            return Ok(offset_of(self.bounds(partition).await?.1));
        };
        let same = records.iter().all(|record| record.stream() == first.stream());
        let key = if same { first.stream().to_string() } else { String::new() };
        let gone = || Error::new(ErrorKind::Internal, "the log's writer has stopped");
        let (reply, answer) = oneshot::channel();
        part.appends.send(Request { key, token, lines, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone())).map_err(|e| e.with_operation("kafka_log::append"))
    }

    /// What belongs to `stream`, or everything, among up to `max` records from `from` on, and where to go on.
    async fn read_of(
        &self,
        partition: u32,
        stream: Option<StreamId>,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        let part = self.partition(partition)?;
        if max == 0 {
            return Ok((Vec::new(), from));
        }
        let (committed, kinds) = (part.committed.clone(), self.kinds.clone());
        let read = move |reader: &mut Reader| {
            let (mut records, mut looked, mut next, mut bad) = (Vec::new(), 0, from, None);
            let begin = i64::try_from(from >> BITS).unwrap_or(i64::MAX);
            reader.read(begin, &committed, |message, key, text| {
                // A key says whose all of a message is.
                let other = |stream: &StreamId| !key.is_empty() && key != stream.as_str().as_bytes();
                let skip = stream.as_ref().is_some_and(other);
                for (offset, line) in (offset_of(message)..).zip(text.split(|b| *b == b'\n')) {
                    if offset < from {
                        continue;
                    }
                    if looked == max {
                        return Ok(false);
                    }
                    if !skip {
                        match Record::from_json(line, &kinds) {
                            Ok(record) if stream.as_ref().is_none_or(|s| s == record.stream()) => {
                                records.push((offset, record));
                            }
                            Ok(_) => {}
                            Err(e) => {
                                bad = Some(e.with_context("offset", offset));
                                return Ok(false);
                            }
                        }
                    }
                    (looked, next) = (looked + 1, offset + 1);
                }
                Ok(looked < max)
            })?;
            match bad {
                // Those before it are given first.
                Some(e) if looked == 0 => {
                    Err(Error::new(ErrorKind::Corrupt, "a record of the log cannot be read").with_source(e))
                }
                _ => Ok((records, next)),
            }
        };
        part.reader.with(read).await.map_err(|e| e.with_operation("kafka_log::read"))
    }

    /// Does something as an owner, or to become one.
    async fn owners<T: Send + 'static>(
        &self,
        partition: u32,
        what: &'static str,
        work: impl FnOnce(&mut Owners) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let owners = self.partition(partition)?.owners.clone();
        blocking(move || work(&mut lock(&owners))).await.map_err(|e| e.with_operation(what))
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.config.partitions
    }

    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset> {
        self.append_with(partition, None, records).await
    }

    async fn append_as(&self, lease: &Lease, records: &[Record]) -> Result<Offset> {
        self.append_with(lease.partition, Some(lease.token), records).await
    }

    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>> {
        Ok(self.read_of(partition, None, from, max).await?.0)
    }

    async fn read_stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        self.read_of(partition, Some(stream.clone()), from, max).await
    }

    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease> {
        let owner = owner.to_owned();
        self.owners(partition, "kafka_log::acquire", move |owners| owners.acquire(&owner)).await
    }

    async fn claim(&self, partition: u32, owner: &str, span: Duration) -> Result<Option<Lease>> {
        let owner = owner.to_owned();
        self.owners(partition, "kafka_log::claim", move |owners| owners.claim(&owner, span)).await
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<()> {
        let held = lease.clone();
        self.owners(lease.partition, "kafka_log::renew", move |owners| owners.renew(&held, span)).await
    }

    async fn attend(&self, worker: &str, span: Duration) -> Result<usize> {
        let worker = worker.to_owned();
        let attended = self.workers.with(move |workers| workers.attend(&worker, span));
        attended.await.map_err(|e| e.with_operation("kafka_log::attend"))
    }

    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let (held, consumer, checkpoint) = (lease.clone(), consumer.to_owned(), checkpoint.clone());
        let work = move |owners: &mut Owners| owners.checkpoint(&held, &consumer, &checkpoint);
        self.owners(lease.partition, "kafka_log::checkpoint", work).await
    }

    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>> {
        let consumer = consumer.to_owned();
        let work = move |owners: &mut Owners| owners.last_checkpoint(&consumer);
        self.owners(partition, "kafka_log::last_checkpoint", work).await
    }

    async fn trim(&self, partition: u32, before: Offset) -> Result<()> {
        let (low, end) = self.bounds(partition).await?;
        let before = i64::try_from(before >> BITS).unwrap_or(i64::MAX).min(end);
        if before <= low {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        let failed = |e| explain(&e, &self.config).with_operation("kafka_log::trim");
        offsets
            .add_partition_offset(&self.config.log_topic(), partition as i32, KafkaOffset::Offset(before))
            .map_err(failed)?;
        let options = AdminOptions::new().request_timeout(Some(self.config.timeout));
        let deleted = self.admin()?.delete_records(&offsets, &options).await.map_err(failed)?;
        for element in deleted.elements() {
            element.error().map_err(failed)?;
        }
        let reader = &self.partition(partition)?.reader;
        let note = move |reader: &mut Reader| {
            reader.sizes().trimmed(before);
            Ok(())
        };
        reader.with(note).await
    }

    async fn trimmed(&self, partition: u32) -> Result<Offset> {
        Ok(offset_of(self.bounds(partition).await?.0))
    }

    /// As far as this process has read the log.
    async fn within(&self, partition: u32, bytes: u64) -> Result<Offset> {
        let reader = &self.partition(partition)?.reader;
        reader.with(move |reader| Ok(reader.sizes().within(bytes).map_or(0, offset_of))).await
    }
}
