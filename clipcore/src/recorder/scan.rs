use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{SEGMENT_UUID, Segment, SegmentInfo};
use crate::media::mp4::{BoxHeader, FragmentReader, Row};
use crate::{Error, Result};

/// Headers larger than this are damage.
const MAX_HEADER: u64 = 8 << 20;

/// What was found in a folder.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) segments: Vec<Segment>,
    /// Files that hold nothing that can be used, with the reason; they are left alone.
    pub(super) unreadable: Vec<(PathBuf, Error)>,
    /// Bytes cut off from torn ends.
    pub(super) torn_bytes: u64,
}

/// Reads all recorded files of a folder in order, cutting off torn ends where `repair` is set.
pub(super) fn scan(dir: &Path, repair: bool) -> Result<Scan> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .map_err(|e| Error::io(e, dir))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "mp4"))
        .collect();
    paths.sort();
    let mut found = Scan::default();
    for path in paths {
        match scan_file(&path) {
            Ok((segment, len)) => {
                if repair && len > segment.bytes {
                    found.torn_bytes += len - segment.bytes;
                    let file = OpenOptions::new().write(true).open(&path).map_err(|e| Error::io(e, &path))?;
                    file.set_len(segment.bytes).map_err(|e| Error::io(e, &path))?;
                }
                found.segments.push(segment);
            }
            Err(error) => found.unreadable.push((path, error)),
        }
    }
    Ok(found)
}

/// Reads one file's headers; media data is skipped, not read. Gives the file's length beside what is whole of it.
fn scan_file(path: &Path) -> Result<(Segment, u64)> {
    let file = File::open(path).map_err(|e| Error::io(e, path))?;
    let len = file.metadata().map_err(|e| Error::io(e, path))?.len();
    let mut window = Window { file, at: 0, bytes: Vec::new() };
    let mut reader = FragmentReader::new();
    let mut info: Option<SegmentInfo> = None;
    let mut tracks = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut moof: Option<(u64, Vec<u8>)> = None;
    let (mut at, mut whole) = (0u64, 0u64);
    loop {
        // Damage in the middle of a file looks like a torn end: what came before it is kept.
        let header = BoxHeader::read(window.get(at, 16).map_err(|e| Error::io(e, path))?).unwrap_or(None);
        let Some(header) = header else { break };
        let end = at.saturating_add(header.len);
        if end > len {
            break;
        }
        let body = match &header.kind {
            b"mdat" => &[][..],
            _ if header.len > MAX_HEADER => {
                return Err(Error::invalid("a header is larger than any that clipcore writes"));
            }
            _ => match window.get(at, header.len as usize).map_err(|e| Error::io(e, path))? {
                body if body.len() as u64 == header.len => body,
                _ => break,
            },
        };
        match &header.kind {
            b"uuid" if body.get(8..24) == Some(&SEGMENT_UUID) => {
                info = Some(serde_json::from_slice(&body[24..])?);
            }
            b"moov" => {
                tracks = reader.init(&body[header.header_len..])?;
                rows.clear();
                whole = end;
            }
            b"moof" => moof = Some((at, body.to_vec())),
            b"mdat" => {
                if let Some((moof_at, moof)) = moof.take() {
                    let media = at + header.header_len as u64..end;
                    // A part that contradicts itself ends what can be trusted of the file.
                    let Ok(found) = reader.rows(&moof, moof_at, media) else { break };
                    rows.extend(found);
                    whole = end;
                }
            }
            _ => {}
        }
        at = end;
    }
    let info = info.ok_or_else(|| Error::invalid("the file does not say what it records"))?;
    if tracks.is_empty() {
        return Err(Error::invalid("the file ends before its header does"));
    }
    let mut segment = Segment::new(info, path.to_owned(), Arc::from(tracks), whole);
    rows.into_iter().for_each(|row| segment.push(row));
    Ok((segment, len))
}

/// Reads a file's headers with few reads: those of a part lie together.
struct Window {
    file: File,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    const READ: usize = 4096;

    /// `len` bytes from `at` on; fewer where the file ends.
    fn get(&mut self, at: u64, len: usize) -> std::io::Result<&[u8]> {
        let held = at.checked_sub(self.at).and_then(|skip| usize::try_from(skip).ok());
        let from = match held.filter(|skip| skip + len <= self.bytes.len()) {
            Some(skip) => skip,
            None => {
                self.at = at;
                self.bytes.resize(len.max(Self::READ), 0);
                let mut filled = 0;
                while filled < self.bytes.len() {
                    match self.file.read_at(&mut self.bytes[filled..], at + filled as u64)? {
                        0 => break,
                        n => filled += n,
                    }
                }
                self.bytes.truncate(filled);
                0
            }
        };
        Ok(&self.bytes[from..(from + len).min(self.bytes.len())])
    }
}
