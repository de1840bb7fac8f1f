//! Rewriting what has been written: for erasure, which an append-only log does not know of itself.
//!
//! A record keeps its place and its offset, so that checkpoints and what follows still fit. A segment is replaced
//! whole: a crash leaves the old one or the new one.

use std::fs::File;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::frame::{self, Frames, Step};
use super::{read_manifest, segment};
use crate::durable::{self, replace};
use crate::{Error, Result};

/// A log that no process uses, and that none can begin to use while this lives.
#[derive(Debug)]
pub(crate) struct Offline {
    dir: std::path::PathBuf,
    _lock: File,
}

impl Offline {
    /// Takes the lock; nothing where there is no log.
    ///
    /// # Errors
    /// `Conflict` where a process uses the log.
    pub(crate) fn open(dir: &Path) -> Result<Option<Self>> {
        if read_manifest(dir)?.is_none() {
            return Ok(None);
        }
        let path = dir.join("lock");
        let lock = File::options().create(true).append(true).open(&path).map_err(|e| Error::io(e, &path))?;
        durable::lock(&lock, dir, "the log")?;
        Ok(Some(Self { dir: dir.to_owned(), _lock: lock }))
    }

    fn partitions(&self) -> Result<impl Iterator<Item = std::path::PathBuf> + use<>> {
        let count = read_manifest(&self.dir)?.map_or(0, |m| m.partitions);
        let dir = self.dir.clone();
        Ok((0..count).map(move |p| dir.join(p.to_string())))
    }

    /// Goes through all records; where `change` gives another JSON it takes the record's place. Gives how many were
    /// changed. A damaged record, and what follows it in its segment, is left alone.
    ///
    /// # Errors
    /// `Io` or `DiskFull`; what `change` says.
    pub(crate) fn records(
        &self,
        change: impl FnMut(&[u8], &Path) -> Result<Option<String>>,
    ) -> Result<usize> {
        self.records_from(|_| Ok(0), change)
    }

    /// As [`records`](Self::records), for segments that may still hold words.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn wordy_records(
        &self,
        change: impl FnMut(&[u8], &Path) -> Result<Option<String>>,
    ) -> Result<usize> {
        self.records_from(wordless_before, change)
    }

    /// Notes that segments which were written last before `held` (microseconds since 1970) have no words any more.
    ///
    /// # Errors
    /// `Io` or `DiskFull`.
    pub(crate) fn note_wordless(&self, held: i64) -> Result<()> {
        for dir in self.partitions()?.filter(|dir| dir.is_dir()) {
            let bases = segment::list(&dir)?;
            let mut before = wordless_before(&dir)?;
            // What is appended to the newest one later may say something again.
            for pair in bases.windows(2) {
                if pair[1] <= before {
                    continue;
                }
                if written(&segment::path(&dir, pair[0]))? >= held {
                    break;
                }
                before = pair[1];
            }
            set_wordless_before(&dir, before)?;
        }
        Ok(())
    }

    fn records_from(
        &self,
        from: impl Fn(&Path) -> Result<u64>,
        mut change: impl FnMut(&[u8], &Path) -> Result<Option<String>>,
    ) -> Result<usize> {
        let mut changed = 0;
        for dir in self.partitions()?.filter(|dir| dir.is_dir()) {
            let from = from(&dir)?;
            for base in segment::list(&dir)?.into_iter().filter(|base| *base >= from) {
                changed += rewrite(&segment::path(&dir, base), base, &mut change)?;
            }
        }
        Ok(changed)
    }

    /// Goes through all checkpoints: `change` says what becomes of one's consumer and state: `None` leaves it,
    /// `Some(None)` deletes it. Gives how many were changed.
    ///
    /// # Errors
    /// `Io` or `DiskFull`.
    pub(crate) fn checkpoints(
        &self,
        mut change: impl FnMut(&str, &Value, &Path) -> Option<Option<Value>>,
    ) -> Result<usize> {
        let mut changed = 0;
        for dir in self.partitions()? {
            changed += checkpoints(&dir, &mut change)?;
        }
        Ok(changed)
    }
}

/// Goes through the checkpoints of the partition in `dir`.
pub(super) fn checkpoints(
    dir: &Path,
    change: &mut impl FnMut(&str, &Value, &Path) -> Option<Option<Value>>,
) -> Result<usize> {
    let dir = dir.join("checkpoints");
    if !dir.is_dir() {
        return Ok(0);
    }
    let mut changed = 0;
    for entry in std::fs::read_dir(&dir).map_err(|e| Error::io(e, &dir))? {
        let path = entry.map_err(|e| Error::io(e, &dir))?.path();
        let text = std::fs::read(&path).map_err(|e| Error::io(e, &path))?;
        let saved = text.get(9..).and_then(|json| serde_json::from_slice::<Value>(json).ok());
        let Some(mut saved) = saved else { continue };
        let consumer = saved["consumer"].as_str().unwrap_or_default();
        match change(consumer, &saved["checkpoint"]["state"], &path) {
            None => continue,
            Some(None) => std::fs::remove_file(&path).map_err(|e| Error::io(e, &path))?,
            Some(Some(state)) => {
                saved["checkpoint"]["state"] = state;
                let json = saved.to_string();
                let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
                replace(&path, line.as_bytes())?;
            }
        }
        changed += 1;
    }
    durable::sync_dir(&dir)?;
    Ok(changed)
}

/// When a file was last written, in microseconds since 1970.
pub(crate) fn written(path: &Path) -> Result<i64> {
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).map_err(|e| Error::io(e, path))?;
    Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64))
}

/// The segments of the partition in `dir` that begin before this offset have no words any more, and need not be looked at
/// for them again.
pub(super) fn wordless_before(dir: &Path) -> Result<u64> {
    let path = dir.join("expired.json");
    match std::fs::read(&path) {
        // One that cannot be read only makes the next look longer.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or(0)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(Error::io(e, path)),
    }
}

pub(super) fn set_wordless_before(dir: &Path, before: u64) -> Result<()> {
    if wordless_before(dir)? == before {
        return Ok(());
    }
    replace(&dir.join("expired.json"), before.to_string().as_bytes())
}

pub(super) fn rewrite(
    path: &Path,
    base: u64,
    change: &mut impl FnMut(&[u8], &Path) -> Result<Option<String>>,
) -> Result<usize> {
    let io = |e| Error::io(e, path);
    let old = std::fs::read(path).map_err(io)?;
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).map_err(io)?;
    let (mut new, mut changed) = (Vec::with_capacity(old.len()), 0);
    let mut frames = Frames::new(&old[..], 0, base);
    loop {
        let begin = frames.pos as usize;
        let Step::Frame(frame) = frames.step().map_err(io)? else {
            new.extend_from_slice(&old[begin..]);
            break;
        };
        let (offset, durable) = (frame.offset, frame.durable);
        match change(frame.json, path)? {
            Some(json) => {
                frame::encode(&mut new, offset, durable, &json);
                changed += 1;
            }
            None => new.extend_from_slice(&old[begin..frames.pos as usize]),
        }
    }
    if changed > 0 {
        replace(path, &new)?;
        // When a segment was written is how old its records are, where they do not say.
        File::options().append(true).open(path).and_then(|f| f.set_modified(modified)).map_err(io)?;
    }
    Ok(changed)
}
