/// A small seeded generator for simulators, resampling and random baselines; never for secrets.
///
/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): 64 bits of
/// state, period 2⁶⁴, the same numbers on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent generator for a named part of a run, so that changing one part leaves the others alone.
    pub(crate) fn fork(seed: u64, part: &str) -> Self {
        let hash = part
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut mixed = Self(seed ^ hash);
        Self(mixed.u64())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n; 0 where `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.u64()) * n as u128) >> 64) as usize
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with the given mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Poisson by counting exponential gaps; the work grows with the mean.
    pub(crate) fn poisson(&mut self, mean: f64) -> usize {
        let mut left = mean;
        let mut n = 0;
        loop {
            left -= self.exponential(1.0);
            if left < 0.0 {
                return n;
            }
            n += 1;
        }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper() {
        // The reference implementation (Vigna, splitmix64.c) seeded with 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn distributions_have_their_means_and_variances() {
        let mut rng = Rng::new(7);
        let n = 40_000;
        let moments = |mut draw: Box<dyn FnMut() -> f64>| {
            let xs: Vec<f64> = (0..n).map(|_| draw()).collect();
            let mean = xs.iter().sum::<f64>() / n as f64;
            (mean, xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
        };
        let mut r = rng.clone();
        let (mean, var) = moments(Box::new(move || r.normal()));
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "normal {mean} {var}");
        let mut r = rng.clone();
        let (mean, var) = moments(Box::new(move || r.poisson(4.0) as f64));
        assert!((mean - 4.0).abs() < 0.06 && (var - 4.0).abs() < 0.2, "poisson {mean} {var}");
        let mut r = rng.clone();
        let (mean, var) = moments(Box::new(move || r.exponential(2.0)));
        assert!((mean - 2.0).abs() < 0.06 && (var - 4.0).abs() < 0.3, "exponential {mean} {var}");
        let mut seen = [0; 5];
        (0..n).for_each(|_| seen[rng.below(5)] += 1);
        assert!(seen.iter().all(|&k| (f64::from(k) / n as f64 - 0.2).abs() < 0.01), "{seen:?}");
    }
}
