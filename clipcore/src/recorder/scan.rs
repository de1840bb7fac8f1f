use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek, SeekFrom};
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
    let mut file = File::open(path).map_err(|e| Error::io(e, path))?;
    let len = file.metadata().map_err(|e| Error::io(e, path))?.len();
    let mut reader = FragmentReader::new();
    let mut info: Option<SegmentInfo> = None;
    let mut tracks = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    let mut moof: Option<(u64, Vec<u8>)> = None;
    let (mut at, mut whole) = (0u64, 0u64);
    while let Some(header) = read_header(&mut file, at)? {
        let end = at.saturating_add(header.len);
        if end > len {
            break;
        }
        let mut body = Vec::new();
        if &header.kind != b"mdat" {
            if header.len > MAX_HEADER {
                return Err(Error::invalid("a header is larger than any that clipcore writes"));
            }
            file.seek(SeekFrom::Start(at)).map_err(|e| Error::io(e, path))?;
            body.resize(header.len as usize, 0);
            file.read_exact(&mut body).map_err(|e| Error::io(e, path))?;
        }
        match &header.kind {
            b"uuid" if body.get(8..24) == Some(&SEGMENT_UUID) => {
                info = Some(serde_json::from_slice(&body[24..])?);
            }
            b"moov" => {
                tracks = reader.init(&body[header.header_len..])?;
                rows.clear();
                whole = end;
            }
            b"moof" => moof = Some((at, body)),
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

fn read_header(file: &mut File, at: u64) -> Result<Option<BoxHeader>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    // Damage in the middle of a file looks like a torn end: what came before it is kept.
    Ok(BoxHeader::read(&bytes[..filled]).unwrap_or(None))
}
