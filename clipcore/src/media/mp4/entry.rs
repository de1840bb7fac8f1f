use bytes::Bytes;

use super::boxes::BoxReader;
use super::writer::BoxWriter;
use crate::media::{Track, TrackKind};
use crate::{Error, Result};

/// Bytes of a `VisualSampleEntry` before its child boxes, after the box header.
const VISUAL_FIELDS: usize = 78;
/// The same for an `AudioSampleEntry` of version 0.
const AUDIO_FIELDS: usize = 28;

/// Fills in what the sample entry says about a track.
pub(super) fn describe(kind: TrackKind, timescale: u32, stsd: &[u8]) -> Result<Track> {
    let mut payload = BoxReader::new(stsd).need(b"stsd")?;
    payload.version_flags()?;
    if payload.u32()? == 0 {
        return Err(Error::invalid("a track has no sample entry"));
    }
    let (fourcc, mut entry) =
        payload.next_box()?.ok_or_else(|| Error::invalid("a track has no sample entry"))?;
    let mut track = Track {
        kind,
        timescale,
        fourcc,
        stsd: Bytes::copy_from_slice(stsd),
        width: 0,
        height: 0,
        channels: 0,
        sample_rate: 0,
        config: Bytes::new(),
    };
    match kind {
        TrackKind::Video => {
            let mut fields = BoxReader::new(entry.take(VISUAL_FIELDS)?);
            fields.take(24)?;
            (track.width, track.height) = (u32::from(fields.u16()?), u32::from(fields.u16()?));
        }
        TrackKind::Audio => {
            let mut fields = BoxReader::new(entry.take(AUDIO_FIELDS)?);
            fields.take(8)?;
            // QuickTime's later versions have more fields.
            match fields.u16()? {
                1 => drop(entry.take(16)?),
                2 => drop(entry.take(36)?),
                _ => {}
            }
            fields.take(6)?;
            track.channels = fields.u16()?;
            fields.take(6)?;
            track.sample_rate = fields.u32()? >> 16;
            if track.sample_rate == 0 {
                track.sample_rate = timescale;
            }
        }
    }
    while let Some((child, body)) = entry.next_box()? {
        if matches!(&child, b"avcC" | b"hvcC" | b"av1C" | b"vpcC" | b"esds" | b"dOps" | b"dfLa" | b"dac3") {
            track.config = Bytes::copy_from_slice(body.rest());
            break;
        }
    }
    Ok(track)
}

/// The `AudioSpecificConfig` inside an `esds` payload (ISO/IEC 14496-1 descriptors).
pub fn aac_config(esds: &[u8]) -> Option<&[u8]> {
    let mut r = BoxReader::new(esds);
    r.take(4).ok()?;
    let mut es = descriptor(&mut r, 0x03)?;
    es.take(2).ok()?;
    let flags = es.u8().ok()?;
    if flags & 0x80 != 0 {
        es.take(2).ok()?;
    }
    if flags & 0x40 != 0 {
        let n = es.u8().ok()?;
        es.take(usize::from(n)).ok()?;
    }
    if flags & 0x20 != 0 {
        es.take(2).ok()?;
    }
    let mut decoder = descriptor(&mut es, 0x04)?;
    decoder.take(13).ok()?;
    descriptor(&mut decoder, 0x05).map(|d| d.rest())
}

fn descriptor<'a>(r: &mut BoxReader<'a>, tag: u8) -> Option<BoxReader<'a>> {
    if r.u8().ok()? != tag {
        return None;
    }
    let mut len = 0usize;
    for _ in 0..4 {
        let byte = r.u8().ok()?;
        len = len << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    r.take(len).ok().map(BoxReader::new)
}

/// The MPEG-4 audio object type of an `esds` payload: 2 for AAC-LC, 5 for HE-AAC.
pub fn aac_object_type(esds: &[u8]) -> Option<u8> {
    let config = aac_config(esds)?;
    let first = config.first()?;
    match first >> 3 {
        31 => config.get(1).map(|second| 32 + ((first & 7) << 3 | second >> 5)),
        object => Some(object),
    }
}

/// The same `stsd` with another `avcC` payload in its first entry.
///
/// # Errors
/// `InvalidInput` where the entry holds no `avcC`.
pub fn with_avc_config(stsd: &[u8], avcc: &[u8]) -> Result<Bytes> {
    let old = {
        let mut payload = BoxReader::new(stsd).need(b"stsd")?;
        payload.take(8)?;
        let (_, mut entry) =
            payload.next_box()?.ok_or_else(|| Error::invalid("a track has no sample entry"))?;
        entry.take(VISUAL_FIELDS)?;
        entry.need(b"avcC")?.rest()
    };
    // The payload's place follows from the addresses: it is a sub-slice of `stsd`.
    let at = old.as_ptr().addr() - stsd.as_ptr().addr();
    let grow = avcc.len() as i64 - old.len() as i64;
    let mut out = Vec::with_capacity(stsd.len() + avcc.len());
    out.extend_from_slice(&stsd[..at]);
    out.extend_from_slice(avcc);
    out.extend_from_slice(&stsd[at + old.len()..]);
    // stsd header at 0, the entry's at 16 (8 header, 4 version and flags, 4 count), avcC's just before the payload.
    for size_at in [0, 16, at - 8] {
        let field = &mut out[size_at..size_at + 4];
        let size = i64::from(u32::from_be_bytes([field[0], field[1], field[2], field[3]])) + grow;
        if size_at == at - 8 && size != avcc.len() as i64 + 8 {
            return Err(Error::invalid("a sample entry has boxes of 64-bit sizes"));
        }
        field.copy_from_slice(&(size as u32).to_be_bytes());
    }
    Ok(out.into())
}

/// An `stsd` box with one `avc1` entry, for pictures that were encoded entirely anew.
pub fn avc_sample_entry(width: u32, height: u32, avcc: &[u8]) -> Bytes {
    let mut w = BoxWriter::default();
    w.full(b"stsd", 0, 0, |w| {
        w.u32(1);
        w.boxed(b"avc1", |w| {
            w.zeros(6);
            w.u16(1);
            w.zeros(16);
            w.u16(width as u16);
            w.u16(height as u16);
            w.u32(0x0048_0000);
            w.u32(0x0048_0000);
            w.zeros(4);
            w.u16(1);
            w.zeros(32);
            w.u16(0x18);
            w.u16(0xffff);
            w.boxed(b"avcC", |w| w.bytes(avcc));
        });
    });
    w.out.into()
}
