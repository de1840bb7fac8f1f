//! Reading: of committed records while the log is being written, and of a whole folder without a lock.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Take};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::frame::{Frames, Step};
use super::segment::{self, Segment, corrupt};
use super::writer::{View, lock};
use super::{Manifest, read_manifest};
use crate::event::Kinds;
use crate::log::{Offset, Record};
use crate::{Error, ErrorKind, Result};

/// A read ends after this many bytes of records, however many were asked for.
const MAX_BYTES: usize = 4 << 20;

/// Reads up to `max` committed records; fails only where the first one cannot be read.
pub(super) fn read(
    dir: &Path,
    view: &Mutex<View>,
    kinds: &Kinds,
    from: Offset,
    max: usize,
) -> Result<Vec<(Offset, Record)>> {
    let mut out = Vec::new();
    match read_into(&mut out, dir, view, kinds, from, max) {
        Err(e) if out.is_empty() => Err(e),
        _ => Ok(out),
    }
}

fn read_into(
    out: &mut Vec<(Offset, Record)>,
    dir: &Path,
    view: &Mutex<View>,
    kinds: &Kinds,
    from: Offset,
    max: usize,
) -> Result<()> {
    let mut bytes = 0;
    let mut from = from;
    while out.len() < max && bytes < MAX_BYTES {
        let (base, edition, place, end, next) = {
            let view = lock(view);
            from = from.max(view.segments.first().map_or(0, |s| s.base));
            if from >= view.next {
                break;
            }
            let at = view.segments.partition_point(|s| s.base <= from).saturating_sub(1);
            let Some(segment) = view.segments.get(at) else { break };
            let place = segment.place(from);
            match view.segments.get(at + 1) {
                Some(following) => (segment.base, segment.edition, place, None, following.base),
                None => (segment.base, segment.edition, place, Some(view.active_len), view.next),
            }
        };
        let path = segment::path(dir, base);
        let mut frames = match segment::frames(dir, base, place, end) {
            Ok(frames) => frames,
            Err(e) => {
                // It may have been trimmed since; then the next round starts later.
                if lock(view).segments.first().is_some_and(|s| s.base > base) {
                    continue;
                }
                return Err(Error::io(e, path).with_operation("log::read"));
            }
        };
        let is_same = |segment: &&mut Segment| segment.base == base && segment.edition == edition;
        // It may have been replaced before it was opened; then the place is another's.
        if !lock(view).segments.iter_mut().any(|segment| is_same(&segment)) {
            continue;
        }
        let mut seen = Segment::new(base);
        while frames.next < next && out.len() < max && bytes < MAX_BYTES {
            let (pos, offset) = (frames.pos, frames.next);
            match frames.step().map_err(|e| Error::io(e, &path))? {
                Step::Frame(frame) => {
                    seen.note(offset, pos);
                    if offset >= from {
                        bytes += frame.json.len();
                        out.push((offset, record(frame.json, kinds, &path, offset)?));
                    }
                }
                Step::Bad(why) => return Err(corrupt(&path, pos, offset, why)),
                Step::End => return Err(corrupt(&path, pos, offset, "the file ends before it")),
            }
        }
        from = frames.next.max(from);
        // The index of an older segment is learnt while it is read.
        if let Some(segment) = lock(view).segments.iter_mut().find(is_same) {
            segment.learn(&seen);
        }
    }
    Ok(())
}

fn record(json: &[u8], kinds: &Kinds, path: &Path, offset: Offset) -> Result<Record> {
    Record::from_json(json, kinds)
        .map_err(|e| e.with_context("path", path.display()).with_context("offset", offset))
}

/// Reads the records in the bytes of a segment whose first record has offset `base`; a torn tail counts as the
/// end.
///
/// # Errors
/// `Corrupt` where acknowledged records are damaged; `InvalidInput` for a record that this build cannot read.
pub fn segment_records(bytes: &[u8], base: Offset, kinds: &Kinds) -> Result<Vec<(Offset, Record)>> {
    let path = segment::path(Path::new(""), base);
    let mut frames = Frames::new(bytes, 0, base);
    let mut out = Vec::new();
    loop {
        let (pos, offset) = (frames.pos, frames.next);
        match frames.step().map_err(|e| Error::io(e, &path))? {
            Step::Frame(frame) => out.push((offset, record(frame.json, kinds, &path, offset)?)),
            Step::End => return Ok(out),
            Step::Bad(why) => {
                if frames.was_durable().map_err(|e| Error::io(e, &path))? {
                    return Err(corrupt(&path, pos, offset, why));
                }
                return Ok(out);
            }
        }
    }
}

/// Reads the records of a log's folder, partition after partition, oldest first, without taking its lock.
///
/// It stops where the log ended when its last segment was reached; a torn tail counts as the end. It needs no
/// runtime, and may read a log that another process is writing.
#[derive(Debug)]
pub struct FileLogReader {
    kinds: Kinds,
    trimmed: bool,
    left: VecDeque<(u32, PathBuf, Offset)>,
    open: Option<Open>,
    failed: bool,
}

#[derive(Debug)]
struct Open {
    partition: u32,
    path: PathBuf,
    frames: Frames<BufReader<Take<File>>>,
    /// Where the following segment of the partition begins, where there is one.
    until: Option<Offset>,
}

impl FileLogReader {
    /// Finds the segments in `dir`.
    ///
    /// # Errors
    /// `NotFound` where there is no log; `Corrupt`, `Unsupported` or `Io`.
    pub fn open(dir: impl AsRef<Path>, kinds: Kinds) -> Result<Self> {
        let dir = dir.as_ref();
        let Some(Manifest { partitions, .. }) = read_manifest(dir)? else {
            return Err(Error::new(ErrorKind::NotFound, "there is no log in this folder")
                .with_hint("name the folder that a run wrote (its --out)")
                .with_context("path", dir.display()));
        };
        let (mut left, mut trimmed) = (VecDeque::new(), false);
        for partition in 0..partitions {
            let dir = dir.join(partition.to_string());
            let bases = segment::list(&dir)?;
            trimmed |= bases.first().is_some_and(|base| *base > 0);
            left.extend(bases.into_iter().map(|base| (partition, dir.clone(), base)));
        }
        Ok(Self { kinds, trimmed, left, open: None, failed: false })
    }

    /// Whether the beginning of a partition is gone, because it was [trimmed](crate::log::EventLog::trim): what was
    /// found near it cannot be found again.
    pub fn is_trimmed(&self) -> bool {
        self.trimmed
    }

    fn step(&mut self) -> Result<Option<(u32, Offset, Record)>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some((partition, dir, base)) = self.left.pop_front() else { return Ok(None) };
                let path = segment::path(&dir, base);
                let frames = segment::frames(&dir, base, (base, 0), None);
                let frames = frames.map_err(|e| Error::io(e, &path))?;
                let until = self.left.front().filter(|next| next.0 == partition).map(|next| next.2);
                self.open = Some(Open { partition, path, frames, until });
                continue;
            };
            let (pos, offset) = (open.frames.pos, open.frames.next);
            let why = match open.frames.step().map_err(|e| Error::io(e, &open.path))? {
                Step::Frame(frame) => {
                    let record = record(frame.json, &self.kinds, &open.path, offset)?;
                    return Ok(Some((open.partition, offset, record)));
                }
                Step::End if open.until.is_none_or(|until| until == offset) => None,
                Step::End => Some("the file ends before it"),
                Step::Bad(why) => {
                    let damaged = open.until.is_some()
                        || open.frames.was_durable().map_err(|e| Error::io(e, &open.path))?;
                    damaged.then_some(why)
                }
            };
            if let Some(why) = why {
                return Err(corrupt(&open.path, pos, offset, why));
            }
            self.open = None;
        }
    }
}

impl Iterator for FileLogReader {
    type Item = Result<(u32, Offset, Record)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step().transpose();
        self.failed = matches!(step, Some(Err(_)));
        step
    }
}
