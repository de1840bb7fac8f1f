//! Mel filter banks.

use serde::{Deserialize, Serialize};

use super::LogMelConfig;

/// Which formula turns hertz into mel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MelScale {
    /// O'Shaughnessy 1987, as HTK has it: `1127 · ln(1 + f/700)`.
    Htk,
    /// Slaney's Auditory Toolbox 1998, librosa's default: linear below 1 kHz, logarithmic above.
    Slaney,
}

const LINEAR_STEP: f64 = 200.0 / 3.0;
const BREAK_HZ: f64 = 1000.0;

impl MelScale {
    fn mel(self, hz: f64) -> f64 {
        match self {
            Self::Htk => 1127.0 * (hz / 700.0).ln_1p(),
            Self::Slaney if hz < BREAK_HZ => hz / LINEAR_STEP,
            Self::Slaney => BREAK_HZ / LINEAR_STEP + (hz / BREAK_HZ).ln() / log_step(),
        }
    }

    fn hz(self, mel: f64) -> f64 {
        let bend = BREAK_HZ / LINEAR_STEP;
        match self {
            Self::Htk => 700.0 * (mel / 1127.0).exp_m1(),
            Self::Slaney if mel < bend => mel * LINEAR_STEP,
            Self::Slaney => BREAK_HZ * ((mel - bend) * log_step()).exp(),
        }
    }
}

/// 27 steps from 1 kHz to 6.4 kHz.
fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

/// The axis over which the sides of triangles are straight lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sides {
    /// Hertz, as in librosa.
    #[default]
    Hertz,
    /// Mel, as in `tf.signal.linear_to_mel_weight_matrix`.
    Mel,
}

/// Bins that are weighed together.
const LANES: usize = 4;

/// The triangles of a filter bank over the bins of a spectrum. Their edges lie evenly on the mel scale.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    bands: Vec<Band>,
    /// The weights of one band after another, filled up with zeros to whole lanes.
    weights: Vec<[f32; LANES]>,
}

#[derive(Debug, Clone, Copy)]
struct Band {
    /// Its first bin.
    first: usize,
    /// How many of the weights are its own.
    lanes: usize,
}

impl Bank {
    pub(super) fn new(config: &LogMelConfig) -> Self {
        let LogMelConfig { mel: scale, bands, .. } = *config;
        let (from, to) = (scale.mel(config.low), scale.mel(config.high));
        let edge = |i: usize| from + (to - from) * i as f64 / (bands + 1) as f64;
        let bin_hz = |k: usize| k as f64 * f64::from(config.rate) / config.fft as f64;
        let mut bank = Self { bands: Vec::with_capacity(bands), weights: Vec::new() };
        for band in 0..bands {
            let edges = [edge(band), edge(band + 1), edge(band + 2)];
            let hz = edges.map(|mel| scale.hz(mel));
            let over_mel = config.sides == Sides::Mel;
            let [left, peak, right] = if over_mel { edges } else { hz };
            let height = if config.area { 2.0 / (hz[2] - hz[0]) } else { 1.0 };
            let weight = |k: usize| {
                let x = if over_mel { scale.mel(bin_hz(k)) } else { bin_hz(k) };
                (height * ((x - left) / (peak - left)).min((right - x) / (right - peak)).max(0.0)) as f32
            };
            let all: Vec<f32> = (0..=config.fft / 2).map(weight).collect();
            let first = all.iter().position(|w| *w > 0.0).unwrap_or(0);
            let end = all.iter().rposition(|w| *w > 0.0).map_or(first, |k| k + 1);
            let own = all[first..end].chunks(LANES);
            bank.bands.push(Band { first, lanes: own.len() });
            bank.weights.extend(own.map(|own| {
                let mut lanes = [0.0; LANES];
                lanes[..own.len()].copy_from_slice(own);
                lanes
            }));
        }
        bank
    }

    /// How many numbers there must be for so many bins: a band's last lanes reach beyond them.
    pub(super) fn room(bins: usize) -> usize {
        bins + LANES
    }

    /// What each band has of the bins, of which there is [`room`](Self::room).
    #[inline(always)]
    pub(super) fn weigh(&self, bins: &[f32], bands: &mut [f32]) {
        let mut weights = self.weights.as_slice();
        for (band, sum) in self.bands.iter().zip(bands) {
            let (own, rest) = weights.split_at(band.lanes);
            weights = rest;
            let mut lanes = [0.0f32; LANES];
            for (w, x) in own.iter().zip(bins[band.first..].as_chunks::<LANES>().0) {
                (0..LANES).for_each(|i| lanes[i] += w[i] * x[i]);
            }
            *sum = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
        }
    }
}
