//! H.264 syntax (ITU-T H.264 clause 7.3), as far as the exact cut needs it.

use bytes::Bytes;

use crate::{Error, Result};

/// What a NAL unit is (Table 7-1).
pub mod nal {
    /// A slice of an IDR picture: decoding can begin here, and nothing refers across it.
    pub const IDR: u8 = 5;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
}

/// The NAL units of a sample with length prefixes of `length_size` bytes. A torn prefix ends the walk.
pub fn nals(sample: &[u8], length_size: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = sample;
    std::iter::from_fn(move || {
        let (prefix, after) = rest.split_at_checked(length_size)?;
        let len = prefix.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        let (unit, next) = after.split_at_checked(len)?;
        rest = next;
        Some(unit)
    })
}

/// The type of a NAL unit.
pub fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |b| b & 31)
}

/// Whether a sample is an IDR picture.
pub fn is_idr(sample: &[u8], length_size: usize) -> bool {
    nals(sample, length_size).any(|unit| nal_type(unit) == nal::IDR)
}

/// An `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15), the payload of `avcC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// Profile, constraints and level as the record has them.
    pub profile_level: [u8; 3],
    /// Bytes of the length prefix of a NAL unit: 1, 2 or 4.
    pub length_size: usize,
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
    /// What follows (chroma and bit depth for High profiles).
    pub tail: Bytes,
}

impl AvcConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// `InvalidInput` where it is torn or holds no parameter sets.
    pub fn parse(record: &[u8]) -> Result<Self> {
        let torn = || Error::invalid("the 'avcC' record is torn");
        let (head, mut rest) = record.split_first_chunk::<5>().ok_or_else(torn)?;
        let mut sets = |mask: u8| -> Result<Vec<Bytes>> {
            let (&count, after) = rest.split_first().ok_or_else(torn)?;
            rest = after;
            (0..count & mask)
                .map(|_| {
                    let (len, after) = rest.split_first_chunk::<2>().ok_or_else(torn)?;
                    let (set, after) =
                        after.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or_else(torn)?;
                    rest = after;
                    Ok(Bytes::copy_from_slice(set))
                })
                .collect()
        };
        let (sps, pps) = (sets(31)?, sets(255)?);
        if sps.is_empty() || pps.is_empty() {
            return Err(Error::invalid("the 'avcC' record holds no parameter sets"));
        }
        Ok(Self {
            profile_level: [head[1], head[2], head[3]],
            length_size: usize::from(head[4] & 3) + 1,
            sps,
            pps,
            tail: Bytes::copy_from_slice(rest),
        })
    }

    /// Writes the record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [profile, constraints, level] = self.profile_level;
        let mut out = vec![1, profile, constraints, level, 0xfc | (self.length_size as u8 - 1)];
        for (sets, bits) in [(&self.sps, 0xe0), (&self.pps, 0)] {
            out.push(bits | sets.len() as u8);
            for set in sets {
                out.extend_from_slice(&(set.len() as u16).to_be_bytes());
                out.extend_from_slice(set);
            }
        }
        out.extend_from_slice(&self.tail);
        out
    }
}

/// What a sequence parameter set says about the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Its id, 0–31.
    pub id: u32,
    /// Profile: 66 Baseline, 77 Main, 100 High, 110 High 10, …
    pub profile: u8,
    /// 1 for 4:2:0.
    pub chroma_format: u32,
    /// Bits per sample, the larger of luma and chroma.
    pub bit_depth: u32,
    /// Whether every picture is a frame (not interlaced).
    pub frames_only: bool,
    /// Where reading stopped, in bits after the NAL header.
    after_frames_only: usize,
}

impl Sps {
    /// Reads a set, NAL header included.
    ///
    /// # Errors
    /// `InvalidInput` where it is torn or nonsensical.
    pub fn parse(unit: &[u8]) -> Result<Self> {
        let raw = unescape(unit.get(1..).unwrap_or_default());
        let mut r = BitReader::new(&raw);
        let profile = r.bits(8)? as u8;
        r.bits(16)?;
        let id = r.ue()?;
        if id > 31 {
            return Err(Error::invalid("a sequence parameter set's id is above 31"));
        }
        let (mut chroma_format, mut bit_depth) = (1, 8);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format = r.ue()?;
            if chroma_format == 3 {
                r.bits(1)?;
            }
            bit_depth = r.ue()?.max(r.ue()?).saturating_add(8);
            if chroma_format > 3 || bit_depth > 14 {
                return Err(Error::invalid("a sequence parameter set is nonsensical"));
            }
            r.bits(1)?;
            if r.bits(1)? == 1 {
                for i in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if r.bits(1)? == 1 {
                        r.scaling_list(if i < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        r.ue()?;
        match r.ue()? {
            0 => {
                r.ue()?;
            }
            1 => {
                r.bits(1)?;
                r.ue()?;
                r.ue()?;
                let cycle = r.ue()?;
                if cycle > 255 {
                    return Err(Error::invalid("a sequence parameter set is nonsensical"));
                }
                for _ in 0..cycle {
                    r.ue()?;
                }
            }
            _ => {}
        }
        r.ue()?;
        r.bits(1)?;
        r.ue()?;
        r.ue()?;
        let frames_only = r.bits(1)? == 1;
        Ok(Self { id, profile, chroma_format, bit_depth, frames_only, after_frames_only: r.at })
    }
}

/// The same set without its VUI. A decoder then assumes nothing about reordering, so pictures that stand alone come out
/// at once instead of waiting for successors that a keyframe tap never feeds.
///
/// # Errors
/// As [`Sps::parse`].
pub fn sps_without_vui(unit: &[u8]) -> Result<Vec<u8>> {
    let sps = Sps::parse(unit)?;
    let raw = unescape(unit.get(1..).unwrap_or_default());
    let mut r = BitReader::new(&raw);
    r.at = sps.after_frames_only;
    if !sps.frames_only {
        r.bits(1)?;
    }
    r.bits(1)?;
    if r.bits(1)? == 1 {
        for _ in 0..4 {
            r.ue()?;
        }
    }
    // `vui_parameters_present_flag` is next: zero, then the stop bit, then nothing.
    let mut bits = BitReader::new(&raw);
    let mut out = vec![unit[0]];
    let (mut byte, mut filled) = (0u8, 0);
    let mut put = |bit: u32| {
        byte = byte << 1 | bit as u8;
        filled += 1;
        if filled == 8 {
            if out.len() > 2 && out.ends_with(&[0, 0]) && byte <= 3 {
                out.push(3);
            }
            out.push(byte);
            (byte, filled) = (0, 0);
        }
    };
    for _ in 0..r.at {
        put(bits.bits(1)?);
    }
    put(0);
    put(1);
    for _ in 0..7 {
        put(0);
    }
    Ok(out)
}

/// The id of a picture parameter set, NAL header included.
///
/// # Errors
/// `InvalidInput` where it is torn.
pub fn pps_id(unit: &[u8]) -> Result<u32> {
    let raw = unescape(unit.get(1..).unwrap_or_default());
    BitReader::new(&raw).ue()
}

/// Splits an Annex B byte stream (start codes) into NAL units.
pub fn annex_b(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut i = 0;
    while i + 3 <= stream.len() {
        if stream[i..i + 3] == [0, 0, 1] {
            starts.push(i + 3);
            i += 3;
        } else {
            i += 1;
        }
    }
    let ends = starts.iter().skip(1).map(|s| s - 3).chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| {
            let unit = &stream[start..end];
            let trailing = unit.iter().rev().take_while(|b| **b == 0).count();
            &unit[..unit.len() - trailing]
        })
        .filter(|unit| !unit.is_empty())
        .collect()
}

/// Removes emulation prevention bytes (clause 7.4.1).
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &b in bytes {
        if b == 3 && out.ends_with(&[0, 0]) {
            continue;
        }
        out.push(b);
    }
    out
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn bits(&mut self, n: u32) -> Result<u32> {
        let mut value = 0;
        for _ in 0..n {
            let byte =
                self.bytes.get(self.at / 8).ok_or_else(|| Error::invalid("a parameter set is torn"))?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    /// Unsigned Exp-Golomb (clause 9.1).
    fn ue(&mut self) -> Result<u32> {
        let mut zeros = 0;
        while self.bits(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::invalid("a parameter set is nonsensical"));
            }
        }
        Ok((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    fn se(&mut self) -> Result<i64> {
        let n = i64::from(self.ue()?);
        Ok(if n % 2 == 0 { -(n / 2) } else { (n + 1) / 2 })
    }

    fn scaling_list(&mut self, size: u32) -> Result<()> {
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..size {
            if next != 0 {
                next = (last + self.se()? + 256) % 256;
            }
            last = if next == 0 { last } else { next };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annex_b_units_lose_start_codes_and_trailing_zeros() {
        let stream = [0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3];
        assert_eq!(annex_b(&stream), [&[9u8, 0x10][..], &[0x67, 1, 2], &[0x68, 3]]);
    }

    #[test]
    fn torn_units_end_the_walk_quietly() {
        let sample = [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 9, 1];
        assert_eq!(nals(&sample, 4).collect::<Vec<_>>(), [&[0x65u8, 1][..]]);
        assert!(is_idr(&sample, 4));
    }

    #[test]
    fn a_real_high_profile_sps_is_understood() {
        // x264, 854×480, High@3.0, progressive.
        let unit = [
            0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xd8, 0x3d, 0xe6, 0xf0, 0x11, 0x00, 0x00, 0x03, 0x00,
            0x01, 0x00, 0x00, 0x03, 0x00, 0x3c, 0x8f, 0x16, 0x2d, 0x96,
        ];
        let sps = Sps::parse(&unit).unwrap();
        assert_eq!(
            (sps.id, sps.profile, sps.chroma_format, sps.bit_depth, sps.frames_only),
            (0, 100, 1, 8, true)
        );
        let short = sps_without_vui(&unit).unwrap();
        assert!(short.len() < unit.len());
        let again = Sps::parse(&short).unwrap();
        assert_eq!((again.id, again.profile, again.frames_only), (0, 100, true));
        for cut in 0..8 {
            assert!(Sps::parse(&unit[..cut]).is_err());
        }
    }

    #[test]
    fn absurd_numbers_are_refused() {
        // High profile, id 0, 4:2:0, then a bit depth with 31 leading zeros.
        let unit = [0x67, 100, 0, 30, 0b1010_0000, 0, 0, 0, 0b0000_1111, 255, 255, 255, 255, 255, 255, 255];
        assert!(Sps::parse(&unit).unwrap_err().to_string().contains("nonsensical"));
    }

    #[test]
    fn avc_config_round_trips() {
        let config = AvcConfig {
            profile_level: [100, 0, 30],
            length_size: 4,
            sps: vec![Bytes::from_static(b"\x67ab")],
            pps: vec![Bytes::from_static(b"\x68c"), Bytes::from_static(b"\x68d")],
            tail: Bytes::from_static(&[0xfd, 0xf8, 0xf8, 0]),
        };
        assert_eq!(AvcConfig::parse(&config.to_bytes()).unwrap(), config);
    }
}
