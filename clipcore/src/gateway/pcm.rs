//! Sound in, by socket: a text message says what it is and where it begins, binary messages are its samples.

use std::time::Duration;

use serde::Deserialize;

use crate::event::media::AudioWindow;
use crate::{Error, Result, Timestamp, WallTime};

/// The longest piece.
const MAX_PIECE: Duration = Duration::from_secs(1);
/// Rates that sound is recorded with.
const RATES: [u32; 9] = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];
/// No sound has more channels.
const MAX_CHANNELS: u16 = 8;
/// Samples are nominally −1…1; what is far beyond is something else.
const MAX_LEVEL: f32 = 16.0;

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum PcmFormat {
    /// Whole numbers of 16 bits, little-endian.
    #[serde(rename = "s16le")]
    S16le,
    /// Floating-point numbers of 32 bits, little-endian, nominally −1…1.
    #[serde(rename = "f32le")]
    F32le,
}

impl PcmFormat {
    fn bytes(self) -> usize {
        match self {
            Self::S16le => 2,
            Self::F32le => 4,
        }
    }
}

/// What a text message says of the sound that follows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PcmSpec {
    /// How a sample is written.
    pub format: PcmFormat,
    /// Samples a second and channel.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
    /// Where the first sample lies on the stream's timeline.
    pub at: Option<Timestamp>,
    /// When it was taken, where `at` is not said.
    pub time: Option<WallTime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    pcm: Told,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    format: PcmFormat,
    rate: u32,
    #[serde(default = "one")]
    channels: u16,
    at: Option<f64>,
    time: Option<WallTime>,
}

fn one() -> u16 {
    1
}

impl PcmSpec {
    /// Whether a text message speaks of sound; every other one holds events.
    pub fn is_one(text: &str) -> bool {
        let inside = text.trim_start().strip_prefix('{');
        inside.is_some_and(|inside| inside.trim_start().starts_with("\"pcm\""))
    }

    /// Reads such a message.
    ///
    /// ```
    /// use clipcore::gateway::PcmSpec;
    ///
    /// let spec = PcmSpec::parse(r#"{"pcm":{"format":"s16le","rate":48000,"channels":2,"at":12.5}}"#)?;
    /// let window = spec.decode(&[0, 0, 0, 0x40])?;
    /// assert_eq!(*window.samples, [0.0, 0.5]);
    /// # Ok::<(), clipcore::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let example = r#"say {"pcm":{"format":"s16le","rate":48000,"channels":2,"at":SECONDS}}, or "time" in place of "at""#;
        let told: Announced = serde_json::from_str(text).map_err(|e| {
            Error::invalid("this does not say what the sound is").with_source(e).with_hint(example)
        })?;
        let Told { format, rate, channels, at, time } = told.pcm;
        if !RATES.contains(&rate) {
            let rates = RATES.map(|rate| rate.to_string()).join(", ");
            return Err(Error::invalid(format!("sound of {rate} samples a second is not taken"))
                .with_hint(format!("resample it to one of {rates}")));
        }
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(Error::invalid(format!("sound of {channels} channels is not taken"))
                .with_hint(format!("send 1 to {MAX_CHANNELS}, interleaved")));
        }
        if at.is_some() == time.is_some() {
            let text = "it must say where the first sample lies: either \"at\" or \"time\"";
            return Err(Error::invalid(text).with_hint(example));
        }
        let at = at.map(Timestamp::try_from_secs_f64).transpose()?;
        Ok(Self { format, rate, channels, at, time })
    }

    /// The samples of a binary message.
    ///
    /// # Errors
    /// `InvalidInput` where they are no whole number of samples for each channel, none, more than a second's, or no numbers
    /// that could be sound.
    pub fn decode(&self, bytes: &[u8]) -> Result<AudioWindow> {
        let frame = self.format.bytes() * usize::from(self.channels);
        if bytes.is_empty() || !bytes.len().is_multiple_of(frame) {
            return Err(Error::invalid(format!(
                "a piece of {} bytes is not made of samples of {frame} bytes for all channels",
                bytes.len()
            ))
            .with_hint("send whole samples, little-endian, as the message before said"));
        }
        let most = self.rate as usize * MAX_PIECE.as_millis() as usize / 1000;
        if bytes.len() / frame > most {
            return Err(Error::invalid(format!("a piece of {} samples is too long", bytes.len() / frame))
                .with_hint(format!("send at most {most} at once; 20 to 100 ms are usual")));
        }
        let samples: Vec<f32> = match self.format {
            PcmFormat::S16le => {
                bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect()
            }
            PcmFormat::F32le => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
        };
        if let Some(wrong) = samples.iter().position(|s| s.is_nan() || s.abs() > MAX_LEVEL) {
            return Err(Error::invalid(format!("sample {wrong} is {}, which is no sound", samples[wrong]))
                .with_hint("samples are numbers from -1 to 1"));
        }
        Ok(AudioWindow { rate: self.rate, channels: self.channels, samples: samples.into() })
    }

    /// Where the sample lies that comes after so many of each channel, the first lying at `begin`.
    pub fn after(&self, begin: Timestamp, samples: u64) -> Timestamp {
        begin.offset_micros((i128::from(samples) * 1_000_000 / i128::from(self.rate.max(1))) as i64)
    }

    /// How many samples of each channel so many bytes are, were they whole.
    pub(super) fn samples_in(&self, bytes: usize) -> u64 {
        (bytes / (self.format.bytes() * usize::from(self.channels.max(1)))) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &str) -> Result<PcmSpec> {
        PcmSpec::parse(&format!(r#"{{"pcm":{{"format":"f32le","rate":16000,{more}}}}}"#))
    }

    #[test]
    fn only_what_speaks_of_sound_is_taken_for_it() {
        assert!(PcmSpec::is_one(" { \"pcm\":1}") && PcmSpec::is_one(r#"{"pcm":{}}"#));
        for event in [r#"{"type":"marker","data":{"label":"pcm"}}"#, "[]", "pcm", "", r#"{"data":{"pcm":1}}"#]
        {
            assert!(!PcmSpec::is_one(event), "{event}");
        }
    }

    #[test]
    fn what_cannot_be_sound_is_refused_with_the_reason() {
        for (text, says) in [
            (r#"{"pcm":{"format":"mp3","rate":48000,"at":1}}"#, "mp3"),
            (r#"{"pcm":{"format":"s16le","rate":0,"at":1}}"#, "0 samples a second"),
            (r#"{"pcm":{"format":"s16le","rate":4000000000,"at":1}}"#, "4000000000 samples"),
            (r#"{"pcm":{"format":"s16le","rate":48000,"channels":0,"at":1}}"#, "0 channels"),
            (r#"{"pcm":{"format":"s16le","rate":48000,"channels":64,"at":1}}"#, "64 channels"),
            (r#"{"pcm":{"format":"s16le","rate":48000}}"#, "where the first sample lies"),
            (r#"{"pcm":{"format":"s16le","rate":48000,"at":1,"time":"2026-11-23T01:02:03Z"}}"#, "either"),
            (r#"{"pcm":{"format":"s16le","rate":48000,"at":1e300}}"#, "not a time"),
            (r#"{"pcm":{"format":"s16le","rate":48000,"at":1,"gain":2}}"#, "gain"),
        ] {
            let error = PcmSpec::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let two = spec(r#""channels":2,"at":1"#).unwrap();
        let floats = |all: &[f32]| all.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        for (bytes, says) in [
            (vec![], "a piece of 0 bytes"),
            (vec![0; 7], "samples of 8 bytes"),
            (vec![0; 12], "samples of 8 bytes"),
            (vec![0; 8 * 16001], "too long"),
            (floats(&[0.0, f32::NAN]), "sample 1 is NaN"),
            (floats(&[f32::INFINITY, 0.0]), "sample 0 is inf"),
            (floats(&[0.5, 12000.0]), "sample 1 is 12000"),
        ] {
            let error = two.decode(&bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let window = two.decode(&floats(&[0.5, -1.0, 0.25, 1.0])).unwrap();
        assert_eq!((window.frames(), window.rate, &*window.samples), (2, 16000, &[0.5, -1.0, 0.25, 1.0][..]));
        assert_eq!(two.after(Timestamp::from_secs(1), 24_000), Timestamp::from_micros(2_500_000));
    }
}
