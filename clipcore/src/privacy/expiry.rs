//! Expiry while the logs are in use: for processes that run for weeks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::keys::KeyRing;
use super::scrub::{Deletions, Scrub, scrub, scrub_state};
use super::{AuditNote, DataFolder, Erased, audit};
use crate::clock::TimeSource;
use crate::durable::blocking;
use crate::log::{EventLog, FileLog, Offset};
use crate::{Result, WallTime};

/// A span is looked at so often before it is over: what was to go stays at most an eighth longer, and an hour.
pub(super) const PARTS: u32 = 8;
/// How often is looked at most, and at least.
pub(super) const LOOK: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// For how long something is kept; zero is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiryConfig {
    /// Words of chat in the logs.
    pub text_retain: Duration,
    /// Keys of pseudonyms.
    pub key_retain: Duration,
}

/// Takes words and keys out that are too old, by its own clock, while a process uses the logs of a data folder. What
/// [`DataFolder::expire`] does for a folder at rest.
///
/// Only segments that are closed are looked at, once they were written last longer ago than words are kept; where little
/// comes, the newest one is closed in time for that. Words that `chat.delete` took back go once the segment that says so is
/// closed. How far a log is free of words is noted in it, so that no later pass, and no later start, reads that again.
///
/// What was in the newest segments before this process is left to [`DataFolder::expire`] at its start.
pub struct Expiry {
    dir: PathBuf,
    logs: Vec<Arc<FileLog>>,
    config: ExpiryConfig,
    time: Arc<dyn TimeSource>,
    /// By log and partition.
    seen: HashMap<(usize, u32), Seen>,
}

impl std::fmt::Debug for Expiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expiry").field("dir", &self.dir).field("config", &self.config).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The newest segment, and since when it is that.
    newest: Offset,
    since: Duration,
    /// Before which offset `chat.delete` was looked for.
    searched: Offset,
}

/// Notes in the list of what was done that old things were taken out.
pub(super) async fn note(dir: &Path, erased: &Erased, now: WallTime) -> Result<()> {
    let (path, outcome) = (DataFolder::audit_path(dir), serde_json::to_string(erased)?);
    blocking(move || {
        let (what, subject, why) = ("expire", "old text and keys", "retention");
        audit(&path, &AuditNote { who: "clipcore", what, subject, why, outcome: &outcome }, now)
    })
    .await
}

impl Expiry {
    /// For the data folder `dir` and the logs in it that this process has open.
    pub fn new(
        dir: impl Into<PathBuf>,
        logs: Vec<Arc<FileLog>>,
        config: ExpiryConfig,
        time: Arc<dyn TimeSource>,
    ) -> Self {
        Self { dir: dir.into(), logs, config, time, seen: HashMap::new() }
    }

    /// Looks again and again until `stop` is cancelled. What a pass fails to do, the next one tries again.
    pub async fn run(mut self, stop: CancellationToken) {
        let spans = [self.config.text_retain, self.config.key_retain];
        let Some(least) = spans.into_iter().filter(|span| !span.is_zero()).min() else { return };
        let every = (least / (2 * PARTS)).clamp(LOOK.0, LOOK.1);
        loop {
            if let Err(error) = self.pass().await {
                tracing::warn!("what is too old could not be taken out, and will be tried again: {error}");
            }
            if stop.run_until_cancelled(self.time.sleep(every)).await.is_none() {
                return;
            }
        }
    }

    /// Looks once; gives what was taken out, which is noted in the list of what was done.
    ///
    /// # Errors
    /// `Io` or `DiskFull`; what was done is done.
    pub async fn pass(&mut self) -> Result<Erased> {
        let now = self.time.wall();
        let mut erased = Erased::default();
        let done = self.look(now, &mut erased).await;
        if erased != Erased::default() {
            note(&self.dir, &erased, now).await?;
        }
        done.map(|()| erased)
    }

    async fn look(&mut self, now: WallTime, erased: &mut Erased) -> Result<()> {
        let ago = |span: Duration| now.offset_micros(-i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let ExpiryConfig { text_retain, key_retain } = self.config;
        if !key_retain.is_zero() {
            let (keys, before) = (DataFolder::keys_dir(&self.dir), ago(key_retain));
            erased.keys += blocking(move || KeyRing::destroy_before(&keys, before)).await?;
        }
        let before = if text_retain.is_zero() { i64::MIN } else { ago(text_retain).as_unix_micros() };
        for (number, log) in self.logs.iter().enumerate() {
            for partition in 0..log.partitions() {
                let place = Place { log, partition };
                let seen = self.seen.remove(&(number, partition));
                let seen = place.roll(seen, text_retain, self.time.elapsed()).await?;
                let searched = place.take_back(seen.searched, erased).await?;
                self.seen.insert((number, partition), Seen { searched, ..seen });
                place.expire(before, erased).await?;
            }
        }
        Ok(())
    }
}

/// A partition of a log.
struct Place<'a> {
    log: &'a FileLog,
    partition: u32,
}

impl Place<'_> {
    /// Closes the newest segment where it has been that for long.
    async fn roll(&self, seen: Option<Seen>, retain: Duration, now: Duration) -> Result<Seen> {
        let (_, newest) = self.log.segments(self.partition)?;
        let mut seen = seen.unwrap_or(Seen { newest, since: now, searched: newest });
        if seen.newest != newest {
            (seen.newest, seen.since) = (newest, now);
        } else if !retain.is_zero() && now.saturating_sub(seen.since) >= retain / PARTS {
            self.log.roll(self.partition).await?;
            (seen.newest, seen.since) = (self.log.segments(self.partition)?.1, now);
        }
        Ok(seen)
    }

    /// Takes out what was taken back in segments that were closed since; gives where to go on.
    async fn take_back(&self, searched: Offset, erased: &mut Erased) -> Result<Offset> {
        let (closed, newest) = self.log.segments(self.partition)?;
        let mut deletions = Deletions::default();
        for segment in closed.iter().filter(|segment| segment.base >= searched) {
            let noted = self.log.rewrite_segment(self.partition, *segment, deletions, |deletions, json| {
                if memchr::memmem::find(json, b"chat.delete").is_some()
                    && let Ok(record) = serde_json::from_slice(json)
                {
                    deletions.note(&record);
                }
                Ok(None)
            });
            deletions = noted.await?.1;
        }
        if !deletions.is_empty() {
            let from = self.log.wordless_before(self.partition).await?;
            for segment in closed.iter().filter(|segment| segment.base >= from) {
                let taken =
                    self.log.rewrite_segment(self.partition, *segment, deletions, |deletions, json| {
                        Ok(changed(json, &Scrub::Deleted(deletions)))
                    });
                let (records, back) = taken.await?;
                (erased.records, deletions) = (erased.records + records, back);
            }
        }
        Ok(newest)
    }

    /// Takes words out of segments that were written last before `held`.
    async fn expire(&self, held: i64, erased: &mut Erased) -> Result<()> {
        if held == i64::MIN {
            return Ok(());
        }
        let from = self.log.wordless_before(self.partition).await?;
        let (closed, _) = self.log.segments(self.partition)?;
        for segment in closed.into_iter().filter(|segment| segment.base >= from) {
            if self.log.written(self.partition, segment).await?.is_some_and(|written| written >= held) {
                break;
            }
            let taken = self
                .log
                .rewrite_segment(self.partition, segment, (), |(), json| Ok(changed(json, &Scrub::Text)));
            erased.records += taken.await?.0;
            self.log.set_wordless_before(self.partition, segment.end).await?;
        }
        let states = self.log.rewrite_states(self.partition, held, |state| scrub_state(state, &Scrub::Text));
        erased.checkpoints += states.await?;
        Ok(())
    }
}

/// The record without what is to go; most have nothing of that.
fn changed(json: &[u8], what: &Scrub<'_>) -> Option<String> {
    let says = |key: &[u8]| memchr::memmem::find(json, key).is_some();
    if !says(b"\"text\"") && !says(b"\"emotes\"") {
        return None;
    }
    let record: Value = serde_json::from_slice(json).ok()?;
    scrub(&record, what).map(|changed| changed.to_string())
}
