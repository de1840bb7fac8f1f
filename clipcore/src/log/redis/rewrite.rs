//! Replacing records and checkpoints: see the [module](super).

use std::collections::HashMap;
use std::time::Duration;

use super::keys::Keys;
use super::{READ, RedisLog, garbled, lost, reply};
use crate::log::{Checkpoint, RewriteRecord, RewriteState};
use crate::{Error, ErrorKind, Result};

/// For how long nobody else begins to rewrite after the last sign of who does.
const PAUSE: Duration = Duration::from_secs(30);
/// How often is looked whether somebody else has finished.
const LOOK: Duration = Duration::from_millis(100);
/// How often a copy is begun that others have come between, and a checkpoint looked at that changes meanwhile.
const TRIES: usize = 100;
/// Before all entries.
const BEGINNING: &str = "0-0";

/// An entry of the stream and its fields.
type Entry = (String, Vec<Vec<u8>>);

impl RedisLog {
    pub(super) async fn rewrite_records(&self, partition: u32, change: RewriteRecord) -> Result<usize> {
        let keys = &self.partition(partition)?.keys;
        if !self.concerns(keys, &change).await? {
            return Ok(0);
        }
        let this = format!("{}-{}", self.writer, self.number());
        for _ in 0..TRIES {
            self.begin(keys, &this).await?;
            match self.copied(keys, &this, &change).await {
                Ok(Some(changed)) => return Ok(changed),
                Ok(None) => {}
                Err(error) => {
                    // A server without room needs it back at once. Should it be another's by now, that one begins anew.
                    let _ = self.writes.query::<()>(redis::cmd("UNLINK").arg(&keys.copy)).await;
                    return Err(error);
                }
            }
        }
        Err(busy())
    }

    /// The entries after this one, as many as are read at once.
    async fn entries(&self, keys: &Keys, after: &str) -> Result<Vec<Entry>> {
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(&keys.records).arg(format!("({after}")).arg("+").arg("COUNT").arg(READ);
        self.reads.query(&cmd).await
    }

    /// Whether any record is to be another: most partitions hold none, and are not copied.
    async fn concerns(&self, keys: &Keys, change: &RewriteRecord) -> Result<bool> {
        let mut after = BEGINNING.to_owned();
        loop {
            let found = self.entries(keys, &after).await?;
            let Some((last, _)) = found.last() else { return Ok(false) };
            if found.iter().any(|entry| changed(entry, change).is_some()) {
                return Ok(true);
            }
            after.clone_from(last);
        }
    }

    /// Copies the records, some changed, and puts the copy in their place; nothing where somebody came between.
    async fn copied(&self, keys: &Keys, this: &str, change: &RewriteRecord) -> Result<Option<usize>> {
        let (mut after, mut count) = (BEGINNING.to_owned(), 0);
        loop {
            let found = self.entries(keys, &after).await?;
            let Some((last, _)) = found.last() else { break };
            let mut call = self.scripts.copy.call(&[&keys.log, &keys.records, &keys.copy]);
            call.arg(&keys.id).arg(this).arg(PAUSE.as_millis() as u64).arg(&after).arg(last);
            for entry in &found {
                if let Some(json) = changed(entry, change) {
                    call.arg(&entry.0).arg(json);
                    count += 1;
                }
            }
            let answer: Vec<String> = self.writes.run(&self.scripts.copy, &call).await?;
            match reply(&answer) {
                ("done", _) => after.clone_from(last),
                ("again", _) => return Ok(None),
                ("lost", _) => return Err(lost(keys)),
                _ => return Err(garbled(&answer)),
            }
            // What is appended from now on came after the call.
            if found.len() < READ {
                break;
            }
        }
        loop {
            let all = [&*keys.log, &*keys.records, &*keys.copy, &*keys.old];
            let mut call = self.scripts.swap.call(&all);
            call.arg(&keys.id).arg(this).arg(&after).arg(READ);
            let answer: Vec<String> = self.writes.run(&self.scripts.swap, &call).await?;
            match reply(&answer) {
                ("done", _) => return Ok(Some(count)),
                ("more", [last]) => after.clone_from(last),
                ("again", _) => return Ok(None),
                ("lost", _) => return Err(lost(keys)),
                _ => return Err(garbled(&answer)),
            }
        }
    }

    /// Begins a copy, once nobody else makes one.
    async fn begin(&self, keys: &Keys, this: &str) -> Result<()> {
        let begun = async {
            loop {
                let mut call = self.scripts.rewrite.call(&[&keys.log, &keys.copy]);
                call.arg(&keys.id).arg(this).arg(PAUSE.as_millis() as u64);
                let answer: Vec<String> = self.writes.run(&self.scripts.rewrite, &call).await?;
                match reply(&answer) {
                    ("done", _) => return Ok(()),
                    ("held", _) => tokio::time::sleep(LOOK).await,
                    ("lost", _) => return Err(lost(keys)),
                    _ => return Err(garbled(&answer)),
                }
            }
        };
        tokio::time::timeout(self.config.timeout + PAUSE, begun).await.unwrap_or_else(|_| Err(busy()))
    }

    pub(super) async fn rewrite_states(&self, partition: u32, change: RewriteState) -> Result<usize> {
        let keys = &self.partition(partition)?.keys;
        let all: HashMap<String, String> =
            self.reads.query(redis::cmd("HGETALL").arg(&keys.checkpoints)).await?;
        let mut changed = 0;
        for (consumer, found) in all {
            changed += usize::from(self.rewrite_state(keys, &consumer, found, &change).await?);
        }
        Ok(changed)
    }

    /// Changes one checkpoint, and whatever its owner stores in its place meanwhile.
    async fn rewrite_state(
        &self,
        keys: &Keys,
        consumer: &str,
        mut found: String,
        change: &RewriteState,
    ) -> Result<bool> {
        for _ in 0..TRIES {
            let mut parts = found.splitn(3, ' ');
            let (Some(writer), Some(call), Some(json)) = (parts.next(), parts.next(), parts.next()) else {
                return Ok(false);
            };
            let Ok(saved) = serde_json::from_str::<Checkpoint>(json) else { return Ok(false) };
            let other = match change(consumer, &saved.state) {
                None => return Ok(false),
                Some(None) => String::new(),
                Some(Some(state)) => {
                    let json = serde_json::to_string(&Checkpoint { state, ..saved })?;
                    format!("{writer} {call} {json}")
                }
            };
            let mut exchange = self.scripts.exchange.call(&[&keys.checkpoints]);
            exchange.arg(consumer).arg(&found).arg(&other);
            if self.writes.run(&self.scripts.exchange, &exchange).await? {
                return Ok(true);
            }
            let mut cmd = redis::cmd("HGET");
            cmd.arg(&keys.checkpoints).arg(consumer);
            let Some(now) = self.writes.query::<Option<String>>(&cmd).await? else { return Ok(false) };
            found = now;
        }
        Err(busy())
    }
}

/// What an entry's record is to be, where it is another.
fn changed((_, fields): &Entry, change: &RewriteRecord) -> Option<String> {
    change(fields.get(1)?)
}

fn busy() -> Error {
    Error::new(ErrorKind::Unavailable, "another process is taking something out of this log right now")
        .with_hint("ask again in a moment")
}
