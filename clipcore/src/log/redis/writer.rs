//! Appends of one process to one partition: each batch is one call of a script, with a number of its own.

use std::sync::Arc;

use super::keys::Keys;
use super::scripts::Scripts;
use super::{garbled, lost, reply};
use crate::Result;
use crate::log::appends::{Remote, Request};
use crate::log::{Lease, Offset, stale};
use crate::redis::Connection;

/// How long the server remembers a writer's last call, in seconds: longer than any outage that is waited out.
const REMEMBERED: u32 = 7 * 86_400;

#[derive(Debug)]
pub(super) struct RedisWriter {
    connection: Connection,
    scripts: Arc<Scripts>,
    keys: Arc<Keys>,
    partition: u32,
    /// The key of this writer's last call.
    key: String,
    number: u64,
    /// The records of each call of `append` in the last call.
    counts: Vec<u64>,
}

impl RedisWriter {
    pub(super) fn new(
        connection: Connection,
        scripts: Arc<Scripts>,
        keys: Arc<Keys>,
        partition: u32,
        name: &str,
    ) -> Self {
        let key = keys.writer(name);
        Self { connection, scripts, keys, partition, key, number: 0, counts: Vec::new() }
    }

    fn offsets(&self, first: Offset) -> Vec<Offset> {
        let next = |offset: &mut Offset, count: &u64| {
            let this = *offset;
            *offset += count;
            Some(this)
        };
        self.counts.iter().scan(first, next).collect()
    }

    /// Gives the first record's offset, 0 where nothing was or had been appended.
    async fn call(&self, calls: &[Request]) -> Result<Offset> {
        let keys = [&*self.keys.log, &*self.keys.records, &*self.key, &*self.keys.sizes];
        let mut cmd = self.scripts.append.call(&keys);
        let token = calls.first().and_then(|call| call.token);
        cmd.arg(&*self.keys.id)
            .arg(self.number)
            .arg(REMEMBERED)
            .arg(token.map_or(String::new(), |t| t.to_string()));
        for line in calls.iter().flat_map(|call| &call.lines) {
            cmd.arg(line);
        }
        let answer: Vec<String> = self.connection.run(&self.scripts.append, &cmd).await?;
        match reply(&answer) {
            ("done", [first]) => first.parse().map_err(|_| garbled(&answer)),
            ("stale", [current]) => {
                let lease = Lease { partition: self.partition, token: token.unwrap_or_default() };
                Err(stale(&lease, current.parse().map_err(|_| garbled(&answer))?))
            }
            ("lost", _) => Err(lost(&self.keys)),
            _ => Err(garbled(&answer)),
        }
    }
}

impl Remote for RedisWriter {
    async fn send(&mut self, calls: &[Request]) -> Result<Vec<Offset>> {
        self.number += 1;
        self.counts = calls.iter().map(|call| call.lines.len() as u64).collect();
        let first = self.call(calls).await?;
        Ok(self.offsets(first))
    }

    async fn settle(&mut self) -> Result<Option<Vec<Offset>>> {
        let first = self.call(&[]).await?;
        Ok((first > 0).then(|| self.offsets(first)))
    }
}
