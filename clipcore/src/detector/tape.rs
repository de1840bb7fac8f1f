//! The last second or so of uninterrupted sound, addressed by instants.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::event::media::Audio16k;

/// Timestamps may be this far off the count of samples before sound counts as interrupted.
const TOLERANCE_US: i64 = 20_000;

/// Where a sample stands in uninterrupted sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Where the sound began.
    since: Timestamp,
    /// Samples before this one.
    sample: u64,
}

impl Place {
    /// `sample` samples into sound that began at `since`.
    pub fn new(since: Timestamp, sample: u64) -> Self {
        Self { since, sample }
    }

    /// How many samples it lies after `earlier`; `None` where it does not, or the sound was interrupted between them.
    pub fn after(self, earlier: Self) -> Option<usize> {
        let moved = (self.since == earlier.since).then(|| self.sample.checked_sub(earlier.sample))??;
        usize::try_from(moved).ok()
    }
}

/// The last second or so of uninterrupted sound at 16 kHz, addressed by instants: what a detector keeps that looks at
/// windows of its own length.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tape {
    /// Where the uninterrupted sound began.
    since: Option<Timestamp>,
    /// Samples since then.
    heard: u64,
    /// The last of them.
    #[serde(with = "digits")]
    samples: Vec<f32>,
}

impl Tape {
    /// Takes sound in that starts at `at`; keeps at least the last `keep` samples. Overlapping sound is heard once, a
    /// hole begins the tape anew: then it says so.
    pub fn push(&mut self, at: Timestamp, samples: &[f32], keep: usize) -> bool {
        let off = self.now().map_or(i64::MAX, |now| at.micros_since(now));
        let begins = off > TOLERANCE_US;
        if begins {
            *self = Self { since: Some(at), heard: 0, samples: Vec::new() };
        }
        let overlap = if off < -TOLERANCE_US { off.unsigned_abs() } else { 0 };
        let skip = usize::try_from(u128::from(overlap) * u128::from(Audio16k::RATE) / 1_000_000)
            .unwrap_or(usize::MAX);
        let new = &samples[skip.min(samples.len())..];
        self.heard += new.len() as u64;
        // Moves the rest to the front now and then, not with each block.
        if self.samples.len() > 2 * keep {
            self.samples.drain(..self.samples.len() - keep);
        }
        self.samples.extend(new.iter().map(|x| if x.is_finite() { x.clamp(-8.0, 8.0) } else { 0.0 }));
        begins
    }

    /// The instant just after the last sample.
    pub fn now(&self) -> Option<Timestamp> {
        let us = u128::from(self.heard) * 1_000_000 / u128::from(Audio16k::RATE);
        Some(self.since?.offset_micros(i64::try_from(us).unwrap_or(i64::MAX)))
    }

    /// The `n` samples before `end`, and the place of the first one; `None` where not all of them are there (yet, or any
    /// more).
    pub fn before(&self, end: Timestamp, n: usize) -> Option<(Place, &[f32])> {
        let until = u64::try_from(end.micros_since(self.since?)).ok()?;
        let until = (u128::from(until) * u128::from(Audio16k::RATE)).div_ceil(1_000_000) as u64;
        let first = self.heard - self.samples.len() as u64;
        let sample = until.checked_sub(n as u64)?;
        let from = usize::try_from(sample.checked_sub(first)?).ok()?;
        Some((Place { since: self.since?, sample }, self.samples.get(from..from + n)?))
    }
}

/// Samples as one text of hexadecimal digits, exact and a fifth of the size of JSON numbers.
pub(super) mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::detector) fn serialize<S: Serializer>(samples: &[f32], s: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_be_bytes()).collect();
        s.serialize_str(&crate::hex(&bytes))
    }

    pub(in crate::detector) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f32>, D::Error> {
        let text = String::deserialize(d)?;
        let samples = text.as_bytes().chunks(8).map(|eight| {
            let bits = std::str::from_utf8(eight).ok().and_then(|t| u32::from_str_radix(t, 16).ok());
            bits.map(f32::from_bits).filter(|x| x.is_finite())
        });
        samples.collect::<Option<_>>().ok_or_else(|| de::Error::custom("samples are not hexadecimal digits"))
    }
}
