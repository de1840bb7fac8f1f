use std::f64::consts::{LOG10_E, TAU};

use rten_simd::{Isa, SimdOp};

use super::LogMelConfig;
use super::log_mel::{LogScale, Spectrum};
use super::mel::Bank;
use super::spectrum::Spectra;

/// Makes the bands of one frame after another.
#[derive(Clone)]
pub(super) struct Frames {
    config: LogMelConfig,
    window: Vec<f32>,
    frame: Vec<f32>,
    spectra: Spectra,
    bins: Vec<f32>,
    bank: Bank,
}

impl Frames {
    /// The settings have been checked.
    pub(super) fn new(config: &LogMelConfig) -> Self {
        let hann = |i: usize| 0.5 - 0.5 * (TAU * i as f64 / config.window as f64).cos();
        Self {
            window: (0..config.window).map(|i| hann(i) as f32).collect(),
            frame: vec![0.0; config.fft],
            spectra: Spectra::new(config.fft),
            bins: vec![0.0; Bank::room(config.fft / 2 + 1)],
            bank: Bank::new(config),
            config: config.clone(),
        }
    }

    /// Appends the bands of a frame: as many finite samples as the window has, or the FFT where frames are centred.
    pub(super) fn bands(&mut self, sound: &[f32], out: &mut Vec<f32>) {
        let lead = (sound.len() - self.config.window) / 2;
        let place = if self.config.centre { lead } else { 0 };
        // What is outside of the window stays zero.
        let slots = self.frame[place..].iter_mut();
        slots.zip(&sound[lead..]).zip(&self.window).for_each(|((slot, x), w)| *slot = x * w);
        self.spectra.transform(&self.frame);
        let from = out.len();
        out.resize(from + self.config.bands, 0.0);
        Weigh { frames: self, out: &mut out[from..] }.dispatch();
    }
}

/// All that comes after the FFT, compiled for each instruction set. It multiplies and adds one after the other
/// in all of them, so that they give the same bits.
struct Weigh<'a> {
    frames: &'a mut Frames,
    out: &'a mut [f32],
}

impl SimdOp for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Frames { config, spectra, bins, bank, .. } = self.frames;
        spectra.squares(bins);
        if config.spectrum == Spectrum::Magnitude {
            bins.iter_mut().for_each(|bin| *bin = bin.sqrt());
        }
        bank.weigh(bins, self.out);
        let (floor, offset) = (config.floor, config.offset);
        let scale = match config.log {
            LogScale::Natural => 1.0,
            LogScale::Decibel => (10.0 * LOG10_E) as f32,
        };
        for band in self.out {
            *band = scale * ln(band.max(floor) + offset);
        }
    }
}

/// The natural logarithm of a normal number above 0, to 1e-7 of the larger of it and 1, without a branch: Cephes' `logf`.
#[inline(always)]
fn ln(x: f32) -> f32 {
    const SQRT_HALF: i32 = 0x3f35_04f3;
    const COEFFICIENTS: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let bits = x.to_bits().cast_signed();
    let exponent = (bits - SQRT_HALF) >> 23;
    let m = f32::from_bits((bits - (exponent << 23)).cast_unsigned()) - 1.0;
    let e = exponent as f32;
    let y = COEFFICIENTS.iter().fold(0.0, |y, c| y * m + c);
    let square = m * m;
    // ln 2 in two parts, of which the larger has few bits.
    (m + (y * m * square - 2.121_944_4e-4 * e - 0.5 * square)) + 0.693_359_4 * e
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn the_logarithm_is_right_over_the_whole_range() {
        let mut x = f32::MIN_POSITIVE;
        while x < f32::MAX / 2.0 {
            let exact = f64::from(x).ln();
            assert!(
                (f64::from(ln(x)) - exact).abs() <= 1.2e-7 * exact.abs().max(1.0),
                "ln {x} is not {}",
                ln(x)
            );
            x *= 1.000_37;
        }
        assert_eq!(ln(1.0), 0.0);
    }
}
