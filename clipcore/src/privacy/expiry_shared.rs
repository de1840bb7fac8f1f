//! Expiry of logs that several processes share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::expiry::{LOOK, PARTS, note};
use super::keys::KeyRing;
use super::scrub::{Deletions, Scrub, scrub, scrub_state};
use super::{DataFolder, Erased, ExpiryConfig};
use crate::clock::TimeSource;
use crate::durable::blocking;
use crate::event::{Clock, Event};
use crate::ids::{hex, random};
use crate::log::{EventLog, RewriteRecord, RewriteState};
use crate::{Result, WallTime};

/// Takes words out that are too old, or were taken back by `chat.delete`, of logs that several processes share, and keys of
/// pseudonyms out of a folder of this one's own. What [`Expiry`](super::Expiry) does for logs in files.
///
/// A record is as old as the arrival says, else as the last clock of its stream before it, else as it says itself. Every
/// process may run this: one at a time has the turn, by claiming the only partition of a log that is for nothing else. A pass
/// reads all that the logs hold, so there are no more than are needed: words stay at most an eighth longer than they are to.
pub struct SharedExpiry {
    dir: PathBuf,
    logs: Vec<Arc<dyn EventLog>>,
    turn: Arc<dyn EventLog>,
    name: String,
    config: ExpiryConfig,
    time: Arc<dyn TimeSource>,
}

impl std::fmt::Debug for SharedExpiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedExpiry")
            .field("dir", &self.dir)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl SharedExpiry {
    /// For the logs, and the keys and the list of what was done in the data folder `dir`. Whoever has the turn has claimed partition 0
    /// of `turn`.
    pub fn new(
        dir: impl Into<PathBuf>,
        logs: Vec<Arc<dyn EventLog>>,
        turn: Arc<dyn EventLog>,
        config: ExpiryConfig,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        let number = random::<8>().map(|number| hex(&number)).unwrap_or_default();
        let name = format!("expiry-{}-{number}", std::process::id());
        Self { dir: dir.into(), logs, turn, name, config, time }
    }

    /// Looks again and again until `stop` is cancelled. What a pass fails to do, the next one tries again.
    pub async fn run(self, stop: CancellationToken) {
        let spans = [self.config.text_retain, self.config.key_retain];
        let Some(least) = spans.into_iter().filter(|span| !span.is_zero()).min() else { return };
        let every = (least / PARTS).max(LOOK.0);
        loop {
            if let Err(error) = self.pass(2 * every).await {
                tracing::warn!("what is too old could not be taken out, and will be tried again: {error}");
            }
            if stop.run_until_cancelled(self.time.sleep(every)).await.is_none() {
                return;
            }
        }
    }

    /// Looks once, and has the turn for `span` from then on where nobody else has it; gives what was taken out, which is noted in
    /// the list of what was done.
    ///
    /// # Errors
    /// What the logs say, `Io` or `DiskFull`; what was done is done.
    pub async fn pass(&self, span: Duration) -> Result<Erased> {
        let now = self.time.wall();
        let mut erased = Erased::default();
        let done = self.look(now, span, &mut erased).await;
        if erased != Erased::default() {
            note(&self.dir, &erased, now).await?;
        }
        done.map(|()| erased)
    }

    async fn look(&self, now: WallTime, span: Duration, erased: &mut Erased) -> Result<()> {
        let ago = |span: Duration| now.offset_micros(-i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let ExpiryConfig { text_retain, key_retain } = self.config;
        if !key_retain.is_zero() {
            let (keys, before) = (DataFolder::keys_dir(&self.dir), ago(key_retain));
            erased.keys += blocking(move || KeyRing::destroy_before(&keys, before)).await?;
        }
        if self.turn.claim(0, &self.name, span).await?.is_none() {
            return Ok(());
        }
        let before = if text_retain.is_zero() { i64::MIN } else { ago(text_retain).as_unix_micros() };
        let most = self.logs.iter().map(|log| log.partitions()).max().unwrap_or(0);
        for partition in 0..most {
            let deletions = Arc::new(self.taken_back(partition).await?);
            for log in self.logs.iter().filter(|log| partition < log.partitions()) {
                let records = too_old(before, deletions.clone());
                erased.records += log.rewrite(partition, records).await?;
                erased.checkpoints += log.rewrite_checkpoints(partition, old_states(before)).await?;
            }
        }
        Ok(())
    }

    /// What `chat.delete` events of the partition took back.
    async fn taken_back(&self, partition: u32) -> Result<Deletions> {
        let found: Arc<Mutex<Deletions>> = Arc::default();
        for log in self.logs.iter().filter(|log| partition < log.partitions()) {
            let note = found.clone();
            let look: RewriteRecord = Arc::new(move |json| {
                if memchr::memmem::find(json, b"chat.delete").is_some()
                    && let Ok(record) = serde_json::from_slice(json)
                {
                    note.lock().unwrap_or_else(PoisonError::into_inner).note(&record);
                }
                None
            });
            log.rewrite(partition, look).await?;
        }
        Ok(std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn micros(value: &Value) -> Option<i64> {
    WallTime::parse(value.as_str()?).ok().map(WallTime::as_unix_micros)
}

/// Takes words out of records from before `before` (microseconds since 1970), and those that were taken back.
fn too_old(before: i64, deletions: Arc<Deletions>) -> RewriteRecord {
    // When the clocks of streams stood last. A log may begin anew: then they are those of an earlier look, and nothing is
    // taken for older than it is.
    let clocks: Mutex<HashMap<String, i64>> = Mutex::default();
    Arc::new(move |json: &[u8]| {
        let says = |key: &[u8]| memchr::memmem::find(json, key).is_some();
        if ![&b"\"text\""[..], b"\"emotes\"", b"\"wall\""].iter().any(|key| says(key)) {
            return None;
        }
        let record: Value = serde_json::from_slice(json).ok()?;
        let stream = ["subject", "stream"].iter().find_map(|key| record[*key].as_str()).unwrap_or_default();
        let mut clocks = clocks.lock().unwrap_or_else(PoisonError::into_inner);
        if record["type"] == Clock::KIND {
            if let Some(wall) = micros(&record["data"]["wall"]) {
                clocks.insert(stream.to_owned(), wall);
            }
            return None;
        }
        let held = micros(&record["data"]["received"]);
        let held = held.or_else(|| clocks.get(stream).copied()).or_else(|| micros(&record["time"]));
        let old = held.is_some_and(|held| held < before).then(|| scrub(&record, &Scrub::Text)).flatten();
        let back = scrub(old.as_ref().unwrap_or(&record), &Scrub::Deleted(&deletions));
        back.or(old).map(|changed| changed.to_string())
    })
}

/// Takes old words out of the events that wait in checkpoints; there they say themselves when they came.
fn old_states(before: i64) -> RewriteState {
    Arc::new(move |_, state| scrub_state(state, &Scrub::Old(before)).map(Some))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_as_old_as_the_arrival_the_clock_or_the_event_itself_says() {
        let day = |n: i64| WallTime::from_unix_micros(n * 86_400_000_000).to_string();
        let before = 10 * 86_400_000_000;
        let chat = |time: Option<i64>| {
            json!({"type": "chat.message", "subject": "s", "id": "m", "at": "1", "time": time.map(day),
                "data": {"user": "u", "text": "hush"}})
        };
        let clock = |n| json!({"type": "clock", "subject": "s", "data": {"wall": day(n)}});
        let arrival = |n, event| json!({"type": "clipcore.arrival", "subject": "s", "id": "m", "data": {"received": day(n), "event": event}});
        for (records, gone) in [
            (vec![chat(Some(9))], true),
            (vec![chat(Some(11))], false),
            (vec![chat(None)], false),
            (vec![clock(9), chat(Some(11))], true),
            (vec![clock(9), clock(11), chat(Some(9))], false),
            (vec![arrival(9, chat(Some(11)))], true),
            (vec![arrival(11, chat(Some(9)))], false),
        ] {
            let change = too_old(before, Arc::default());
            let last = records.iter().fold(None, |_, record| change(record.to_string().as_bytes()));
            assert_eq!(last.is_some(), gone, "{records:?}");
            assert!(last.is_none_or(|last| !last.contains("hush")), "{records:?}");
        }
        let state = json!({"engine": {"events": [chat(Some(9)).to_string(), chat(Some(11)).to_string()]}});
        let state = old_states(before)("c", &state).flatten().unwrap().to_string();
        assert_eq!(state.matches("hush").count(), 1, "{state}");
    }
}
