use crate::rng::Rng;

/// A self-exciting point process with an exponential kernel (Hawkes 1971): each message draws `branching` answers
/// on average, each after an exponential delay with mean `decay` seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hawkes {
    pub(super) rate: f64,
    pub(super) branching: f64,
    pub(super) decay: f64,
}

/// Above this share of answers a process of finite length is hardly stationary any more.
const MAX_BRANCHING: f64 = 0.95;

impl Hawkes {
    /// The process of mean `rate` per second whose counts in windows of `window` seconds have the wanted Fano
    /// factor (variance over mean); the nearest possible where none has.
    pub(super) fn with_fano(rate: f64, fano: f64, window: f64, decay: f64) -> Self {
        let at = |branching| Self { rate, branching, decay };
        let (mut low, mut high) = (0.0, MAX_BRANCHING);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if at(middle).fano(window) < fano { low = middle } else { high = middle }
        }
        at(low)
    }

    /// Variance over mean of the counts in windows of `window` seconds.
    ///
    /// From the covariance density of the process, β·n(2 − n)/(2(1 − n))·e^(−β(1 − n)·lag) a unit of rate, with
    /// β = 1/decay and n = branching (Hawkes 1971, eq. 16), integrated over the window.
    pub(super) fn fano(&self, window: f64) -> f64 {
        let (n, beta) = (self.branching, 1.0 / self.decay);
        let b = beta * (1.0 - n);
        let a = beta * n * (2.0 - n) / (2.0 * (1.0 - n));
        1.0 + 2.0 * a * (1.0 / b - (1.0 - (-b * window).exp()) / (b * b * window))
    }

    /// Instants in [0, length), sorted. The process is started early enough to be stationary at 0.
    pub(super) fn sample(&self, length: f64, rng: &mut Rng) -> Vec<f64> {
        let fresh = self.rate * (1.0 - self.branching);
        let mut times = Vec::new();
        if fresh <= 0.0 {
            return times;
        }
        let mut pending = Vec::new();
        let mut t = -20.0 * self.decay / (1.0 - self.branching);
        loop {
            t += rng.exponential(1.0 / fresh);
            if t >= length {
                break;
            }
            pending.push(t);
            while let Some(parent) = pending.pop() {
                if parent >= 0.0 {
                    times.push(parent);
                }
                for _ in 0..rng.poisson(self.branching) {
                    let child = parent + rng.exponential(self.decay);
                    if child < length {
                        pending.push(child);
                    }
                }
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::eval::Counts;

    #[test]
    fn rate_and_fano_factor_are_the_wanted_ones() {
        for (seed, fano) in [(1, 1.0), (2, 2.5), (3, 4.0), (4, 6.4)] {
            let process = Hawkes::with_fano(2.0, fano, 10.0, 8.0);
            assert!((process.fano(10.0) - fano).abs() < 1e-3, "{process:?}");
            let length = 60_000.0;
            let times = process.sample(length, &mut Rng::new(seed));
            let rate = times.len() as f64 / length;
            assert!((rate - 2.0).abs() < 0.08, "rate {rate} for Fano {fano}");
            let mut counts = Counts::default();
            times.iter().for_each(|t| counts.add(Timestamp::from_micros((t * 1e6) as i64)));
            let measured = counts.fano(10).unwrap();
            assert!((measured / fano - 1.0).abs() < 0.1, "Fano {measured}, wanted {fano}");
        }
    }

    #[test]
    fn no_rate_gives_no_messages() {
        assert!(Hawkes::with_fano(0.0, 4.0, 10.0, 8.0).sample(1000.0, &mut Rng::new(1)).is_empty());
    }
}
