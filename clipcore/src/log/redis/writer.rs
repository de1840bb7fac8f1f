//! The task that appends to one partition: everything that waits goes in one call, and what is sent twice counts once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::keys::Keys;
use super::scripts::Scripts;
use super::{lost, reply};
use crate::Result;
use crate::log::{Offset, copy};
use crate::redis::Connection;

/// The bytes and records after which a call of the script takes no further calls of `append` in: the server does
/// nothing else meanwhile.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 1024;
/// How long the server remembers a writer's last call, in seconds: longer than any outage that is waited out.
const REMEMBERED: u32 = 7 * 86_400;
/// Calls that landed without their caller hearing of it, and that may still be repeated.
const UNHEARD: usize = 1024;

/// One call of `append`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) lines: Vec<String>,
    pub(super) reply: oneshot::Sender<Result<Offset>>,
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

/// A call of the script whose answer never came.
#[derive(Debug)]
struct Unsettled {
    number: u64,
    /// The calls of `append` in it, and where in it their records begin.
    calls: Vec<(Print, u64)>,
}

#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    scripts: Arc<Scripts>,
    keys: Arc<Keys>,
    /// The key of this writer's last call.
    key: String,
    number: u64,
    unsettled: Option<Unsettled>,
    unheard: Unheard,
}

impl Writer {
    pub(super) fn new(connection: Connection, scripts: Arc<Scripts>, keys: Arc<Keys>, name: &str) -> Self {
        let key = keys.writer(name);
        Self { connection, scripts, keys, key, number: 0, unsettled: None, unheard: Unheard::default() }
    }

    /// Serves calls until all senders are gone.
    pub(super) async fn run(mut self, mut calls: mpsc::Receiver<Request>) {
        while let Some(first) = calls.recv().await {
            let size = |call: &Request| call.lines.iter().map(String::len).sum::<usize>();
            let (mut bytes, mut records) = (size(&first), first.lines.len());
            let mut group = vec![first];
            while bytes < BATCH_BYTES
                && records < BATCH_RECORDS
                && let Ok(call) = calls.try_recv()
            {
                bytes += size(&call);
                records += call.lines.len();
                group.push(call);
            }
            // Callers that gave up before anything was sent need not be served.
            group.retain(|call| !call.reply.is_closed());
            if !group.is_empty() {
                self.serve(group).await;
            }
        }
    }

    async fn serve(&mut self, group: Vec<Request>) {
        if let Err(e) = self.settle().await {
            for call in group {
                let _ = call.reply.send(Err(copy(&e)));
            }
            return;
        }
        let mut fresh = Vec::with_capacity(group.len());
        for call in group {
            match self.unheard.take(&call.lines) {
                Some(offset) => self.answer(call, offset),
                None => fresh.push(call),
            }
        }
        if fresh.is_empty() {
            return;
        }
        self.number += 1;
        match self.send(self.number, &fresh).await {
            Ok((first, next)) => {
                let mut offset = if first == 0 { next } else { first };
                for call in fresh {
                    let count = call.lines.len() as u64;
                    self.answer(call, offset);
                    offset += count;
                }
            }
            Err(e) => {
                let mut calls = Vec::with_capacity(fresh.len());
                let mut index = 0;
                for call in fresh {
                    calls.push((print(&call.lines), index));
                    index += call.lines.len() as u64;
                    let _ = call.reply.send(Err(copy(&e)));
                }
                self.unsettled = Some(Unsettled { number: self.number, calls });
            }
        }
    }

    fn answer(&mut self, call: Request, offset: Offset) {
        let Request { lines, reply } = call;
        if reply.send(Ok(offset)).is_err() && !lines.is_empty() {
            self.unheard.insert(print(&lines), offset);
        }
    }

    /// Finds out whether the call that was not answered took effect, and rules out that it still will.
    async fn settle(&mut self) -> Result<()> {
        let Some(unsettled) = &self.unsettled else { return Ok(()) };
        let (first, _) = self.send(unsettled.number, &[]).await?;
        if let Some(unsettled) = self.unsettled.take()
            && first > 0
        {
            for (print, index) in unsettled.calls {
                self.unheard.insert(print, first + index);
            }
        }
        Ok(())
    }

    /// Gives the first record's offset, 0 where nothing was or had been appended, and the next one.
    async fn send(&self, number: u64, calls: &[Request]) -> Result<(Offset, Offset)> {
        let keys = [&*self.keys.log, &*self.keys.records, &*self.key, &*self.keys.sizes];
        let mut cmd = self.scripts.append.call(&keys);
        cmd.arg(&*self.keys.id).arg(number).arg(REMEMBERED);
        for line in calls.iter().flat_map(|call| &call.lines) {
            cmd.arg(line);
        }
        let answer: Vec<String> = self.connection.run(&self.scripts.append, &cmd).await?;
        match reply(&answer) {
            ("done", [first, next]) => match (first.parse(), next.parse()) {
                (Ok(first), Ok(next)) => Ok((first, next)),
                _ => Err(super::garbled(&answer)),
            },
            ("lost", _) => Err(lost(&self.keys)),
            _ => Err(super::garbled(&answer)),
        }
    }
}
