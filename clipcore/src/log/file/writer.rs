//! The thread that appends to one partition: everything that waits is written and synced together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::segment::{self, Segment};
use super::tail::Tail;
use super::{FileLogConfig, frame};
use crate::Result;
use crate::durable::{AppendFile, Durability, sync_dir};
use crate::log::{Offset, Record, copy};

/// The bytes after which a commit takes no further calls in.
const COMMIT_BYTES: usize = 1 << 20;

/// One call of `append`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) lines: Vec<String>,
    /// What the lines say.
    pub(super) records: Vec<Record>,
    /// Begin a new segment first.
    pub(super) roll: bool,
    pub(super) reply: oneshot::Sender<Result<Offset>>,
}

/// What readers see of a partition: committed records only.
#[derive(Debug)]
pub(super) struct View {
    /// Oldest first; never empty.
    pub(super) segments: Vec<Segment>,
    /// Bytes of the newest segment that are committed.
    pub(super) active_len: u64,
    /// Offset of the next record.
    pub(super) next: Offset,
    pub(super) tail: Tail,
    /// How often a segment was, or is about to be, replaced.
    pub(super) rewrites: u64,
}

/// Changes of the view are single steps, so a panic elsewhere leaves it whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    view: Arc<Mutex<View>>,
    file: AppendFile,
    segment_bytes: u64,
    durability: Durability,
    /// Every record before this offset is on the medium.
    durable: Offset,
    /// Set where a new segment's entry in the folder may not be durable yet.
    unlisted: bool,
}

impl Writer {
    pub(super) fn new(
        dir: PathBuf,
        view: Arc<Mutex<View>>,
        file: AppendFile,
        config: &FileLogConfig,
    ) -> Self {
        let durable = lock(&view).next;
        Self {
            dir,
            view,
            file,
            segment_bytes: config.segment_bytes,
            durability: config.durability,
            durable,
            unlisted: true,
        }
    }

    /// Serves calls until all senders are gone.
    pub(super) fn run(mut self, mut calls: mpsc::Receiver<Request>) {
        while let Some(first) = calls.blocking_recv() {
            let mut bytes = size(&first);
            let mut group = vec![first];
            while bytes < COMMIT_BYTES
                && let Ok(call) = calls.try_recv()
            {
                bytes += size(&call);
                group.push(call);
            }
            // Callers that gave up before anything was written need not be written.
            group.retain(|call| !call.reply.is_closed());
            if group.is_empty() {
                continue;
            }
            match self.commit(&mut group) {
                Ok(mut offset) => {
                    for call in group {
                        let count = call.lines.len() as u64;
                        let _ = call.reply.send(Ok(offset));
                        offset += count;
                    }
                }
                Err(e) => {
                    for call in group {
                        let _ = call.reply.send(Err(copy(&e)));
                    }
                }
            }
        }
        if let Err(e) = self.file.sync() {
            tracing::warn!(error = %e, "the end of the log may not be on the medium");
        }
    }

    /// Appends the lines of all calls and makes them visible; gives the first one's offset.
    fn commit(&mut self, group: &mut [Request]) -> Result<Offset> {
        self.rotate_if_full(group.iter().any(|call| call.roll))?;
        if self.unlisted {
            sync_dir(&self.dir)?;
            self.unlisted = false;
        }
        let first = lock(&self.view).next;
        let begin = self.file.len();
        let mut bytes = Vec::with_capacity(group.iter().map(size).sum());
        let mut next = first;
        let mut places = Vec::new();
        for json in group.iter().flat_map(|call| &call.lines) {
            places.push((next, begin + bytes.len() as u64));
            frame::encode(&mut bytes, next, self.durable, json);
            next += 1;
        }
        self.file.append(&bytes, self.durability)?;
        if self.file.is_synced() {
            self.durable = next;
        }
        let mut view = lock(&self.view);
        if let Some(segment) = view.segments.last_mut() {
            for (offset, pos) in places {
                segment.note(offset, pos);
            }
        }
        view.active_len = self.file.len();
        view.next = next;
        for call in group {
            for (record, line) in std::mem::take(&mut call.records).into_iter().zip(&call.lines) {
                view.tail.push(record, line.len());
            }
        }
        Ok(first)
    }

    fn rotate_if_full(&mut self, roll: bool) -> Result<()> {
        if self.file.len() < self.segment_bytes && !(roll && self.file.len() > 0) {
            return Ok(());
        }
        // The segment that is left behind must hold, whatever the durability: it is not mended on opening.
        self.file.sync()?;
        let next = lock(&self.view).next;
        self.durable = next;
        self.file = AppendFile::open(&segment::path(&self.dir, next))?;
        self.unlisted = true;
        let mut view = lock(&self.view);
        view.segments.push(Segment::new(next));
        view.active_len = 0;
        Ok(())
    }
}

fn size(call: &Request) -> usize {
    call.lines.iter().map(|line| line.len() + 40).sum()
}
