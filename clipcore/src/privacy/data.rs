//! What a data folder holds about people, and how it is taken out. Offline: no process may use the folder meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::Pseudonymizer;
use super::keys::{KeyRing, destroy};
use super::scrub::{Deletions, Person, Pseudonyms, Scrub, scrub, scrub_state};
use crate::cutter::clip_file_of;
use crate::durable::{replace, sync_dir};
use crate::event::{ChatMessage, Clock, Event};
use crate::ids::random;
use crate::log::file::rewrite::{Offline, written};
use crate::{Error, ErrorKind, Result, StreamId, WallTime};

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Erased {
    /// Records of the logs that were rewritten.
    pub records: usize,
    /// Checkpoints that were rewritten or deleted.
    pub checkpoints: usize,
    /// Lines of moments, clips and dead letters that were deleted.
    pub lines: usize,
    /// Files and folders that were deleted: clips, pictures, recordings, settings.
    pub files: usize,
    /// Keys of pseudonyms that were destroyed.
    pub keys: usize,
    /// Folders of other gateways, `HOST:DIR`, with keys of pseudonyms and catalogs that could not be reached from here: what was
    /// written under those keys is still there. Asked the same, those gateways take it out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<String>,
}

/// What is held about one stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Holding {
    /// Records in the logs.
    pub records: usize,
    /// Chat messages among them.
    pub messages: usize,
    /// Those that still have their words.
    pub with_text: usize,
    /// The oldest civil time of words, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_text: Option<WallTime>,
    /// Keys of pseudonyms.
    pub keys: usize,
    /// Bytes of recordings.
    pub recorded_bytes: u64,
    /// Clips that are finished.
    pub clips: usize,
}

/// The folder of `run --out` or `serve --data` while nobody uses it.
///
/// Its logs are locked for as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    dir: PathBuf,
    logs: Vec<Offline>,
}

impl DataFolder {
    /// Takes the folder over.
    ///
    /// # Errors
    /// `Conflict` where a process uses it; `NotFound` where nothing of clipcore's is in it; `Io`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        let mut logs = Vec::new();
        for name in ["log", "inbox"] {
            let log = Offline::open(&dir.join(name)).map_err(|e| match e.kind() {
                ErrorKind::Conflict => {
                    e.with_hint("stop clipcore first: a log is only rewritten while nobody uses it")
                }
                _ => e,
            })?;
            logs.extend(log);
        }
        if logs.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "there is no log of clipcore in this folder")
                .with_context("path", dir.display())
                .with_hint("name the folder that run --out or serve --data used"));
        }
        Ok(Self { dir, logs })
    }

    /// Where keys lie in a data folder.
    pub fn keys_dir(dir: &Path) -> PathBuf {
        dir.join("keys")
    }

    /// Where the audit list lies in a data folder.
    pub fn audit_path(dir: &Path) -> PathBuf {
        dir.join("audit.jsonl")
    }

    fn scrub(&self, what: &Scrub<'_>) -> Result<Erased> {
        let mut erased = Erased::default();
        for log in &self.logs {
            erased.records += log.records(|json, _| {
                let Ok(record) = serde_json::from_slice::<Value>(json) else { return Ok(None) };
                Ok(scrub(&record, what).map(|changed| changed.to_string()))
            })?;
            erased.checkpoints += log.checkpoints(|_, state, _| scrub_state(state, what).map(Some))?;
        }
        Ok(erased)
    }

    /// Takes everything of `stream` out: records, checkpoints, moments, clips, recordings, settings, and its keys.
    ///
    /// A catalog (`catalog.db`) is another matter: see `Catalog::erase`.
    ///
    /// # Errors
    /// `Io` or `DiskFull`; what was done is done, and doing it again goes on.
    pub fn erase_stream(&self, stream: &StreamId) -> Result<Erased> {
        let mut erased = Erased::default();
        // The keys first: from then on nobody is named, whatever else goes wrong.
        for key in KeyRing::stored(&Self::keys_dir(&self.dir), Some(stream))? {
            destroy(&key)?;
            erased.keys += 1;
        }
        for log in &self.logs {
            erased.checkpoints += log.checkpoints(|name, _, _| is_of(name, stream).then_some(None))?;
        }
        let logs = self.scrub(&Scrub::Stream(stream))?;
        (erased.records, erased.checkpoints) = (logs.records, erased.checkpoints + logs.checkpoints);
        erased.files += delete_media(&self.dir, stream)?;
        erased.files += usize::from(remove_folder(&Self::keys_dir(&self.dir).join(stream.as_str()))?);
        let settings = self.dir.join("streams").join(format!("{stream}.json"));
        erased.files += usize::from(remove(&settings)?);
        let lines = ["moments.jsonl", "clips.jsonl"].map(|name| self.dir.join(name));
        for path in lines.into_iter().chain(letters(&self.dir)?) {
            erased.lines += without(&path, |line| tells_of(line, stream))?;
        }
        Ok(erased)
    }

    /// Takes the words of a person out, and puts a stand-in that nobody can trace in the place of their name and
    /// pseudonyms; what was made of many people's messages (moments, clips) stays.
    ///
    /// `platform` is the part of an event's `source` before its first `:`; where it is not named, everybody of that name is
    /// meant. Pseudonyms are found with the keys that are still there; under destroyed ones nobody can be found, or needs to.
    ///
    /// # Errors
    /// `Io` or `DiskFull`; doing it again goes on.
    pub fn erase_user(&self, platform: Option<&str>, name: &str) -> Result<Erased> {
        let mut pseudonyms = Vec::new();
        let mut paths = KeyRing::stored(&Self::keys_dir(&self.dir), None)?;
        paths.push(self.dir.join("pseudonyms.key"));
        for path in paths.iter().filter(|p| p.exists()) {
            pseudonyms.push(Pseudonymizer::load_or_create(path)?);
        }
        let stand_in = crate::hex(&random::<8>()?);
        let pseudonyms = Pseudonyms::Of(&pseudonyms);
        self.scrub(&Scrub::User(&Person { platform, name, pseudonyms, stand_in: &stand_in }))
    }

    /// Takes words out that have been held for longer than `retain` (by the clock records around them; where there is no
    /// civil time, by when their segment was last written), words that were taken back by `chat.delete`, and keys older than `keep_keys`; zero keeps for ever.
    ///
    /// # Errors
    /// `Io` or `DiskFull`; doing it again goes on.
    pub fn expire(&self, retain: Duration, keep_keys: Duration, now: WallTime) -> Result<Erased> {
        let ago = |span: Duration| now.offset_micros(-i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let mut erased = Erased::default();
        if !keep_keys.is_zero() {
            erased.keys = KeyRing::destroy_before(&Self::keys_dir(&self.dir), ago(keep_keys))?;
        }
        let mut deletions = Deletions::default();
        for log in &self.logs {
            log.wordy_records(|json, _| {
                if memchr::memmem::find(json, b"chat.delete").is_some()
                    && let Ok(record) = serde_json::from_slice(json)
                {
                    deletions.note(&record);
                }
                Ok(None)
            })?;
        }
        let before = if retain.is_zero() { i64::MIN } else { ago(retain).as_unix_micros() };
        for log in &self.logs {
            // Civil time at the record, as far as a clock's record or the arrival itself says it.
            let (mut clock, mut segment) = (None, PathBuf::new());
            erased.records += log.wordy_records(|json, path| {
                if segment.parent() != path.parent() {
                    clock = None;
                }
                path.clone_into(&mut segment);
                // Most records say nothing.
                let says = |key: &[u8]| memchr::memmem::find(json, key).is_some();
                if ![&b"\"text\""[..], b"\"emotes\"", b"\"wall\""].iter().any(|key| says(key)) {
                    return Ok(None);
                }
                let Ok(record) = serde_json::from_slice::<Value>(json) else { return Ok(None) };
                let time =
                    |value: &Value| WallTime::parse(value.as_str()?).ok().map(WallTime::as_unix_micros);
                if record["type"] == Clock::KIND {
                    clock = time(&record["data"]["wall"]).or(clock);
                    return Ok(None);
                }
                // Nothing is younger than the last writing.
                let written = written(path)?;
                let held =
                    time(&record["data"]["received"]).or(clock).map_or(written, |held| held.min(written));
                Ok(gone(&record, held < before, &deletions, scrub).map(|changed| changed.to_string()))
            })?;
            erased.checkpoints += log.checkpoints(|_, state, path| {
                let old = written(path).is_ok_and(|held| held < before);
                gone(state, old, &deletions, scrub_state).map(Some)
            })?;
            log.note_wordless(before)?;
        }
        Ok(erased)
    }

    /// What is held, by stream.
    ///
    /// # Errors
    /// `Io`.
    pub fn holdings(&self) -> Result<BTreeMap<String, Holding>> {
        let mut all: BTreeMap<String, Holding> = BTreeMap::new();
        for log in &self.logs {
            log.records(|json, _| {
                let Ok(record) = serde_json::from_slice::<Value>(json) else { return Ok(None) };
                let stream = record["subject"].as_str().or(record["stream"].as_str()).unwrap_or("?");
                if record["type"] == "erased" {
                    return Ok(None);
                }
                let held = all.entry(stream.to_owned()).or_default();
                held.records += 1;
                let event =
                    if record["type"] == "clipcore.arrival" { &record["data"]["event"] } else { &record };
                if event["type"] == ChatMessage::KIND {
                    held.messages += 1;
                    if event["data"]["text"].is_string() {
                        held.with_text += 1;
                        let time = event["time"].as_str().and_then(|time| WallTime::parse(time).ok());
                        held.oldest_text = held.oldest_text.into_iter().chain(time).min();
                    }
                }
                Ok(None)
            })?;
        }
        // A clip has a line for each of its transitions.
        let mut ready = BTreeSet::new();
        for line in lines(&self.dir.join("clips.jsonl"))? {
            if line["state"] == "ready" && ready.insert(line["id"].to_string()) {
                all.entry(line["stream"].as_str().unwrap_or("?").to_owned()).or_default().clips += 1;
            }
        }
        for (stream, held) in &mut all {
            let Ok(id) = StreamId::new(stream) else { continue };
            held.keys = KeyRing::stored(&Self::keys_dir(&self.dir), Some(&id))?.len();
            held.recorded_bytes = size(&self.dir.join("recordings").join(stream));
        }
        Ok(all)
    }
}

/// Whether a consumer of a log works for this stream.
pub(super) fn is_of(consumer: &str, stream: &StreamId) -> bool {
    ["pipeline-", "source-"].iter().any(|what| consumer.strip_prefix(what) == Some(stream.as_str()))
}

/// The files of dead letters.
fn letters(dir: &Path) -> Result<Vec<PathBuf>> {
    let dir = dir.join("dead-letters");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&dir).map_err(|e| Error::io(e, &dir))?;
    entries.map(|entry| Ok(entry.map_err(|e| Error::io(e, &dir))?.path())).collect()
}

/// Whether a line of moments, clips or dead letters is of this stream.
fn tells_of(line: &Value, stream: &StreamId) -> bool {
    let item = &line["delivery"];
    [&line["stream"], &item["moment"]["stream"], &item["clip"]["clip"]["stream"]]
        .contains(&&Value::from(stream.as_str()))
}

/// Deletes the dead letters of a stream, but for those of sinks that are open and do so themselves; gives how many.
pub(super) fn delete_letters(dir: &Path, stream: &StreamId, open: &[String]) -> Result<usize> {
    let mut deleted = 0;
    for path in letters(dir)? {
        let sink = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !open.contains(&sink) {
            deleted += without(&path, |line| tells_of(line, stream))?;
        }
    }
    Ok(deleted)
}

/// Deletes clips and recordings of a stream from a data folder; gives how many files and folders.
pub(super) fn delete_media(dir: &Path, stream: &StreamId) -> Result<usize> {
    let mut deleted = 0;
    for clip in lines(&dir.join("clips.jsonl"))?.iter().filter(|c| c["stream"] == stream.as_str()) {
        for path in ["path", "thumbnail", "preview"].iter().filter_map(|key| clip[key].as_str()) {
            let path = Path::new(path);
            // Only what lies in the folder is its own.
            if path.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
                deleted += usize::from(remove(&dir.join(path))?);
            }
        }
    }
    // What a crash kept from being told of.
    if let Ok(entries) = fs::read_dir(dir.join("clips")) {
        for entry in entries.flatten() {
            if clip_file_of(&entry.file_name().to_string_lossy(), stream).is_some() {
                deleted += usize::from(remove(&entry.path())?);
            }
        }
    }
    Ok(deleted + usize::from(remove_folder(&dir.join("recordings").join(stream.as_str()))?))
}

fn remove_folder(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    fs::remove_dir_all(path).map_err(|e| Error::io(e, path))?;
    sync_dir(path.parent().unwrap_or(Path::new(""))).map(|()| true)
}

/// What is left where words are too old, or were taken back.
fn gone(
    value: &Value,
    old: bool,
    deletions: &Deletions,
    scrub: impl Fn(&Value, &Scrub<'_>) -> Option<Value>,
) -> Option<Value> {
    let without = old.then(|| scrub(value, &Scrub::Text)).flatten();
    if deletions.is_empty() {
        return without;
    }
    scrub(without.as_ref().unwrap_or(value), &Scrub::Deleted(deletions)).or(without)
}

fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(path.parent().unwrap_or(Path::new(""))).map(|()| true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(e, path)),
    }
}

fn text_of(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => text.map_err(|e| Error::io(e, path)),
    }
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    Ok(text_of(path)?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Deletes lines from a file of JSON lines; gives how many.
fn without(path: &Path, gone: impl Fn(&Value) -> bool) -> Result<usize> {
    let text = text_of(path)?;
    let is_gone = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|value| gone(&value));
    let count = text.lines().filter(is_gone).count();
    if count > 0 {
        let kept: String = text.split_inclusive('\n').filter(|line| !is_gone(line)).collect();
        replace(path, kept.as_bytes())?;
    }
    Ok(count)
}

fn size(dir: &Path) -> u64 {
    let Ok(list) = fs::read_dir(dir) else { return 0 };
    let sizes = list.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
