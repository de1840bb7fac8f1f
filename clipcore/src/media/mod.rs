//! Encoded media: tracks, samples, the ISO base media file format, H.264 syntax, and the ffmpeg program.
//!
//! Everything here is synchronous. ffmpeg is used as a program, never linked.

pub mod ffmpeg;
pub mod h264;
pub mod mp4;

use bytes::Bytes;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// What is known about a track before its first sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Pictures or sound.
    pub kind: TrackKind,
    /// Ticks per second.
    pub timescale: u32,
    /// The four-character code of the sample entry, for example `avc1`.
    pub fourcc: [u8; 4],
    /// The whole `stsd` box as the muxer made it.
    pub stsd: Bytes,
    /// Columns; 0 for sound.
    pub width: u32,
    /// Rows; 0 for sound.
    pub height: u32,
    /// Channels; 0 for pictures.
    pub channels: u16,
    /// Samples per second; 0 for pictures.
    pub sample_rate: u32,
    /// The payload of the codec configuration box (`avcC`, `hvcC`, `esds` …), empty where there is none.
    pub config: Bytes,
}

impl Track {
    /// Whether samples are H.264 with length prefixes.
    pub fn is_h264(&self) -> bool {
        matches!(&self.fourcc, b"avc1" | b"avc3")
    }

    /// Microseconds to ticks, rounded to nearest.
    pub fn ticks(&self, micros: i64) -> i64 {
        let n = i128::from(micros) * i128::from(self.timescale);
        (n + if n >= 0 { 500_000 } else { -500_000 }).div_euclid(1_000_000).try_into().unwrap_or(i64::MAX)
    }

    /// Ticks to microseconds, rounded to nearest.
    pub fn micros(&self, ticks: i64) -> i64 {
        let scale = i128::from(self.timescale.max(1));
        ((i128::from(ticks) * 1_000_000 + scale / 2).div_euclid(scale)).try_into().unwrap_or(i64::MAX)
    }

    /// The codec as RFC 6381 names it, for example `avc1.64001F`.
    pub fn codec_name(&self) -> String {
        let fourcc = String::from_utf8_lossy(&self.fourcc).into_owned();
        match &self.fourcc {
            b"avc1" | b"avc3" if self.config.len() > 3 => {
                format!("{fourcc}.{:02X}{:02X}{:02X}", self.config[1], self.config[2], self.config[3])
            }
            b"mp4a" => match mp4::aac_object_type(&self.config) {
                Some(object) => format!("mp4a.40.{object}"),
                None => fourcc,
            },
            _ => fourcc,
        }
    }
}

/// One encoded picture or block of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Index into the list of tracks.
    pub track: usize,
    /// Decode time in ticks.
    pub dts: i64,
    /// Presentation time in ticks.
    pub pts: i64,
    /// Duration in ticks, as far as the muxer knew.
    pub duration: u32,
    /// Whether decoding can begin here (a sync sample).
    pub sync: bool,
    /// The coded bytes.
    pub data: Bytes,
}
