//! Rewriting what has been written: for erasure, which an append-only log does not know of itself.
//!
//! A record keeps its place and its offset, so that checkpoints and what follows still fit. A segment is replaced
//! whole: a crash leaves the old one or the new one. While the log is in use, the newest segment is sealed first, and
//! whoever reads an older one notices that it was replaced.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use super::frame::{self, Frames, Step};
use super::writer::{View, lock};
use super::{read_manifest, segment};
use crate::durable::{self, replace};
use crate::{Error, ErrorKind, Result};

/// A log that no process uses, and that none can begin to use while this lives.
#[derive(Debug)]
pub(crate) struct Offline {
    dir: PathBuf,
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

    fn partitions(&self) -> Result<impl Iterator<Item = PathBuf> + use<>> {
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
        mut change: impl FnMut(&[u8], &Path) -> Result<Option<String>>,
    ) -> Result<usize> {
        let mut changed = 0;
        for dir in self.partitions()?.filter(|dir| dir.is_dir()) {
            for base in segment::list(&dir)? {
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

/// What becomes of a checkpoint, by consumer, state and file.
type Change<'a> = dyn FnMut(&str, &Value, &Path) -> Option<Option<Value>> + 'a;

/// Goes through the checkpoints of the partition in `dir`, while nobody else does.
pub(super) fn checkpoints(dir: &Path, change: &mut Change<'_>) -> Result<usize> {
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

/// Goes through the segments of the partition in `dir` that are not added to any more, while the log is in use.
pub(super) fn sealed(
    dir: &Path,
    view: &Mutex<View>,
    change: &(dyn Fn(&[u8]) -> Option<String> + Send + Sync),
) -> Result<usize> {
    let mut bases: Vec<u64> = lock(view).segments.iter().map(|segment| segment.base).collect();
    bases.pop();
    let mut changed = 0;
    for base in bases {
        let path = segment::path(dir, base);
        let other = match other(&path, base, &mut |json, _| Ok(change(json))) {
            Ok(other) => other,
            // It was trimmed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let Some((temporary, count)) = other else { continue };
        {
            let mut view = lock(view);
            let Some(segment) = view.segments.iter_mut().find(|segment| segment.base == base) else {
                let _ = std::fs::remove_file(&temporary);
                continue;
            };
            std::fs::rename(&temporary, &path).map_err(|e| durable::write_error(e, &path))?;
            segment.replaced();
        }
        durable::sync_dir(dir)?;
        changed += count;
    }
    Ok(changed)
}

/// Replaces a segment that nobody uses.
fn rewrite(path: &Path, base: u64, change: &mut ChangeRecord<'_>) -> Result<usize> {
    let Some((temporary, changed)) = other(path, base, change)? else { return Ok(0) };
    std::fs::rename(&temporary, path).map_err(|e| durable::write_error(e, path))?;
    durable::sync_dir(path.parent().unwrap_or(Path::new("")))?;
    Ok(changed)
}

/// What becomes of a record, by its JSON and the segment's file.
type ChangeRecord<'a> = dyn FnMut(&[u8], &Path) -> Result<Option<String>> + 'a;

/// Writes what a segment's file is to be beside it, durably; nothing where it may stay. Gives how many records are others.
fn other(path: &Path, base: u64, change: &mut ChangeRecord<'_>) -> Result<Option<(PathBuf, usize)>> {
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
    if changed == 0 {
        return Ok(None);
    }
    let temporary = path.with_extension("log.tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&new)?;
        // When a segment was written is how old its records are, where they do not say.
        file.set_modified(modified)?;
        file.sync_all()
    };
    if let Err(e) = write() {
        let _ = std::fs::remove_file(&temporary);
        return Err(durable::write_error(e, &temporary));
    }
    Ok(Some((temporary, changed)))
}
