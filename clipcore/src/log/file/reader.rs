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
use crate::{Error, ErrorKind, Result, StreamId};

/// A read ends after this many bytes of records, however many were asked for.
const MAX_BYTES: usize = 4 << 20;

/// Reads what belongs to `stream`, or everything, among up to `max` committed records, with the offset after the last one that was
/// looked at; fails only where the first one cannot be read.
pub(super) fn read(
    dir: &Path,
    view: &Mutex<View>,
    kinds: &Kinds,
    from: Offset,
    max: usize,
    stream: Option<&StreamId>,
) -> Result<(Vec<(Offset, Record)>, Offset)> {
    let mut read = Read { out: Vec::new(), next: from, looked: 0, subject: stream.map(subject) };
    let done = read_into(&mut read, dir, view, kinds, max);
    if let Some(stream) = stream {
        read.out.retain(|(_, record)| record.stream() == stream);
    }
    match done {
        Err(e) if read.looked == 0 => Err(e),
        _ => Ok((read.out, read.next)),
    }
}

struct Read {
    out: Vec<(Offset, Record)>,
    /// The next offset to be looked at.
    next: Offset,
    looked: usize,
    /// What a record has in its text that is to be read.
    subject: Option<String>,
}

/// How the stream stands in what a log writes: ids have nothing in them to be escaped.
fn subject(stream: &StreamId) -> String {
    format!(r#""subject":"{stream}""#)
}

fn read_into(read: &mut Read, dir: &Path, view: &Mutex<View>, kinds: &Kinds, max: usize) -> Result<()> {
    let subject = read.subject.take();
    let subject = subject.as_ref().map(memchr::memmem::Finder::new);
    let mut bytes = 0;
    while read.looked < max && bytes < MAX_BYTES {
        let mut from = read.next;
        let (base, place, end, next, rewrites) = {
            let view = lock(view);
            from = from.max(view.segments.first().map_or(0, |s| s.base));
            if from >= view.next {
                break;
            }
            let at = view.segments.partition_point(|s| s.base <= from).saturating_sub(1);
            let Some(segment) = view.segments.get(at) else { break };
            let place = segment.place(from);
            match view.segments.get(at + 1) {
                Some(following) => (segment.base, place, None, following.base, view.rewrites),
                None => (segment.base, place, Some(view.active_len), view.next, view.rewrites),
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
        let mut seen = Segment::new(base);
        let mut moved = false;
        while frames.next < next && read.looked < max && bytes < MAX_BYTES {
            let (pos, offset) = (frames.pos, frames.next);
            match frames.step().map_err(|e| Error::io(e, &path))? {
                Step::Frame(frame) => {
                    seen.note(offset, pos);
                    if offset >= from {
                        bytes += frame.json.len();
                        if subject.as_ref().is_none_or(|subject| subject.find(frame.json).is_some()) {
                            read.out.push((offset, record(frame.json, kinds, &path, offset)?));
                        }
                        (read.looked, read.next) = (read.looked + 1, offset + 1);
                    }
                }
                // The segment was replaced before it could be opened, and its records lie elsewhere now.
                Step::Bad(_) | Step::End if lock(view).rewrites != rewrites => {
                    moved = true;
                    break;
                }
                Step::Bad(why) => return Err(corrupt(&path, pos, offset, why)),
                Step::End => return Err(corrupt(&path, pos, offset, "the file ends before it")),
            }
        }
        read.next = frames.next.max(from);
        let mut view = lock(view);
        if moved || view.rewrites != rewrites {
            continue;
        }
        // The index of an older segment is learnt while it is read.
        if let Some(segment) = view.segments.iter_mut().find(|s| s.base == base) {
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
