use std::f64::consts::TAU;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// The spectrum of real sound by an FFT of half its length: pairs of samples are its complex numbers, and what belongs
/// to even and to odd samples is told apart afterwards (Press et al., Numerical Recipes, §12.3).
#[derive(Clone)]
pub(super) struct Spectra {
    plan: Arc<dyn Fft<f32>>,
    packed: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    /// Half of cos and −sin of 2πk/n, k from 1.
    half_cos: Vec<f32>,
    half_sin: Vec<f32>,
    /// Numbers k from 1, and those as far from the end, as four rows: real, imaginary, real, imaginary.
    rows: [Vec<f32>; 4],
}

impl Spectra {
    /// For frames of `n` samples, an even number.
    pub(super) fn new(n: usize) -> Self {
        let half = n / 2;
        let plan = FftPlanner::new().plan_fft_forward(half);
        let pairs = half.saturating_sub(1) / 2;
        let turn = |k: usize| (-TAU * k as f64 / n as f64).sin_cos();
        Self {
            packed: vec![Complex::default(); half],
            scratch: vec![Complex::default(); plan.get_inplace_scratch_len()],
            half_cos: (1..=pairs).map(|k| (0.5 * turn(k).1) as f32).collect(),
            half_sin: (1..=pairs).map(|k| (0.5 * turn(k).0) as f32).collect(),
            rows: std::array::from_fn(|_| vec![0.0; pairs]),
            plan,
        }
    }

    /// Takes a frame in.
    pub(super) fn transform(&mut self, frame: &[f32]) {
        for (slot, pair) in self.packed.iter_mut().zip(frame.as_chunks::<2>().0) {
            *slot = Complex::new(pair[0], pair[1]);
        }
        self.plan.process_with_scratch(&mut self.packed, &mut self.scratch);
    }

    /// The squares of the absolute values of its bins, `n / 2 + 1` of them.
    #[inline(always)]
    pub(super) fn squares(&mut self, squares: &mut [f32]) {
        let (z, half) = (&self.packed, self.packed.len());
        let n = self.half_cos.len();
        squares[0] = (z[0].re + z[0].im).powi(2);
        squares[half] = (z[0].re - z[0].im).powi(2);
        if half.is_multiple_of(2) {
            squares[half / 2] = z[half / 2].norm_sqr();
        }
        let [re, im, back_re, back_im] = &mut self.rows;
        for ((z, re), im) in z[1..=n].iter().zip(&mut *re).zip(&mut *im) {
            (*re, *im) = (z.re, z.im);
        }
        for ((z, re), im) in z[half - n..].iter().rev().zip(&mut *back_re).zip(&mut *back_im) {
            (*re, *im) = (z.re, z.im);
        }
        // Slices of one known length: the loop is vectorised without checks.
        let (re, im, back_re, back_im) = (&mut re[..n], &im[..n], &back_re[..n], &back_im[..n]);
        let (cos, sin, low) = (&self.half_cos[..n], &self.half_sin[..n], &mut squares[1..=n]);
        for k in 0..n {
            let even = (0.5 * (re[k] + back_re[k]), 0.5 * (im[k] - back_im[k]));
            let difference = (re[k] - back_re[k], im[k] + back_im[k]);
            let odd = (
                cos[k] * difference.1 + sin[k] * difference.0,
                sin[k] * difference.1 - cos[k] * difference.0,
            );
            low[k] = (even.0 + odd.0).powi(2) + (even.1 + odd.1).powi(2);
            re[k] = (even.0 - odd.0).powi(2) + (even.1 - odd.1).powi(2);
        }
        for (slot, square) in squares[half - n..half].iter_mut().rev().zip(re.iter()) {
            *slot = *square;
        }
    }
}
