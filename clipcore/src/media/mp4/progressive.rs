use super::boxes::BoxReader;
use super::entry;
use super::writer::{BoxWriter, FragmentSample};
use crate::media::{Track, TrackKind};
use crate::{Error, Result};

/// What of a track's media is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Composition time of the first presented instant, in ticks from the first sample's decode time.
    pub media_time: u64,
    /// Length of the presentation, in ticks of the movie's timescale.
    pub duration: u64,
    /// How long nothing is presented before that (sound that begins late), in ticks of the movie's timescale.
    pub delay: u64,
}

/// A track of a file that is to be written in one go.
#[derive(Debug, Clone)]
pub struct ProgressiveTrack {
    /// The track.
    pub track: Track,
    /// What of it is presented.
    pub edit: Edit,
    /// All samples in decode order; offsets must not be negative.
    pub samples: Vec<FragmentSample>,
}

impl ProgressiveTrack {
    fn duration(&self) -> u64 {
        self.samples.iter().map(|s| u64::from(s.duration)).sum()
    }
}

/// Lays out a faststart file: everything that describes the media first, then the media.
#[derive(Debug)]
pub struct ProgressiveWriter {
    /// `ftyp`, `moov` and the header of `mdat`.
    pub header: Vec<u8>,
    /// The media data that is to follow: `(track, first sample, one past the last)`.
    pub chunks: Vec<(usize, usize, usize)>,
}

/// Seconds of media in a chunk: players then seek little, and the tables stay small.
const CHUNK_SECS: f64 = 0.5;

impl ProgressiveWriter {
    /// Lays out the tracks; the movie's timescale is `timescale` (choose the video track's, so that edit lengths
    /// are exact).
    pub fn new(timescale: u32, tracks: &[ProgressiveTrack]) -> Self {
        let chunks = interleave(tracks);
        let media: u64 = tracks.iter().flat_map(|t| &t.samples).map(|s| u64::from(s.size)).sum();
        let large = media + 16 > u64::from(u32::MAX);
        // Chunk offsets depend on the header's length, which does not depend on their values.
        let probe = moov(timescale, tracks, &chunks, 0, large);
        let mdat_header = if large { 16 } else { 8 };
        let mut header = moov(timescale, tracks, &chunks, (probe.len() + mdat_header) as u64, large);
        if large {
            header.extend_from_slice(&1u32.to_be_bytes());
            header.extend_from_slice(b"mdat");
            header.extend_from_slice(&(media + 16).to_be_bytes());
        } else {
            header.extend_from_slice(&((media + 8) as u32).to_be_bytes());
            header.extend_from_slice(b"mdat");
        }
        Self { header, chunks }
    }
}

/// Chunks of about half a second, the track that is furthest behind first.
fn interleave(tracks: &[ProgressiveTrack]) -> Vec<(usize, usize, usize)> {
    let mut next = vec![(0usize, 0u64); tracks.len()];
    let mut chunks = Vec::new();
    loop {
        let behind = (0..tracks.len()).filter(|&t| next[t].0 < tracks[t].samples.len()).min_by(|&a, &b| {
            secs(next[a].1, tracks[a].track.timescale).total_cmp(&secs(next[b].1, tracks[b].track.timescale))
        });
        let Some(t) = behind else { return chunks };
        let (first, begun) = next[t];
        let limit = begun + (CHUNK_SECS * f64::from(tracks[t].track.timescale)) as u64;
        let (mut end, mut time) = (first, begun);
        while end < tracks[t].samples.len() && (time < limit || end == first) {
            time += u64::from(tracks[t].samples[end].duration);
            end += 1;
        }
        chunks.push((t, first, end));
        next[t] = (end, time);
    }
}

fn secs(ticks: u64, timescale: u32) -> f64 {
    ticks as f64 / f64::from(timescale.max(1))
}

fn moov(
    timescale: u32,
    tracks: &[ProgressiveTrack],
    chunks: &[(usize, usize, usize)],
    base: u64,
    large: bool,
) -> Vec<u8> {
    let mut offsets: Vec<Vec<(u64, u32)>> = vec![Vec::new(); tracks.len()];
    let mut at = base;
    for &(t, first, end) in chunks {
        offsets[t].push((at, (end - first) as u32));
        at += tracks[t].samples[first..end].iter().map(|s| u64::from(s.size)).sum::<u64>();
    }
    let longest = tracks.iter().map(|t| t.edit.delay + t.edit.duration).max().unwrap_or(0);
    let mut w = BoxWriter::default();
    w.ftyp(&[b"isom", b"iso2", b"avc1", b"mp41"]);
    w.boxed(b"moov", |w| {
        w.mvhd(timescale, longest, tracks.len() as u32 + 1);
        for ((track, id), offsets) in tracks.iter().zip(1..).zip(&offsets) {
            w.boxed(b"trak", |w| {
                w.tkhd(id, &track.track, track.edit.delay + track.edit.duration);
                w.boxed(b"edts", |w| {
                    w.full(b"elst", 1, 0, |w| {
                        w.u32(if track.edit.delay > 0 { 2 } else { 1 });
                        if track.edit.delay > 0 {
                            w.u64(track.edit.delay);
                            w.u64(u64::MAX);
                            w.u32(0x0001_0000);
                        }
                        w.u64(track.edit.duration);
                        w.u64(track.edit.media_time);
                        w.u32(0x0001_0000);
                    });
                });
                w.mdia(&track.track, track.duration(), |w| sample_tables(w, track, offsets, large));
            });
        }
    });
    w.out
}

fn sample_tables(w: &mut BoxWriter, track: &ProgressiveTrack, offsets: &[(u64, u32)], large: bool) {
    let runs = |w: &mut BoxWriter, values: &mut dyn Iterator<Item = u32>| {
        let count_at = w.out.len();
        w.u32(0);
        let (mut count, mut run): (u32, Option<(u32, u32)>) = (0, None);
        for value in values {
            match &mut run {
                Some((n, v)) if *v == value => *n += 1,
                _ => {
                    if let Some((n, v)) = run.replace((1, value)) {
                        w.u32(n);
                        w.u32(v);
                        count += 1;
                    }
                }
            }
        }
        if let Some((n, v)) = run {
            w.u32(n);
            w.u32(v);
            count += 1;
        }
        w.out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    };
    w.full(b"stts", 0, 0, |w| runs(w, &mut track.samples.iter().map(|s| s.duration)));
    if track.samples.iter().any(|s| s.offset != 0) {
        w.full(b"ctts", 0, 0, |w| runs(w, &mut track.samples.iter().map(|s| s.offset as u32)));
    }
    if track.track.kind == TrackKind::Video {
        w.full(b"stss", 0, 0, |w| {
            let sync: Vec<u32> =
                track.samples.iter().zip(1..).filter(|(s, _)| s.sync).map(|(_, n)| n).collect();
            w.u32(sync.len() as u32);
            sync.iter().for_each(|n| w.u32(*n));
        });
    }
    w.full(b"stsc", 0, 0, |w| {
        let count_at = w.out.len();
        w.u32(0);
        let (mut count, mut last) = (0u32, None);
        for ((_, samples), chunk) in offsets.iter().zip(1..) {
            if last != Some(*samples) {
                w.u32(chunk);
                w.u32(*samples);
                w.u32(1);
                count += 1;
                last = Some(*samples);
            }
        }
        w.out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    });
    w.full(b"stsz", 0, 0, |w| {
        w.u32(0);
        w.u32(track.samples.len() as u32);
        track.samples.iter().for_each(|s| w.u32(s.size));
    });
    let table = if large { b"co64" } else { b"stco" };
    w.full(table, 0, 0, |w| {
        w.u32(offsets.len() as u32);
        for (at, _) in offsets {
            if large { w.u64(*at) } else { w.u32(*at as u32) }
        }
    });
}

/// A sample as a file's tables describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSample {
    /// Decode time in ticks from the first sample.
    pub dts: u64,
    /// Presentation time in ticks on the same scale.
    pub pts: u64,
    /// Bytes.
    pub size: u32,
    /// Where in the file.
    pub offset: u64,
    /// Whether decoding can begin here.
    pub sync: bool,
}

/// Reads what a faststart file that clipcore wrote says about itself: for each track the edit and all samples.
/// `bytes` is the front of the file, at least up to the end of `moov`.
///
/// # Errors
/// `InvalidInput` where the tables contradict each other.
pub fn read_progressive(bytes: &[u8]) -> Result<Vec<(Track, Edit, Vec<ReadSample>)>> {
    let mut top = BoxReader::new(bytes);
    let moov = loop {
        match top.next_box()? {
            Some((kind, payload)) if &kind == b"moov" => break payload,
            Some(_) => {}
            None => return Err(Error::invalid("the file has no 'moov'")),
        }
    };
    let mut tracks = Vec::new();
    let mut boxes = moov;
    while let Some((kind, trak)) = boxes.next_box()? {
        if &kind == b"trak" {
            tracks.push(read_trak(trak)?);
        }
    }
    Ok(tracks)
}

fn read_trak(trak: BoxReader<'_>) -> Result<(Track, Edit, Vec<ReadSample>)> {
    let mut elst = trak.need(b"edts")?.need(b"elst")?;
    elst.take(4)?;
    let delayed = elst.u32()? == 2;
    let mut edit = Edit { duration: elst.u64()?, media_time: elst.u64()?, delay: 0 };
    if delayed {
        elst.u32()?;
        edit = Edit { delay: edit.duration, duration: elst.u64()?, media_time: elst.u64()? };
    }
    let mdia = trak.need(b"mdia")?;
    let mut hdlr = mdia.need(b"hdlr")?;
    hdlr.take(8)?;
    let kind = if hdlr.take(4)? == b"vide" { TrackKind::Video } else { TrackKind::Audio };
    let mut mdhd = mdia.need(b"mdhd")?;
    mdhd.take(20)?;
    let timescale = mdhd.u32()?;
    let stbl = mdia.need(b"minf")?.need(b"stbl")?;
    let stsd = stbl.need(b"stsd")?.rest();
    let mut whole = (stsd.len() as u32 + 8).to_be_bytes().to_vec();
    whole.extend_from_slice(b"stsd");
    whole.extend_from_slice(stsd);
    let track = entry::describe(kind, timescale, &whole)?;

    let sizes = table(stbl.need(b"stsz")?, 8, 4)?.map(|mut r| r.u32()).collect::<Result<Vec<_>>>()?;
    let chunk_offsets = match stbl.find(b"stco")? {
        Some(stco) => table(stco, 4, 4)?.map(|mut r| r.u32().map(u64::from)).collect::<Result<Vec<_>>>()?,
        None => table(stbl.need(b"co64")?, 4, 8)?.map(|mut r| r.u64()).collect::<Result<Vec<_>>>()?,
    };
    let per_chunk = table(stbl.need(b"stsc")?, 4, 12)?
        .map(|mut r| Ok((r.u32()?, r.u32()?)))
        .collect::<Result<Vec<(u32, u32)>>>()?;
    let durations = expand(stbl.need(b"stts")?, sizes.len())?;
    let shifts = match stbl.find(b"ctts")? {
        Some(ctts) => expand(ctts, sizes.len())?,
        None => vec![0; sizes.len()],
    };
    let sync: Option<Vec<u32>> = match stbl.find(b"stss")? {
        Some(stss) => Some(table(stss, 4, 4)?.map(|mut r| r.u32()).collect::<Result<_>>()?),
        None => None,
    };
    let mut samples = Vec::with_capacity(sizes.len());
    let (mut dts, mut i) = (0u64, 0usize);
    let (mut runs, mut n) = (per_chunk.into_iter().peekable(), 0);
    for (chunk, mut offset) in (1u32..).zip(chunk_offsets) {
        while let Some((_, in_chunk)) = runs.next_if(|(first, _)| *first <= chunk) {
            n = in_chunk;
        }
        for _ in 0..n {
            let (Some(&size), Some(&duration), Some(&shift)) =
                (sizes.get(i), durations.get(i), shifts.get(i))
            else {
                return Err(Error::invalid("the chunks hold more samples than there are"));
            };
            let is_sync = sync.as_ref().is_none_or(|s| s.binary_search(&(i as u32 + 1)).is_ok());
            samples.push(ReadSample { dts, pts: dts + u64::from(shift), size, offset, sync: is_sync });
            dts += u64::from(duration);
            offset = offset
                .checked_add(u64::from(size))
                .ok_or_else(|| Error::invalid("a sample lies beyond the end of any file"))?;
            i += 1;
        }
    }
    if i != sizes.len() {
        return Err(Error::invalid("the chunks hold fewer samples than there are"));
    }
    Ok((track, edit, samples))
}

/// The rows of a table: `skip` bytes (version, flags and fields) before the last 32 bits of which give the count.
fn table<'a>(mut r: BoxReader<'a>, skip: usize, row: usize) -> Result<impl Iterator<Item = BoxReader<'a>>> {
    r.take(skip)?;
    let count = r.u32()? as usize;
    let rows = r.take(count.checked_mul(row).ok_or_else(|| Error::invalid("a table is too long"))?)?;
    Ok(rows.chunks_exact(row).map(BoxReader::new))
}

fn expand(r: BoxReader<'_>, max: usize) -> Result<Vec<u32>> {
    let mut out = Vec::with_capacity(max);
    for mut row in table(r, 4, 8)? {
        let (n, value) = (row.u32()? as usize, row.u32()?);
        if n > max - out.len().min(max) {
            return Err(Error::invalid("a table describes more samples than there are"));
        }
        out.resize(out.len() + n, value);
    }
    Ok(out)
}
