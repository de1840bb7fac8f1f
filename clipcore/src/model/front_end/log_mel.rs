use std::fmt;

use serde::{Deserialize, Serialize};

use super::frame::Frames;
use super::mel::{MelScale, Sides};
use crate::model::Tensor;
use crate::{Error, Result};

/// What is taken of each bin of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spectrum {
    /// Its absolute value.
    Magnitude,
    /// The square of that.
    Power,
}

/// Which logarithm is taken of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogScale {
    /// `ln`.
    Natural,
    /// `10 · log10`.
    Decibel,
}

/// How a log-mel spectrogram is made. Three conventions are common:
///
/// | | YAMNet | PANNs (16 kHz) | librosa |
/// |---|---|---|---|
/// | `window`, `hop`, `fft` | 400, 160, 512 | 512, 160, 512 | any |
/// | `centre` | false | true | true |
/// | `spectrum` | magnitude | power | power |
/// | `mel`, `sides`, `area` | htk, mel, false | slaney, hertz, true | slaney, hertz, true |
/// | `log` | natural, `offset` 0.001 | decibel, `floor` 1e-10 | decibel, `floor` 1e-10 |
///
/// The window is a periodic Hann window, shorter windows lie in the middle of the FFT where `centre` is set (librosa) and
/// at its beginning where it is not (TensorFlow).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogMelConfig {
    /// Samples per second.
    pub rate: u32,
    /// Length of the window in samples.
    pub window: usize,
    /// Samples from frame to frame.
    pub hop: usize,
    /// Points of the FFT.
    pub fft: usize,
    /// Frames are centred on multiples of `hop`, and the sound is mirrored at its ends.
    #[serde(default)]
    pub centre: bool,
    /// What is taken of each bin.
    pub spectrum: Spectrum,
    /// The mel scale.
    pub mel: MelScale,
    /// The axis over which triangles are straight.
    #[serde(default)]
    pub sides: Sides,
    /// Each triangle has the same area (Slaney) instead of the same height.
    #[serde(default)]
    pub area: bool,
    /// Number of bands.
    pub bands: usize,
    /// Lowest frequency, in Hz.
    pub low: f64,
    /// Highest frequency, in Hz.
    pub high: f64,
    /// The logarithm.
    pub log: LogScale,
    /// What is added to a band before the logarithm.
    #[serde(default)]
    pub offset: f32,
    /// What a band counts at least.
    #[serde(default)]
    pub floor: f32,
}

impl LogMelConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming what is out of range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::config(format!("log_mel: {what}")));
        if !(1_000..=192_000).contains(&self.rate) {
            return wrong("rate must be from 1000 to 192000");
        }
        if self.window == 0 || self.window > self.fft || self.fft > 1 << 16 || !self.fft.is_multiple_of(2) {
            return wrong("window must be from 1 to fft, and fft even and at most 65536");
        }
        if self.hop == 0 || self.hop > 1 << 16 {
            return wrong("hop must be from 1 to 65536");
        }
        if self.bands == 0 || self.bands > 512 {
            return wrong("bands must be from 1 to 512");
        }
        if !(self.low >= 0.0 && self.low < self.high && self.high <= f64::from(self.rate) / 2.0) {
            return wrong("low and high must be 0 ≤ low < high ≤ rate / 2");
        }
        let number = |x: f32| x.is_finite() && x >= 0.0;
        if !(number(self.offset) && number(self.floor) && self.offset + self.floor >= f32::MIN_POSITIVE) {
            return wrong("offset or floor must be above 0: silence has no logarithm");
        }
        Ok(())
    }

    /// How many samples `frames` frames are made of.
    pub fn samples(&self, frames: usize) -> usize {
        let steps = frames.saturating_sub(1) * self.hop;
        if self.centre { steps.max(1) } else { steps + self.window }
    }
}

/// Makes log-mel spectrograms. Keeps the FFT's plan and buffers, so that one patch after another costs no allocation but the
/// result.
#[derive(Clone)]
pub struct LogMel {
    config: LogMelConfig,
    frames: Frames,
    mirrored: Vec<f32>,
    /// The bands of the frames that were made last.
    made: Vec<f32>,
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogMel").field(&self.config).finish()
    }
}

impl LogMel {
    /// A front end with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: LogMelConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { frames: Frames::new(&config), config, mirrored: Vec::new(), made: Vec::new() })
    }

    /// The settings.
    pub fn config(&self) -> &LogMelConfig {
        &self.config
    }

    /// The spectrogram of a stretch of sound, `[frames, bands]`: as many whole frames as there are. Samples that are
    /// not numbers count as silence.
    pub fn run(&mut self, samples: &[f32]) -> Tensor {
        self.run_after(samples, None)
    }

    /// As [`run`](Self::run), for sound that begins `moved` samples after that of the last call began and goes on from
    /// it: frames that both have are not made again.
    pub fn run_after(&mut self, samples: &[f32], moved: Option<usize>) -> Tensor {
        let LogMelConfig { hop, bands, centre, .. } = self.config;
        let pad = if centre { self.config.fft / 2 } else { 0 };
        let length = if centre { self.config.fft } else { self.config.window };
        self.mirrored.clear();
        self.mirrored.extend((0..pad).rev().map(|i| mirrored(samples, -1 - i as isize)));
        self.mirrored.extend(samples.iter().map(|x| if x.is_finite() { *x } else { 0.0 }));
        self.mirrored.extend((0..pad).map(|i| mirrored(samples, (samples.len() + i) as isize)));
        let sound = std::mem::take(&mut self.mirrored);
        let frames = if sound.len() < length { 0 } else { (sound.len() - length) / hop + 1 };
        let mut out = Vec::with_capacity(frames * bands);
        // Centred frames at the ends hold mirrored sound, which is not what the next stretch has there.
        if let Some(moved) = moved.filter(|moved| !centre && moved % hop == 0) {
            let again = self.made.get(moved / hop * bands..).unwrap_or_default();
            out.extend_from_slice(&again[..again.len().min(frames * bands)]);
        }
        for frame in out.len() / bands..frames {
            let start = frame * hop;
            self.frames.bands(&sound[start..start + length], &mut out);
        }
        self.mirrored = sound;
        self.made.clone_from(&out);
        Tensor::from_shape_vec(vec![frames, bands], out).unwrap_or_default()
    }
}

/// The sample at a place outside the sound: it is mirrored at its first and last sample, which are not repeated.
fn mirrored(samples: &[f32], at: isize) -> f32 {
    let n = samples.len() as isize;
    if n == 0 {
        return 0.0;
    }
    let period = (2 * (n - 1)).max(1);
    let at = at.rem_euclid(period);
    let x = samples[at.min(period - at).clamp(0, n - 1) as usize];
    if x.is_finite() { x } else { 0.0 }
}
