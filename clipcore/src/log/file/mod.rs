//! A log in a folder of its own: the embedded default.
//!
//! ```text
//! DIR/lock                                  held by the process that uses the log
//! DIR/log.json                              {"format":1,"partitions":1}
//! DIR/0/00000000000000000000.log            segments, named after their first offset
//! DIR/0/lease.json                          the fencing token
//! DIR/0/checkpoints/NAME.HASH.json          one for each consumer
//! DIR/0/expired.json                        before which segment there are no words of chat any more
//! ```
//!
//! A record is one line of text, so `grep` and `tail -f` work:
//!
//! ```text
//! <crc32> <offset> <durable> <record as JSON>\n
//! ```
//!
//! `crc32` (CRC-32/ISO-HDLC, as in gzip) covers the rest of the line. Every record before offset `durable` was on
//! the medium when the line was written: where a later line says so, a damaged line is an error; where none does, it
//! is the end of a commit that a crash cut short, and is cut off on opening. Lease and checkpoint files are
//! `<crc32> <JSON>\n` and are replaced whole.

mod consumers;
mod frame;
mod reader;
pub(crate) mod rewrite;
mod segment;
mod tail;
mod upkeep;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
pub use reader::{FileLogReader, segment_records};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::consumers::Consumers;
use self::segment::Segment;
use self::tail::Tail;
use self::writer::{Request, View, Writer, lock};
use super::{
    Checkpoint, EventLog, Lease, Offset, Record, RewriteRecord, RewriteState, lines_of, no_partition,
};
use crate::durable::{self, Durability, blocking, create_dir, replace, sync_dir, write_error};
use crate::event::Kinds;
use crate::{Error, ErrorKind, Result, StreamId};

/// Calls of `append` that may wait for the writer of a partition; further ones wait to be let in.
const QUEUE: usize = 1024;

/// How a file log is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileLogConfig {
    /// How many partitions a new log gets, 1 to 1024; an existing log keeps its own number.
    pub partitions: u32,
    /// What has happened to records before `append` returns.
    pub durability: Durability,
    /// Size in bytes at which a new segment is begun. [`trim`](EventLog::trim) drops whole segments.
    pub segment_bytes: u64,
    /// Longest record in bytes of JSON; longer ones are refused.
    pub max_record_bytes: usize,
    /// How many bytes of the newest records each partition keeps in memory for those who follow it.
    pub tail_bytes: usize,
}

impl Default for FileLogConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            durability: Durability::Fsync,
            segment_bytes: 16 << 20,
            max_record_bytes: 1 << 20,
            tail_bytes: 4 << 20,
        }
    }
}

/// A segmented, checksummed, crash-safe log in a folder; see the [module](self) for the format.
///
/// Appends from many tasks share one sync (group commit). Each partition has a writer thread; reads and checkpoints
/// run on tokio's blocking threads. Only one process uses a log at a time: a lock on the folder sees to that.
///
/// Where the disk is full, `append` fails with a retryable `DiskFull`, what it had written is removed, and
/// later appends work once there is room.
///
/// A record that cannot be read does not hide those before it: `read` gives them first, and fails when it is the
/// next one. The caller may go on behind it; behind one whose checksum fails, with the next segment.
///
/// Dropping the log waits until what is queued is written, which takes about as long as one commit.
#[derive(Debug)]
pub struct FileLog {
    partitions: Vec<Partition>,
    config: FileLogConfig,
    kinds: Kinds,
    _lock: File,
}

#[derive(Debug)]
struct Partition {
    dir: PathBuf,
    view: Arc<Mutex<View>>,
    consumers: Arc<Mutex<Consumers>>,
    /// Held while segments are dropped or replaced.
    upkeep: Arc<Mutex<()>>,
    calls: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    partitions: u32,
}

impl FileLog {
    /// Opens the log in folder `dir`, or begins one there. `kinds` reads the events back.
    ///
    /// A tail that a crash left torn is cut off, with a warning.
    ///
    /// # Errors
    /// `Conflict` where another process uses the log; `Corrupt` (with file, byte and offset) where acknowledged
    /// records of the newest segment are damaged; `Config`, `Unsupported`, `Io` or `DiskFull`.
    pub async fn open(dir: impl AsRef<Path>, config: FileLogConfig, kinds: Kinds) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        blocking(move || Self::open_blocking(&dir, config, kinds)).await
    }

    fn open_blocking(dir: &Path, mut config: FileLogConfig, kinds: Kinds) -> Result<Self> {
        if !(1..=1024).contains(&config.partitions) || config.segment_bytes == 0 {
            return Err(Error::config("a log has 1 to 1024 partitions and segments of at least one byte"));
        }
        create_dir(dir)?;
        let lock_path = dir.join("lock");
        let lock = File::options().create(true).append(true).open(&lock_path);
        let lock = lock.map_err(|e| write_error(e, &lock_path))?;
        durable::lock(&lock, dir, "the log")?;
        config.partitions = match read_manifest(dir)? {
            Some(manifest) => manifest.partitions,
            None => {
                let manifest = Manifest { format: 1, partitions: config.partitions };
                replace(&dir.join("log.json"), serde_json::to_string(&manifest)?.as_bytes())?;
                config.partitions
            }
        };
        let partitions =
            (0..config.partitions).map(|p| Partition::open(dir, p, &config)).collect::<Result<_>>()?;
        Ok(Self { partitions, config, kinds, _lock: lock })
    }

    async fn read_files(
        &self,
        part: &Partition,
        from: Offset,
        max: usize,
        stream: Option<StreamId>,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        let (dir, view, kinds) = (part.dir.clone(), part.view.clone(), self.kinds.clone());
        blocking(move || reader::read(&dir, &view, &kinds, from, max, stream.as_ref())).await
    }

    fn partition(&self, partition: u32) -> Result<&Partition> {
        self.partitions.get(partition as usize).ok_or_else(|| no_partition(partition, self.partitions()))
    }
}

fn read_manifest(dir: &Path) -> Result<Option<Manifest>> {
    let path = dir.join("log.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(e, &path)),
    };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
        Error::new(ErrorKind::Corrupt, "the log's description is damaged")
            .with_source(e)
            .with_context("path", path.display())
    })?;
    if manifest.format != 1 || !(1..=1024).contains(&manifest.partitions) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this log was written by another version of clipcore",
        )
        .with_context("path", path.display()));
    }
    Ok(Some(manifest))
}

impl Partition {
    fn open(root: &Path, number: u32, config: &FileLogConfig) -> Result<Self> {
        let dir = root.join(number.to_string());
        create_dir(&dir)?;
        let consumers = Arc::new(Mutex::new(Consumers::open(&dir, number)?));
        let bases = segment::list(&dir)?;
        let newest = bases.last().copied().unwrap_or(0);
        let (active, file, next) = segment::recover(&dir, newest)?;
        let older = bases.iter().take(bases.len().saturating_sub(1)).map(|base| Segment::new(*base));
        let segments = older.chain([active]).collect();
        let tail = Tail::new(next, config.tail_bytes);
        let view = Arc::new(Mutex::new(View { segments, active_len: file.len(), next, tail, rewrites: 0 }));
        let writer = Writer::new(dir.clone(), view.clone(), file, config);
        let (calls, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(format!("clipcore-log-{number}"))
            .spawn(move || writer.run(queue))
            .map_err(|e| Error::from(e).with_operation("log::open"))?;
        Ok(Self { dir, view, consumers, upkeep: Arc::default(), calls: Some(calls), thread: Some(thread) })
    }
}

impl Partition {
    /// Has the writer append something; gives the offset of the first record.
    async fn call(&self, lines: Vec<String>, records: Vec<Record>, roll: bool) -> Result<Offset> {
        let gone = || Error::new(ErrorKind::Internal, "the log's writer has stopped");
        let (reply, answer) = oneshot::channel();
        let calls = self.calls.as_ref().ok_or_else(gone)?;
        calls.send(Request { lines, records, roll, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone())).map_err(|e| e.with_operation("log::append"))
    }

    /// What a read gives that needs no file.
    fn at_end(
        &self,
        from: Offset,
        max: usize,
        stream: Option<&StreamId>,
    ) -> Option<(Vec<(Offset, Record)>, Offset)> {
        let view = lock(&self.view);
        if from >= view.next || max == 0 {
            return Some((Vec::new(), from));
        }
        view.tail.read(from, max, stream)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl EventLog for FileLog {
    fn partitions(&self) -> u32 {
        self.config.partitions
    }

    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset> {
        let part = self.partition(partition)?;
        let lines = lines_of(records, &self.kinds, self.config.max_record_bytes)?;
        part.call(lines, records.to_vec(), false).await
    }

    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>> {
        let part = self.partition(partition)?;
        // Most reads of a live pipeline are at the end: they need no other thread.
        match part.at_end(from, max, None) {
            Some((records, _)) => Ok(records),
            None => Ok(self.read_files(part, from, max, None).await?.0),
        }
    }

    async fn read_stream(
        &self,
        partition: u32,
        stream: &StreamId,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, Record)>, Offset)> {
        let part = self.partition(partition)?;
        match part.at_end(from, max, Some(stream)) {
            Some(read) => Ok(read),
            None => self.read_files(part, from, max, Some(stream.clone())).await,
        }
    }

    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease> {
        let consumers = self.partition(partition)?.consumers.clone();
        let owner = owner.to_owned();
        blocking(move || lock(&consumers).acquire(&owner)).await
    }

    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let part = self.partition(lease.partition)?;
        let (dir, view, consumers) = (part.dir.clone(), part.view.clone(), part.consumers.clone());
        let (lease, consumer, checkpoint) = (lease.clone(), consumer.to_owned(), checkpoint.clone());
        let durability = self.config.durability;
        blocking(move || {
            let consumers = lock(&consumers);
            consumers.check(&lease)?;
            if durability == Durability::Flush {
                // A checkpoint must never outlive the records it has seen.
                let base = lock(&view).segments.last().map_or(0, |s| s.base);
                let path = segment::path(&dir, base);
                File::open(&path).and_then(|f| f.sync_data()).map_err(|e| Error::io(e, &path))?;
            }
            consumers.save(&lease, &consumer, &checkpoint)
        })
        .await
        .map_err(|e| e.with_operation("log::checkpoint"))
    }

    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>> {
        let consumers = self.partition(partition)?.consumers.clone();
        let consumer = consumer.to_owned();
        blocking(move || lock(&consumers).load(&consumer)).await
    }

    async fn trim(&self, partition: u32, before: Offset) -> Result<()> {
        let part = self.partition(partition)?;
        let (dir, view, upkeep) = (part.dir.clone(), part.view.clone(), part.upkeep.clone());
        blocking(move || {
            let _upkeep = lock(&upkeep);
            loop {
                let oldest = {
                    let mut view = lock(&view);
                    // A segment ends where the next one begins; the newest always stays.
                    match view.segments.get(1) {
                        Some(following) if following.base <= before => {
                            let first = following.base;
                            view.tail.forget_before(first);
                            view.segments.remove(0)
                        }
                        _ => break,
                    }
                };
                let path = segment::path(&dir, oldest.base);
                if let Err(e) = std::fs::remove_file(&path)
                    && e.kind() != std::io::ErrorKind::NotFound
                {
                    lock(&view).segments.insert(0, oldest);
                    return Err(Error::io(e, path));
                }
            }
            sync_dir(&dir)
        })
        .await
        .map_err(|e| e.with_operation("log::trim"))
    }

    async fn trimmed(&self, partition: u32) -> Result<Offset> {
        Ok(lock(&self.partition(partition)?.view).segments.first().map_or(0, |s| s.base))
    }

    async fn within(&self, partition: u32, bytes: u64) -> Result<Offset> {
        let part = self.partition(partition)?;
        let (dir, view) = (part.dir.clone(), part.view.clone());
        blocking(move || {
            let bases: Vec<Offset> = lock(&view).segments.iter().map(|s| s.base).collect();
            let mut left = bytes;
            let mut from = bases.last().copied().unwrap_or(0);
            for base in bases.into_iter().rev() {
                let path = segment::path(&dir, base);
                let size = std::fs::metadata(&path).map_err(|e| Error::io(e, &path))?.len();
                let Some(rest) = left.checked_sub(size) else { break };
                (left, from) = (rest, base);
            }
            Ok(from)
        })
        .await
        .map_err(|e| e.with_operation("log::within"))
    }

    async fn rewrite(&self, partition: u32, change: RewriteRecord) -> Result<usize> {
        let changed = self.rewrite_all(partition, change).await;
        changed.map_err(|e| e.with_operation("log::rewrite"))
    }

    async fn rewrite_checkpoints(&self, partition: u32, change: RewriteState) -> Result<usize> {
        let part = self.partition(partition)?;
        let (dir, consumers) = (part.dir.clone(), part.consumers.clone());
        blocking(move || {
            let _consumers = lock(&consumers);
            rewrite::checkpoints(&dir, &mut |consumer, state, _| change(consumer, state))
        })
        .await
        .map_err(|e| e.with_operation("log::rewrite"))
    }
}

#[cfg(test)]
mod tests;
