use std::collections::BTreeMap;
use std::time::Duration;

use super::labels::by_stream;
use super::matching::pair;
use super::{Detection, Durations, Label};
use crate::cutter::Span;
use crate::rng::Rng;
use crate::{StreamId, Timestamp};

/// Chat messages per second of one stream, from second zero on; messages before zero are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(Vec<u32>);

impl Counts {
    /// Counts a message at `at`. Instants over a year after zero are left out, as they would need too much room.
    pub fn add(&mut self, at: Timestamp) {
        let Ok(second) = usize::try_from(at.as_micros().div_euclid(1_000_000)) else { return };
        if second > 366 * 86_400 {
            return;
        }
        if second >= self.0.len() {
            self.0.resize(second + 1, 0);
        }
        self.0[second] += 1;
    }

    /// Adds the counts of another part of the stream.
    pub fn merge(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// Messages in each second.
    pub fn per_second(&self) -> &[u32] {
        &self.0
    }

    /// Variance over mean of the counts in consecutive windows of `window_secs`: 1 for a Poisson process, more
    /// where messages cluster. `None` for fewer than two windows or no messages.
    pub fn fano(&self, window_secs: usize) -> Option<f64> {
        let sums: Vec<f64> =
            self.0.chunks_exact(window_secs.max(1)).map(|w| w.iter().map(|&c| f64::from(c)).sum()).collect();
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let variance = sums.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (sums.len().max(2) - 1) as f64;
        (sums.len() >= 2 && mean > 0.0).then(|| variance / mean)
    }
}

/// A classic detector of bursts in message counts, to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Messages in the last 10 s.
    FixedCount,
    /// Messages in the last 10 s, as a z-score against the 300 s before.
    TrailingZ,
    /// Exponentially weighted rate (10 s) against a winsorised slow mean and variance (180 s), silent for 60 s.
    EwmaZ,
}

impl Baseline {
    /// The threshold of [`EwmaZ`](Self::EwmaZ) that carried over between games when it was measured on two.
    pub const EWMA_THRESHOLD: f64 = 3.2;

    /// The score at the end of each second.
    pub fn scores(self, counts: &Counts) -> Vec<f64> {
        let x: Vec<f64> = counts.0.iter().map(|&c| f64::from(c)).collect();
        match self {
            Self::FixedCount => window_sums(&x, WINDOW),
            Self::TrailingZ => trailing_z(&x),
            Self::EwmaZ => ewma_z(&x),
        }
    }

    /// Thresholds worth trying in a fit.
    fn candidates(self) -> impl Iterator<Item = f64> {
        let (from, step) = if self == Self::FixedCount { (2.0, 2.0) } else { (0.6, 0.1) };
        (0..60).map(move |i| from + step * f64::from(i))
    }
}

const WINDOW: usize = 10;
const TRAILING: usize = 300;
const WARM_UP: usize = 60;

fn window_sums(x: &[f64], window: usize) -> Vec<f64> {
    let mut sum = 0.0;
    (0..x.len())
        .map(|i| {
            sum += x[i];
            if i >= window {
                sum -= x[i - window];
            }
            sum
        })
        .collect()
}

fn trailing_z(x: &[f64]) -> Vec<f64> {
    let now = window_sums(x, WINDOW);
    let squares: Vec<f64> = now.iter().map(|s| s * s).collect();
    let (sums, squares) = (window_sums(&now, TRAILING), window_sums(&squares, TRAILING));
    (0..x.len())
        .map(|i| {
            let n = i.saturating_sub(WINDOW - 1).min(TRAILING);
            if n < WARM_UP {
                return 0.0;
            }
            let mean = sums[i - WINDOW] / n as f64;
            let variance = (squares[i - WINDOW] / n as f64 - mean * mean).max(0.0);
            (now[i] - mean) / variance.sqrt().max(1.0)
        })
        .collect()
}

fn ewma_z(x: &[f64]) -> Vec<f64> {
    let alpha = |tau: f64| 1.0 - (-1.0 / tau).exp();
    let (fast, slow) = (alpha(10.0), alpha(180.0));
    let first = x.first().copied().unwrap_or(0.0);
    let (mut f, mut s, mut v) = (first, first, 1.0_f64);
    x.iter()
        .enumerate()
        .map(|(i, &x)| {
            f += fast * (x - f);
            let d = x.min(s + 3.0 * v.sqrt()) - s;
            s += slow * d;
            v += slow * (d * d - v);
            if i < WARM_UP { 0.0 } else { (f - s) / (v * fast / 2.0 + 1e-3).sqrt() }
        })
        .collect()
}

/// How alarms become moments: a refractory time between alarms, and a clip around each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmRule {
    /// No alarm for this long after an alarm.
    pub refractory: Duration,
    /// The clip starts this long before the alarm: chat is late.
    pub before: Duration,
    /// The clip ends this long after the alarm.
    pub after: Duration,
}

impl Default for AlarmRule {
    fn default() -> Self {
        Self {
            refractory: Duration::from_secs(45),
            before: Duration::from_secs(27),
            after: Duration::from_secs(5),
        }
    }
}

impl AlarmRule {
    fn detection(&self, stream: &StreamId, at: Timestamp, score: f64) -> Detection {
        let span = Span { start: at - self.before, end: at + self.after };
        Detection { stream: stream.clone(), span, peak: at, told_at: at, decided_at: at, score }
    }

    /// Alarms at the upward crossings of `threshold` by scores at the end of each second.
    pub fn alarms(&self, stream: &StreamId, scores: &[f64], threshold: f64) -> Vec<Detection> {
        let mut alarms = Vec::new();
        let (mut armed, mut quiet_until) = (true, Timestamp::MIN);
        for (second, &score) in scores.iter().enumerate() {
            let at = Timestamp::from_secs(second as i64 + 1);
            if score < threshold {
                armed = true;
            } else if armed && at >= quiet_until {
                alarms.push(self.detection(stream, at, score));
                quiet_until = at + self.refractory;
                armed = false;
            }
        }
        alarms
    }

    /// As many alarms on each stream as `like` has there, at random instants (seeded), a refractory time apart
    /// where there is room: the row that tells skill from luck.
    pub fn random(&self, durations: &Durations, like: &[Detection], seed: u64) -> Vec<Detection> {
        let mut alarms = Vec::new();
        for (stream, duration) in durations {
            let mut rng = Rng::fork(seed, stream.as_str());
            let wanted = like.iter().filter(|d| d.stream == *stream).count();
            // Uniform spacings with a dead time: draw in what remains, sort, and put the dead times back.
            let dead = (wanted.saturating_sub(1)) as f64 * self.refractory.as_secs_f64();
            let (room, dead) = match duration.as_secs_f64() - dead {
                room if room > 0.0 => (room, self.refractory.as_secs_f64()),
                _ => (duration.as_secs_f64(), 0.0),
            };
            let mut instants: Vec<f64> = (0..wanted).map(|_| rng.between(0.0, room)).collect();
            instants.sort_by(f64::total_cmp);
            alarms.extend(instants.into_iter().enumerate().map(|(i, t)| {
                let at = Timestamp::from_micros(((t + i as f64 * dead) * 1e6) as i64);
                self.detection(stream, at, rng.unit())
            }));
        }
        alarms
    }
}

/// Deals streams into `k` groups of nearly equal size, by chance (seeded), whatever order they come in.
pub fn folds(streams: impl IntoIterator<Item = StreamId>, k: usize, seed: u64) -> Vec<Vec<StreamId>> {
    let mut streams: Vec<StreamId> = streams.into_iter().collect();
    streams.sort();
    streams.dedup();
    Rng::new(seed).shuffle(&mut streams);
    let mut groups = vec![Vec::new(); k.max(1)];
    for (i, stream) in streams.into_iter().enumerate() {
        groups[i % k.max(1)].push(stream);
    }
    groups
}

/// Runs a baseline with its threshold fitted for F1 on the other folds, so that no stream is judged by a
/// threshold that has seen it.
pub fn cross_validated(
    baseline: Baseline,
    counts: &BTreeMap<StreamId, Counts>,
    labels: &[Label],
    rule: &AlarmRule,
    tolerance: Duration,
    folds: &[Vec<StreamId>],
) -> Vec<Detection> {
    let labels = by_stream(labels);
    let empty = Vec::new();
    // (hits, alarms + labels) of every stream at every candidate, summed per fold below.
    let mut found: BTreeMap<&StreamId, Vec<(usize, usize)>> = BTreeMap::new();
    for (stream, counts) in counts {
        let truth = labels.get(stream).unwrap_or(&empty);
        let scores = baseline.scores(counts);
        let at_each = baseline.candidates().map(|threshold| {
            let alarms = rule.alarms(stream, &scores, threshold);
            (pair(&alarms, truth, tolerance).iter().flatten().count(), alarms.len() + truth.len())
        });
        found.insert(stream, at_each.collect());
    }
    let mut detections = Vec::new();
    for fold in folds {
        let f1 = |i: usize| {
            let (hits, total) = found
                .iter()
                .filter(|(stream, _)| !fold.contains(stream))
                .fold((0, 0), |sum, (_, at)| (sum.0 + at[i].0, sum.1 + at[i].1));
            2.0 * hits as f64 / total.max(1) as f64
        };
        let best =
            baseline.candidates().enumerate().max_by(|a, b| f1(a.0).total_cmp(&f1(b.0)).then(b.0.cmp(&a.0)));
        let Some((_, threshold)) = best else { continue };
        for stream in fold {
            if let Some(counts) = counts.get(stream) {
                detections.extend(rule.alarms(stream, &baseline.scores(counts), threshold));
            }
        }
    }
    detections
}
