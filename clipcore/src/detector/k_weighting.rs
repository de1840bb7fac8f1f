//! The frequency weighting of ITU-R BS.1770, on which EBU R128 loudness rests.
//!
//! The coefficients are computed for any rate as libebur128 does, and a test holds the result against the
//! `ebur128` crate. It is not that crate that runs, since its filter state can be neither saved nor
//! restored, and a detector has to continue exactly where it stopped.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Rates below this leave no room for the filter's shelf.
pub(super) const MIN_RATE: u32 = 4000;

/// A shelf (the head) followed by a high-pass, as second-order sections.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KWeighting {
    shelf: Section,
    high_pass: Section,
}

#[derive(Debug, Clone, PartialEq)]
struct Section {
    b: [f64; 3],
    a: [f64; 2],
}

/// The memory of one channel's filter.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Memory([f64; 4]);

impl KWeighting {
    /// The filter for sound of `rate` samples a second, at least [`MIN_RATE`].
    pub(super) fn new(rate: u32) -> Self {
        let rate = f64::from(rate.max(MIN_RATE));
        let (q, k) = (0.707_175_236_955_419_6, (PI * 1_681.974_450_955_533 / rate).tan());
        let vh = 10f64.powf(3.999_843_853_973_347 / 20.0);
        let vb = vh.powf(0.499_666_774_154_541_6);
        let a0 = 1.0 + k / q + k * k;
        let shelf = Section {
            b: [(vh + vb * k / q + k * k) / a0, 2.0 * (k * k - vh) / a0, (vh - vb * k / q + k * k) / a0],
            a: [2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0],
        };
        let (q, k) = (0.500_327_037_323_877_3, (PI * 38.135_470_876_024_44 / rate).tan());
        let a0 = 1.0 + k / q + k * k;
        let high_pass =
            Section { b: [1.0, -2.0, 1.0], a: [2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0] };
        Self { shelf, high_pass }
    }

    /// The next filtered sample of a channel.
    #[inline]
    pub(super) fn run(&self, memory: &mut Memory, x: f64) -> f64 {
        let m = &mut memory.0;
        let y = self.shelf.run(&mut m[0..2], x);
        self.high_pass.run(&mut m[2..4], y)
    }
}

impl Section {
    /// Transposed direct form II.
    #[inline]
    fn run(&self, m: &mut [f64], x: f64) -> f64 {
        let y = self.b[0] * x + m[0];
        m[0] = self.b[1] * x - self.a[0] * y + m[1];
        m[1] = self.b[2] * x - self.a[1] * y;
        y
    }
}

impl Memory {
    /// Drops what is too small to hear; denormal numbers would slow silence down.
    pub(super) fn flush(&mut self) {
        for m in &mut self.0 {
            if m.abs() < 1e-15 {
                *m = 0.0;
            }
        }
    }
}

/// How much a channel counts: the surrounds of 4 and more channels 1.41, the low-frequency one nothing.
pub(super) fn channel_weight(channel: usize, channels: usize) -> f64 {
    let surrounds = match channels {
        0..=3 => return 1.0,
        4 => 2..4,
        5 => 3..5,
        _ if channel == 3 => return 0.0,
        _ => 4..6,
    };
    if surrounds.contains(&channel) {
        1.41
    } else if channel < surrounds.start {
        1.0
    } else {
        0.0
    }
}
