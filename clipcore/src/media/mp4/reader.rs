use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::boxes::{BoxReader, Header, show};
use super::entry;
use crate::media::{Sample, Track, TrackKind};
use crate::{Error, ErrorKind, Result};

/// What a [`FragmentReader`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The header: the tracks whose samples will follow.
    Init(Vec<Track>),
    /// The payload of a `uuid` box: 16 bytes of id, then its content.
    Uuid([u8; 16], Bytes),
    /// One fragment's samples, track by track in decode order.
    Samples(Vec<Sample>),
}

/// Sizes beyond which a box is refused rather than buffered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLimits {
    /// `moov` and `moof` boxes, bytes.
    pub header_bytes: u64,
    /// `mdat` boxes, bytes.
    pub media_bytes: u64,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self { header_bytes: 8 << 20, media_bytes: 256 << 20 }
    }
}

/// Reads a fragmented MP4 as it grows: push bytes in, take whole fragments out.
///
/// Samples come with absolute decode times as `tfdt` gives them, read as signed so that the negative times before
/// a first picture survive.
#[derive(Debug, Default)]
pub struct FragmentReader {
    buffer: BytesMut,
    limits: ReaderLimits,
    tracks: Vec<TrackState>,
    moof: Option<(u64, Bytes)>,
    /// Offset of the buffer's first byte from the start of the input.
    offset: u64,
    skip: u64,
}

#[derive(Debug, Clone)]
struct TrackState {
    id: u32,
    defaults: Defaults,
    track: Track,
}

#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

impl FragmentReader {
    /// A reader with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes to what is to be read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The offset up to which everything was whole: where a torn file is to be cut off.
    pub fn whole_until(&self) -> u64 {
        self.moof.as_ref().map_or(self.offset, |(at, _)| *at)
    }

    /// The next thing found; `None` where more bytes are needed.
    ///
    /// # Errors
    /// `InvalidInput` for bytes that are no fragmented MP4; the reader is of no use afterwards.
    #[allow(clippy::should_implement_trait)] // fallible, and it continues after None
    pub fn next(&mut self) -> Result<Option<Read>> {
        loop {
            if self.skip > 0 {
                let n = self.skip.min(self.buffer.len() as u64);
                self.advance(n as usize);
                self.skip -= n;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            let Some(header) = Header::read(&self.buffer)? else { return Ok(None) };
            let limit = match &header.kind {
                b"mdat" => self.limits.media_bytes,
                b"moov" | b"moof" | b"uuid" => self.limits.header_bytes,
                b"ftyp" | b"styp" | b"free" | b"skip" | b"sidx" | b"mfra" | b"prft" | b"emsg" => {
                    self.skip = header.len;
                    continue;
                }
                other => {
                    return Err(Error::invalid(format!("{} is no box of a fragmented MP4", show(*other)))
                        .with_context("offset", self.offset));
                }
            };
            if header.len > limit {
                return Err(Error::invalid(format!(
                    "a box {} of {} bytes is larger than the {limit} that are allowed",
                    show(header.kind),
                    header.len
                )));
            }
            if (self.buffer.len() as u64) < header.len {
                return Ok(None);
            }
            let at = self.offset;
            let whole = self.buffer.split_to(header.len as usize).freeze();
            self.offset += header.len;
            match &header.kind {
                b"moov" => {
                    return self.init(&whole[header.header_len..]).map(|tracks| Some(Read::Init(tracks)));
                }
                b"uuid" => {
                    let body = whole.slice(header.header_len..);
                    let Some(id) = body.first_chunk::<16>().copied() else { continue };
                    return Ok(Some(Read::Uuid(id, body.slice(16..))));
                }
                b"moof" => self.moof = Some((at, whole)),
                _ => {
                    let Some((moof_at, moof)) = self.moof.take() else { continue };
                    let media = at + header.header_len as u64..at + header.len;
                    let rows = self.rows(&moof, moof_at, media)?;
                    let samples = rows.iter().map(|row| {
                        let from = (row.offset - at) as usize;
                        let data = whole.slice(from..from + row.size as usize);
                        let Row { track, dts, pts, duration, sync, .. } = *row;
                        Sample { track, dts, pts, duration, sync, data }
                    });
                    return Ok(Some(Read::Samples(samples.collect())));
                }
            }
        }
    }

    fn advance(&mut self, n: usize) {
        self.buffer.advance(n);
        self.offset += n as u64;
    }

    /// Takes up a header that was read elsewhere: the payload of a `moov` box.
    ///
    /// # Errors
    /// `InvalidInput` where it is no such header.
    pub fn init(&mut self, moov: &[u8]) -> Result<Vec<Track>> {
        self.tracks = read_moov(moov)?;
        Ok(self.tracks.iter().map(|t| t.track.clone()).collect())
    }

    /// The samples that a whole `moof` box describes, without their bytes; it stands at `moof_at` in the input,
    /// and its media data fills `media`.
    ///
    /// # Errors
    /// `InvalidInput` where it is torn or points outside of `media`.
    pub fn rows(&self, moof: &[u8], moof_at: u64, media: Range<u64>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut boxes = BoxReader::new(moof).need(b"moof")?;
        while let Some((kind, traf)) = boxes.next_box()? {
            if &kind == b"traf" {
                self.traf(traf, moof_at, &media, &mut rows)?;
            }
        }
        Ok(rows)
    }

    fn traf(&self, traf: BoxReader<'_>, moof_at: u64, media: &Range<u64>, rows: &mut Vec<Row>) -> Result<()> {
        let mut tfhd = traf.need(b"tfhd")?;
        let (_, flags) = tfhd.version_flags()?;
        let id = tfhd.u32()?;
        let Some(track) = self.tracks.iter().position(|t| t.id == id) else { return Ok(()) };
        let mut defaults = self.tracks[track].defaults;
        let base = if flags & 0x01 != 0 { tfhd.u64()? } else { moof_at };
        if flags & 0x02 != 0 {
            tfhd.u32()?;
        }
        if flags & 0x08 != 0 {
            defaults.duration = tfhd.u32()?;
        }
        if flags & 0x10 != 0 {
            defaults.size = tfhd.u32()?;
        }
        if flags & 0x20 != 0 {
            defaults.flags = tfhd.u32()?;
        }
        let mut tfdt = traf.need(b"tfdt")?;
        let dts = match tfdt.version_flags()?.0 {
            0 => i64::from(tfdt.u32()?),
            _ => tfdt.u64()? as i64,
        };
        let scale = i64::from(self.tracks[track].track.timescale);
        let mut run =
            Run { track, defaults, base, dts, cursor: base, latest: scale.saturating_mul(MAX_SECS) };
        let mut boxes = traf;
        while let Some((kind, trun)) = boxes.next_box()? {
            if &kind == b"trun" {
                run.read(trun, media, rows)?;
            }
        }
        Ok(())
    }
}

/// A sample's place in its input, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Index into the list of tracks.
    pub track: usize,
    /// Decode time in ticks.
    pub dts: i64,
    /// Presentation time in ticks.
    pub pts: i64,
    /// Duration in ticks.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Where its bytes begin, from the start of the input.
    pub offset: u64,
    /// Whether decoding can begin here.
    pub sync: bool,
}

struct Run {
    track: usize,
    defaults: Defaults,
    base: u64,
    dts: i64,
    cursor: u64,
    /// Times beyond this, in ticks, are damage.
    latest: i64,
}

/// Times further than this from zero are refused, so that arithmetic on them cannot overflow: 30 years.
const MAX_SECS: i64 = 1_000_000_000;
/// More samples in one fragment than any muxer writes.
const MAX_SAMPLES: usize = 1 << 20;

impl Run {
    fn read(&mut self, mut trun: BoxReader<'_>, media: &Range<u64>, rows: &mut Vec<Row>) -> Result<()> {
        let (version, flags) = trun.version_flags()?;
        let count = trun.u32()?;
        // Every sample has at least one byte of media or of fields, or the count is a lie.
        if u64::from(count) > media.end.saturating_sub(media.start) + trun.rest().len() as u64 {
            return Err(Error::invalid(format!("a fragment says it has {count} samples")));
        }
        if rows.len() + count as usize > MAX_SAMPLES {
            return Err(Error::invalid(format!("a fragment has more than {MAX_SAMPLES} samples")));
        }
        if flags & 0x01 != 0 {
            let offset = trun.u32()? as i32;
            self.cursor = self.base.saturating_add_signed(i64::from(offset));
        }
        let first_flags = if flags & 0x04 != 0 { Some(trun.u32()?) } else { None };
        for i in 0..count {
            let duration = if flags & 0x100 != 0 { trun.u32()? } else { self.defaults.duration };
            let size = if flags & 0x200 != 0 { trun.u32()? } else { self.defaults.size };
            let own_flags = if flags & 0x400 != 0 { trun.u32()? } else { self.defaults.flags };
            let sample_flags = first_flags.filter(|_| i == 0).unwrap_or(own_flags);
            let shift = match (flags & 0x800 != 0, version) {
                (false, _) => 0,
                (true, 0) => i64::from(trun.u32()?),
                (true, _) => i64::from(trun.u32()? as i32),
            };
            let end = self.cursor.saturating_add(u64::from(size));
            if self.cursor < media.start || end > media.end {
                return Err(Error::invalid("a sample lies outside of its fragment's media data"));
            }
            let pts = self.dts.saturating_add(shift);
            if self.dts.checked_abs().is_none_or(|t| t > self.latest) || pts.saturating_abs() > self.latest {
                return Err(Error::invalid("a sample's time is out of all reason"));
            }
            rows.push(Row {
                track: self.track,
                dts: self.dts,
                pts,
                duration,
                size,
                offset: self.cursor,
                sync: sample_flags & 0x0001_0000 == 0,
            });
            self.cursor = end;
            self.dts = self.dts.saturating_add(i64::from(duration));
        }
        Ok(())
    }
}

fn read_moov(moov: &[u8]) -> Result<Vec<TrackState>> {
    let mut tracks = Vec::new();
    let mut boxes = BoxReader::new(moov);
    while let Some((kind, trak)) = boxes.next_box()? {
        if &kind == b"trak"
            && let Some(track) = read_trak(trak)?
        {
            tracks.push(track);
        }
    }
    if let Some(mut mvex) = BoxReader::new(moov).find(b"mvex")? {
        while let Some((kind, mut trex)) = mvex.next_box()? {
            if &kind != b"trex" {
                continue;
            }
            trex.version_flags()?;
            let id = trex.u32()?;
            trex.u32()?;
            let defaults = Defaults { duration: trex.u32()?, size: trex.u32()?, flags: trex.u32()? };
            for track in tracks.iter_mut().filter(|t| t.id == id) {
                track.defaults = defaults;
            }
        }
    }
    if tracks.is_empty() {
        return Err(Error::new(ErrorKind::Unsupported, "the input has neither sound nor pictures"));
    }
    Ok(tracks)
}

/// `None` for tracks that carry neither sound nor pictures.
fn read_trak(trak: BoxReader<'_>) -> Result<Option<TrackState>> {
    let mut tkhd = trak.need(b"tkhd")?;
    let long = tkhd.version_flags()?.0 == 1;
    tkhd.take(if long { 16 } else { 8 })?;
    let id = tkhd.u32()?;
    let mdia = trak.need(b"mdia")?;
    let mut hdlr = mdia.need(b"hdlr")?;
    hdlr.take(8)?;
    let kind = match hdlr.take(4)? {
        b"vide" => TrackKind::Video,
        b"soun" => TrackKind::Audio,
        _ => return Ok(None),
    };
    let mut mdhd = mdia.need(b"mdhd")?;
    let long = mdhd.version_flags()?.0 == 1;
    mdhd.take(if long { 16 } else { 8 })?;
    let timescale = mdhd.u32()?;
    if timescale == 0 {
        return Err(Error::invalid("a track's timescale is 0"));
    }
    let stbl = mdia.need(b"minf")?.need(b"stbl")?;
    let payload = stbl.need(b"stsd")?.rest();
    let mut stsd = Vec::with_capacity(payload.len() + 8);
    stsd.extend_from_slice(&(payload.len() as u32 + 8).to_be_bytes());
    stsd.extend_from_slice(b"stsd");
    stsd.extend_from_slice(payload);
    let track = entry::describe(kind, timescale, &stsd)?;
    Ok(Some(TrackState { id, defaults: Defaults::default(), track }))
}
