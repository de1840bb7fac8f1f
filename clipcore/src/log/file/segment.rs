//! Segment files: named after the offset of their first record, found again and mended when a log is opened.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};
use std::path::{Path, PathBuf};

use super::frame::{Frames, Step};
use crate::durable::AppendFile;
use crate::log::Offset;
use crate::{Error, ErrorKind, Result};

/// A place in the index for about each this many bytes.
const INDEX_EVERY: u64 = 16 * 1024;

/// What is known of one segment without reading it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Offset of its first record.
    pub(super) base: Offset,
    /// Places of some records, in order: offset and byte.
    index: Vec<(Offset, u64)>,
}

impl Segment {
    pub(super) fn new(base: Offset) -> Self {
        Self { base, index: Vec::new() }
    }

    /// Notes that record `offset` begins at byte `pos`, where the index has nothing near.
    pub(super) fn note(&mut self, offset: Offset, pos: u64) {
        let last = self.index.last().map_or(0, |(_, pos)| *pos);
        if pos >= last + INDEX_EVERY {
            self.index.push((offset, pos));
        }
    }

    /// Notes what `seen`, a stretch of the same segment, has and this has not.
    pub(super) fn learn(&mut self, seen: &Self) {
        for (offset, pos) in &seen.index {
            self.note(*offset, *pos);
        }
    }

    /// The last noted place at or before `offset`.
    pub(super) fn place(&self, offset: Offset) -> (Offset, u64) {
        let after = self.index.partition_point(|(noted, _)| *noted <= offset);
        after.checked_sub(1).map_or((self.base, 0), |i| self.index[i])
    }
}

/// The file of the segment that begins at `base`.
pub(super) fn path(dir: &Path, base: Offset) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

/// The base offsets of the segments in `dir`, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<Offset>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(e, dir))? {
        let name = entry.map_err(|e| Error::io(e, dir))?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(".log"));
        bases.extend(base.and_then(|base| base.parse::<Offset>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Opens the frames of the segment at `base` at a place in it; reads no further than byte `end`.
pub(super) fn frames(
    dir: &Path,
    base: Offset,
    (next, pos): (Offset, u64),
    end: Option<u64>,
) -> std::io::Result<Frames<BufReader<Take<File>>>> {
    let mut file = File::open(path(dir, base))?;
    file.seek(SeekFrom::Start(pos))?;
    let left = end.map_or(u64::MAX, |end| end.saturating_sub(pos));
    Ok(Frames::new(BufReader::with_capacity(64 * 1024, file.take(left)), pos, next))
}

/// Opens the newest segment for appending: cuts a torn tail off and builds the index.
///
/// Gives the segment, its file and the offset of the next record.
pub(super) fn recover(dir: &Path, base: Offset) -> Result<(Segment, AppendFile, Offset)> {
    let mut file = AppendFile::open(&path(dir, base))?;
    let mut segment = Segment::new(base);
    let io = |e| Error::io(e, path(dir, base)).with_operation("log::open");
    let mut frames = frames(dir, base, (base, 0), None).map_err(io)?;
    loop {
        let pos = frames.pos;
        match frames.step().map_err(io)? {
            Step::Frame(frame) => segment.note(frame.offset, pos),
            Step::End => break,
            Step::Bad(why) => {
                let next = frames.next;
                if frames.was_durable().map_err(io)? {
                    return Err(corrupt(&path(dir, base), pos, next, why));
                }
                tracing::warn!(
                    path = %file.path().display(),
                    byte = pos,
                    removed = file.len() - pos,
                    why,
                    "cut off the end of the log that was never acknowledged"
                );
                file.cut(pos)?;
                break;
            }
        }
    }
    let next = frames.next;
    file.sync()?;
    Ok((segment, file, next))
}

/// The error for a line that does not hold.
pub(super) fn corrupt(path: &Path, pos: u64, offset: Offset, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a record of the log is damaged: {why}"))
        .with_context("path", path.display())
        .with_context("byte", pos)
        .with_context("offset", offset)
        .with_hint("restore the file from a copy, or move the log folder away to start a new log")
}
