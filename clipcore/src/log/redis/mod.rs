//! A log in Redis Streams (Redis 6.2 or newer, Valkey), for several processes on several machines.
//!
//! ```text
//! clipcore:log              hash: format, partitions
//! clipcore:workers          sorted set: the workers that share the partitions, until when
//! {clipcore:0}:log          hash: id, next offset, bytes so far, fencing token, owner
//! {clipcore:0}:records      stream: entry OFFSET-0, field r: the record as one line of CloudEvents JSON
//! {clipcore:0}:sizes        sorted set: how many bytes lie before every 256th record or so
//! {clipcore:0}:checkpoints  hash: consumer to "writer call JSON"
//! {clipcore:0}:records:copy  the records as they will be, while some are replaced
//! {clipcore:0}:writer:ID    hash: the last call of a writer and where its records went; kept for a week
//! ```
//!
//! `clipcore` is the [prefix](RedisLogConfig::prefix), 0 the partition; the braces keep a partition's keys in one slot of a
//! cluster (which a proxy must speak for: this client does not follow slots itself). The first offset is 1.
//! `XRANGE {clipcore:0}:records - +` reads the log from any language.
//!
//! # What is acknowledged
//! Every change is one Lua script, so it happens whole or not at all. Whether it then outlives the server is a matter of
//! the server's settings, which are checked on opening: see [`RedisDurability`]. A failover to a replica loses what
//! the replica had not received; `min-replicas-to-write` bounds that, nothing rules it out.
//!
//! A call of `append` that the connection's loss left unanswered is asked about again under the same number before
//! anything else is sent, so it takes effect once. Where it fails all the same, because the server stays away for
//! longer than [`timeout`](RedisLogConfig::timeout), the caller may repeat it with the same records: they are
//! not appended twice, as long as this process lives. After a crash, consumers know repeated records by their ids.
//!
//! # Leases
//! A lease ends when somebody else [acquires](EventLog::acquire) the partition, and only then: nothing runs out by
//! itself. Workers that share partitions [claim](EventLog::claim) them instead: a claim that is not renewed in time, by the
//! server's clock, lets others in. Either way the former owner's next checkpoint, and its next
//! [append as owner](EventLog::append_as), fail.
//!
//! # Erasure
//! Entries of a stream cannot be replaced, and one that is deleted stays in the server's memory and files until its neighbours
//! go, too. So a [rewritten](EventLog::rewrite) partition is copied: entries keep their ids, those that change have another
//! record, and the copy takes the place of the former stream in one step, once it has all that was appended and not
//! trimmed meanwhile. While that lasts, the server needs memory for both. Its append-only file has the former records until it
//! is rewritten (`BGREWRITEAOF`).

mod durability;
mod keys;
mod rewrite;
mod scripts;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
pub use durability::RedisDurability;
pub(crate) use keys::check_prefix;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::keys::Keys;
use self::scripts::Scripts;
use self::writer::RedisWriter;
use super::appends::{Request, Writer};
use super::{
    Checkpoint, EventLog, Lease, Offset, Record, RewriteRecord, RewriteState, lines_of, no_partition, stale,
};
use crate::event::Kinds;
use crate::ids::random;
use crate::redis::{Connection, RedisUrl};
use crate::{Error, ErrorKind, Result, config};

/// What this version writes.
const FORMAT: u32 = 1;
/// Most records of one read, so that one answer stays small.
const READ: usize = 1000;
/// Records that one call of `trim` drops before other clients get their turn.
const TRIM: u32 = 10_000;

/// How a log in Redis is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisLogConfig {
    /// The server.
    pub url: RedisUrl,
    /// What the names of the log's keys begin with: 1 to 64 of `A-Z a-z 0-9 . _ - :`.
    pub prefix: String,
    /// How many partitions a new log gets, 1 to 1024; an existing log keeps its own number.
    pub partitions: u32,
    /// What the server's settings must promise.
    pub durability: RedisDurability,
    /// How long a call may take, attempts after a lost connection included; in seconds in files.
    #[serde(with = "config::secs")]
    pub timeout: Duration,
    /// Longest record in bytes of JSON; longer ones are refused.
    pub max_record_bytes: usize,
}

impl Default for RedisLogConfig {
    fn default() -> Self {
        Self {
            url: RedisUrl::default(),
            prefix: "clipcore".to_owned(),
            partitions: 1,
            durability: RedisDurability::default(),
            timeout: Duration::from_secs(10),
            max_record_bytes: 1 << 20,
        }
    }
}

/// A log that several processes share through a Redis server; see the [module](self) for keys and promises.
///
/// Appends of one process to a partition go to the server together, one call at a time. Reads have a
/// connection of their own, so that a long answer holds up no append.
///
/// # Errors
/// `Unavailable` or `Timeout` (both retryable) where the server cannot be reached within the
/// [timeout](RedisLogConfig::timeout); `DiskFull` (retryable) where it is out of memory or cannot write;
/// `Corrupt` where the server no longer has the log that was opened.
#[derive(Debug)]
pub struct RedisLog {
    partitions: Vec<Partition>,
    scripts: Arc<Scripts>,
    writes: Connection,
    reads: Connection,
    config: RedisLogConfig,
    kinds: Kinds,
    /// Tells this process's calls from others'.
    writer: String,
    calls: AtomicU64,
}

#[derive(Debug)]
struct Partition {
    keys: Arc<Keys>,
    appends: mpsc::Sender<Request>,
}

impl RedisLog {
    /// Opens the log, or begins one. `kinds` reads the events back. Must be called on a tokio runtime, which then runs
    /// the log's writers.
    ///
    /// # Errors
    /// `Config` for settings of the log or the server that make no sense; `Unavailable` or `Timeout`; `Unsupported`
    /// where another version of clipcore wrote the log.
    pub async fn open(config: RedisLogConfig, kinds: Kinds) -> Result<Self> {
        Self::connect(config, kinds).await.map_err(|e| e.with_operation("redis_log::open"))
    }

    async fn connect(mut config: RedisLogConfig, kinds: Kinds) -> Result<Self> {
        if !(1..=1024).contains(&config.partitions) {
            return Err(Error::config("a log has 1 to 1024 partitions"));
        }
        check_prefix(&config.prefix)?;
        let writes = Connection::new(&config.url, config.timeout)?;
        let reads = Connection::new(&config.url, config.timeout)?;
        durability::check(&writes, config.durability).await?;
        config.partitions = partitions(&writes, &config).await?;
        let writer = crate::hex(&random::<16>()?);
        let scripts = Arc::new(Scripts::new());
        let mut all = Vec::new();
        for number in 0..config.partitions {
            let mut keys = Keys::new(&config.prefix, number);
            let mut call = scripts.open.call(&[&keys.log]);
            call.arg(FORMAT).arg(format!("{writer}-{number}"));
            let (format, id): (u32, String) = writes.run(&scripts.open, &call).await?;
            if format != FORMAT {
                return Err(foreign(&config));
            }
            keys.id = id;
            let keys = Arc::new(keys);
            let remote = RedisWriter::new(writes.clone(), scripts.clone(), keys.clone(), number, &writer);
            let appends = Writer::start(remote);
            all.push(Partition { keys, appends });
        }
        Ok(Self { partitions: all, scripts, writes, reads, config, kinds, writer, calls: AtomicU64::new(0) })
    }

    fn partition(&self, partition: u32) -> Result<&Partition> {
        self.partitions.get(partition as usize).ok_or_else(|| no_partition(partition, self.partitions()))
    }

    fn number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn append_with(&self, partition: u32, token: Option<u64>, records: &[Record]) -> Result<Offset> {
        let part = self.partition(partition)?;
        let lines = lines_of(records, &self.kinds, self.config.max_record_bytes)?;
        if lines.is_empty() {
            let next: Option<Offset> =
                self.reads.query(redis::cmd("HGET").arg(&part.keys.log).arg("next")).await?;
            return next.ok_or_else(|| lost(&part.keys));
        }
        let gone = || Error::new(ErrorKind::Internal, "the log's writer has stopped");
        let (reply, answer) = oneshot::channel();
        let call = Request { key: String::new(), token, lines, reply };
        part.appends.send(call).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone())).map_err(|e| e.with_operation("redis_log::append"))
    }

    /// The oldest record's offset.
    async fn oldest(&self, keys: &Keys) -> Result<Option<Offset>> {
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(&keys.records).arg("-").arg("+").arg("COUNT").arg(1);
        let found: Vec<(String, Vec<String>)> = self.reads.query(&cmd).await?;
        found.first().map(|(id, _)| offset(id)).transpose()
    }
}

/// How many partitions the log has; notes it where the log is new.
async fn partitions(connection: &Connection, config: &RedisLogConfig) -> Result<u32> {
    let key = format!("{}:log", config.prefix);
    let begin = |field: &str, value: u32| {
        let mut cmd = redis::cmd("HSETNX");
        cmd.arg(&key).arg(field).arg(value);
        cmd
    };
    connection.query::<()>(&begin("format", FORMAT)).await?;
    connection.query::<()>(&begin("partitions", config.partitions)).await?;
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(&key).arg("format").arg("partitions");
    let (format, partitions): (u32, u32) = connection.query(&cmd).await?;
    if format != FORMAT || !(1..=1024).contains(&partitions) {
        return Err(foreign(config));
    }
    Ok(partitions)
}

fn foreign(config: &RedisLogConfig) -> Error {
    Error::new(ErrorKind::Unsupported, "this log was written by another version of clipcore")
        .with_context("server", &config.url)
        .with_context("prefix", &config.prefix)
}

/// The server no longer has the log that was opened.
fn lost(keys: &Keys) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "Redis no longer has the log that was opened: it was deleted, or the server lost its data",
    )
    .with_context("key", &keys.log)
    .with_hint("restore the server's data; or start clipcore again, which begins a new log")
}

fn garbled(answer: &[String]) -> Error {
    Error::new(ErrorKind::Internal, "Redis gave an answer that a script of clipcore does not give")
        .with_context("answer", crate::ids::shorten(&answer.join(" ")))
}

/// A script's answer: what became of the call, and the rest.
fn reply(answer: &[String]) -> (&str, &[String]) {
    answer.split_first().map_or(("", &[]), |(word, rest)| (word.as_str(), rest))
}

/// What a script that only a partition's owner may call has answered.
fn owners(answer: &[String], lease: &Lease, keys: &Keys) -> Result<()> {
    match reply(answer) {
        ("done", _) => Ok(()),
        ("stale", [current]) => Err(stale(lease, current.parse().map_err(|_| garbled(answer))?)),
        ("lost", _) => Err(lost(keys)),
        _ => Err(garbled(answer)),
    }
}

fn offset(entry: &str) -> Result<Offset> {
    entry.split_once('-').and_then(|(offset, _)| offset.parse().ok()).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "an entry of the log's stream is not clipcore's")
            .with_context("entry", crate::ids::shorten(entry))
    })
}

#[async_trait]
impl EventLog for RedisLog {
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
        let keys = &self.partition(partition)?.keys;
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(&keys.records).arg(format!("{from}-0")).arg("+").arg("COUNT").arg(max.min(READ));
        let found: Vec<(String, Vec<Vec<u8>>)> = self.reads.query(&cmd).await?;
        let mut records = Vec::with_capacity(found.len());
        for (entry, fields) in &found {
            let record = offset(entry).and_then(|offset| {
                let json = fields.get(1).map_or(&[][..], Vec::as_slice);
                Ok((offset, Record::from_json(json, &self.kinds)?))
            });
            match record {
                Ok(record) => records.push(record),
                // Those before it are given first.
                Err(_) if !records.is_empty() => break,
                Err(e) => {
                    return Err(Error::new(ErrorKind::Corrupt, "a record of the log cannot be read")
                        .with_context("key", &keys.records)
                        .with_context("entry", entry)
                        .with_source(e)
                        .with_operation("redis_log::read"));
                }
            }
        }
        Ok(records)
    }

    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease> {
        let keys = &self.partition(partition)?.keys;
        let mut call = self.scripts.acquire.call(&[&keys.log]);
        call.arg(&keys.id).arg(owner).arg(format!("{}-{}", self.writer, self.number()));
        let answer: Vec<String> = self.writes.run(&self.scripts.acquire, &call).await?;
        match reply(&answer) {
            ("done", [token, before]) => {
                if !before.is_empty() && before != owner {
                    tracing::info!(partition, from = before, to = owner, "partition taken over");
                }
                let token = token.parse().map_err(|_| garbled(&answer))?;
                Ok(Lease { partition, token })
            }
            ("lost", _) => Err(lost(keys)),
            _ => Err(garbled(&answer)),
        }
    }

    async fn claim(&self, partition: u32, owner: &str, span: Duration) -> Result<Option<Lease>> {
        let keys = &self.partition(partition)?.keys;
        let mut call = self.scripts.claim.call(&[&keys.log]);
        call.arg(&keys.id).arg(owner).arg(format!("{}-{}", self.writer, self.number()));
        call.arg(span.as_millis() as u64);
        let answer: Vec<String> = self.writes.run(&self.scripts.claim, &call).await?;
        match reply(&answer) {
            ("done", [token, before]) => {
                tracing::info!(partition, from = before, to = owner, "partition claimed");
                let token = token.parse().map_err(|_| garbled(&answer))?;
                Ok(Some(Lease { partition, token }))
            }
            ("held", _) => Ok(None),
            ("lost", _) => Err(lost(keys)),
            _ => Err(garbled(&answer)),
        }
    }

    async fn renew(&self, lease: &Lease, span: Duration) -> Result<()> {
        let keys = &self.partition(lease.partition)?.keys;
        let mut call = self.scripts.renew.call(&[&keys.log]);
        call.arg(&keys.id).arg(lease.token).arg(span.as_millis() as u64);
        let answer: Vec<String> = self.writes.run(&self.scripts.renew, &call).await?;
        owners(&answer, lease, keys)
    }

    async fn seize(&self, partition: u32, owner: &str, span: Duration) -> Result<Option<Lease>> {
        let keys = &self.partition(partition)?.keys;
        let mut call = self.scripts.seize.call(&[&keys.log]);
        call.arg(&keys.id).arg(owner).arg(format!("{}-{}", self.writer, self.number()));
        call.arg(span.as_millis() as u64);
        let answer: Vec<String> = self.writes.run(&self.scripts.seize, &call).await?;
        match reply(&answer) {
            ("done", [token]) => {
                let token = token.parse().map_err(|_| garbled(&answer))?;
                Ok(Some(Lease { partition, token }))
            }
            ("held", _) => Ok(None),
            ("lost", _) => Err(lost(keys)),
            _ => Err(garbled(&answer)),
        }
    }

    async fn hand_back(&self, lease: &Lease) -> Result<()> {
        let keys = &self.partition(lease.partition)?.keys;
        let mut call = self.scripts.hand_back.call(&[&keys.log]);
        call.arg(&keys.id).arg(lease.token);
        let answer: Vec<String> = self.writes.run(&self.scripts.hand_back, &call).await?;
        owners(&answer, lease, keys)
    }

    async fn attend(&self, worker: &str, span: Duration) -> Result<usize> {
        let key = format!("{}:workers", self.config.prefix);
        let mut call = self.scripts.attend.call(&[&key]);
        call.arg(worker).arg(span.as_millis() as u64);
        self.writes.run(&self.scripts.attend, &call).await
    }

    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let keys = &self.partition(lease.partition)?.keys;
        let mut call = self.scripts.checkpoint.call(&[&keys.log, &keys.checkpoints]);
        call.arg(&keys.id).arg(lease.token).arg(consumer).arg(&self.writer).arg(self.number());
        call.arg(serde_json::to_string(checkpoint)?);
        let answer: Vec<String> = self.writes.run(&self.scripts.checkpoint, &call).await?;
        owners(&answer, lease, keys)
    }

    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>> {
        let keys = &self.partition(partition)?.keys;
        let mut cmd = redis::cmd("HGET");
        cmd.arg(&keys.checkpoints).arg(consumer);
        let found: Option<String> = self.reads.query(&cmd).await?;
        let Some(found) = found else { return Ok(None) };
        let json = found.splitn(3, ' ').nth(2).unwrap_or_default();
        serde_json::from_str(json).map(Some).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "a checkpoint in Redis cannot be read")
                .with_context("key", &keys.checkpoints)
                .with_context("field", consumer)
                .with_source(e)
                .with_hint("delete it (HDEL), and the consumer reads the log from its beginning")
        })
    }

    async fn trim(&self, partition: u32, before: Offset) -> Result<()> {
        let keys = &self.partition(partition)?.keys;
        loop {
            let mut call = self.scripts.trim.call(&[&keys.records, &keys.sizes]);
            call.arg(before).arg(TRIM);
            let more: bool = self.writes.run(&self.scripts.trim, &call).await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn trimmed(&self, partition: u32) -> Result<Offset> {
        let keys = &self.partition(partition)?.keys;
        // What is appended between the two questions must not look trimmed: the end is asked for first.
        let next: Option<Offset> = self.reads.query(redis::cmd("HGET").arg(&keys.log).arg("next")).await?;
        let first = self.oldest(keys).await?.or(next).unwrap_or(1);
        Ok(if first == 1 { 0 } else { first })
    }

    async fn within(&self, partition: u32, bytes: u64) -> Result<Offset> {
        let keys = &self.partition(partition)?.keys;
        let mut call = self.scripts.within.call(&[&keys.log, &keys.sizes]);
        call.arg(bytes);
        self.reads.run(&self.scripts.within, &call).await
    }

    async fn rewrite(&self, partition: u32, change: RewriteRecord) -> Result<usize> {
        self.rewrite_records(partition, change).await.map_err(|e| e.with_operation("redis_log::rewrite"))
    }

    async fn rewrite_checkpoints(&self, partition: u32, change: RewriteState) -> Result<usize> {
        self.rewrite_states(partition, change).await.map_err(|e| e.with_operation("redis_log::rewrite"))
    }
}
