//! What the writers of logs on servers share: calls that wait go together, and a call that is repeated after its answer
//! was lost takes effect once.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::{Offset, copy};
use crate::Result;

/// Calls of `append` that may wait for a partition's writer; further ones wait to be let in.
pub(super) const QUEUE: usize = 1024;
/// The bytes and records after which a batch takes no further calls of `append` in.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 1024;
/// Calls that took effect without their caller hearing of it, and that may still be repeated.
const UNHEARD: usize = 1024;

/// One call of `append`, which has records.
#[derive(Debug)]
pub(super) struct Request {
    /// The stream, where all records are of one.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code))]
    pub(super) key: String,
    /// The fencing token of the owner that appends, where one does.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(super) token: Option<u64>,
    pub(super) lines: Vec<String>,
    pub(super) reply: oneshot::Sender<Result<Offset>>,
}

/// The server's side of one partition.
pub(super) trait Remote: Send + 'static {
    /// Appends the records of calls that have one token; gives each call's first offset. After a failure nothing is sent before
    /// [`settle`](Self::settle) has succeeded.
    fn send(&mut self, calls: &[Request]) -> impl Future<Output = Result<Vec<Offset>>> + Send;

    /// Finds out whether the batch that failed took effect after all, which gives its offsets; where it did not, it
    /// never will any more.
    fn settle(&mut self) -> impl Future<Output = Result<Option<Vec<Offset>>>> + Send;
}

/// What tells calls with other records apart.
type Print = [u8; 32];

fn print(lines: &[String]) -> Print {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update((line.len() as u64).to_be_bytes());
        hash.update(line);
    }
    hash.finalize().into()
}

/// Offsets of calls whose callers were told that they failed, or had gone.
#[derive(Debug, Default)]
struct Unheard {
    offsets: HashMap<Print, Offset>,
    order: VecDeque<Print>,
}

impl Unheard {
    fn insert(&mut self, print: Print, offset: Offset) {
        if self.offsets.insert(print, offset).is_none() {
            self.order.push_back(print);
        }
        if self.order.len() > UNHEARD
            && let Some(oldest) = self.order.pop_front()
        {
            self.offsets.remove(&oldest);
        }
    }

    fn take(&mut self, lines: &[String]) -> Option<Offset> {
        if self.offsets.is_empty() {
            return None;
        }
        let print = print(lines);
        let offset = self.offsets.remove(&print)?;
        self.order.retain(|other| *other != print);
        Some(offset)
    }
}

/// The task that appends to one partition.
#[derive(Debug)]
pub(super) struct Writer<R> {
    remote: R,
    /// The calls of a batch whose outcome is not known.
    unsettled: Option<Vec<Print>>,
    unheard: Unheard,
}

impl<R: Remote> Writer<R> {
    /// Starts the task on the current tokio runtime; it ends once all senders are gone.
    pub(super) fn start(remote: R) -> mpsc::Sender<Request> {
        let (tx, rx) = mpsc::channel(QUEUE);
        let writer = Self { remote, unsettled: None, unheard: Unheard::default() };
        tokio::spawn(writer.run(rx));
        tx
    }

    async fn run(mut self, mut calls: mpsc::Receiver<Request>) {
        let mut held = None;
        while let Some(first) = match held.take() {
            Some(call) => Some(call),
            None => calls.recv().await,
        } {
            let size = |call: &Request| call.lines.iter().map(String::len).sum::<usize>();
            let (mut bytes, mut records) = (size(&first), first.lines.len());
            let mut batch = vec![first];
            while bytes < BATCH_BYTES
                && records < BATCH_RECORDS
                && let Ok(call) = calls.try_recv()
            {
                if call.token != batch[0].token {
                    held = Some(call);
                    break;
                }
                bytes += size(&call);
                records += call.lines.len();
                batch.push(call);
            }
            // Callers that gave up before anything was sent need not be served.
            batch.retain(|call| !call.reply.is_closed());
            if !batch.is_empty() {
                self.serve(batch).await;
            }
        }
    }

    async fn serve(&mut self, batch: Vec<Request>) {
        if let Err(e) = self.settle().await {
            for call in batch {
                let _ = call.reply.send(Err(copy(&e)));
            }
            return;
        }
        let mut fresh = Vec::with_capacity(batch.len());
        for call in batch {
            match self.unheard.take(&call.lines) {
                Some(offset) => self.answer(call, offset),
                None => fresh.push(call),
            }
        }
        if fresh.is_empty() {
            return;
        }
        match self.remote.send(&fresh).await {
            Ok(offsets) => {
                for (call, offset) in fresh.into_iter().zip(offsets) {
                    self.answer(call, offset);
                }
            }
            Err(e) => {
                self.unsettled = Some(fresh.iter().map(|call| print(&call.lines)).collect());
                for call in fresh {
                    let _ = call.reply.send(Err(copy(&e)));
                }
            }
        }
    }

    fn answer(&mut self, call: Request, offset: Offset) {
        let Request { lines, reply, .. } = call;
        if reply.send(Ok(offset)).is_err() {
            self.unheard.insert(print(&lines), offset);
        }
    }

    async fn settle(&mut self) -> Result<()> {
        if self.unsettled.is_none() {
            return Ok(());
        }
        let offsets = self.remote.settle().await?;
        let prints = self.unsettled.take().unwrap_or_default();
        for (print, offset) in prints.into_iter().zip(offsets.into_iter().flatten()) {
            self.unheard.insert(print, offset);
        }
        Ok(())
    }
}
