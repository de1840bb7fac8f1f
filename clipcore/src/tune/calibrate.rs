//! From scores to log-likelihood ratios, out of what positive and other instants look like.

use std::time::Duration;

use super::Example;
use crate::detector::Signal;
use crate::fusion::{Calibration, Role};
use crate::{Result, Timestamp};

/// Scores are put into this many bins.
const BINS: usize = 12;
/// Fewer instants with a signal than this teach nothing.
const LEAST: usize = 1000;
/// Instants of each kind that are taken to have been seen in every bin beforehand.
const PRIOR: f64 = 5.0;

/// The instants, once a second, at which a stream is looked at.
pub(super) fn seconds(example: &Example) -> impl Iterator<Item = Timestamp> + use<> {
    let at = |s: Option<&Signal>| s.map_or(0, |s| s.at.as_micros().div_euclid(1_000_000));
    (at(example.signals.first())..=at(example.signals.last())).map(Timestamp::from_secs)
}

/// Whether evidence of this role at `at` is evidence of a true moment.
pub(super) fn is_positive(example: &Example, role: Role, at: Timestamp) -> bool {
    let after = if role == Role::Late { super::tally::TOLERANCE } else { Duration::from_secs(2) };
    example.labels.iter().any(|l| l.start <= at && at <= l.end + after)
}

/// Learns the points of one calibration; keeps those it has where there is too little to learn from.
///
/// Scores are put into bins of like size; each bin's log-likelihood ratio is the log of its share of positive
/// over its share of other instants, less the same of the instants without a signal; pooling adjacent
/// violators makes it rise with the score (Zadrozny & Elkan 2002).
///
/// # Errors
/// Never so far; calibrations that come out are checked with the weights.
pub(super) fn calibrate(old: &Calibration, role: Role, examples: &[&Example]) -> Result<Calibration> {
    let (mut scored, mut silent) = (Vec::new(), [0.0, 0.0]);
    for example in examples {
        let mut mine = example
            .signals
            .iter()
            .filter(|s| *s.detector == *old.detector && (old.label == "*" || *s.label == *old.label))
            .peekable();
        for second in seconds(example) {
            let mut best: Option<f64> = None;
            while let Some(signal) = mine.next_if(|s| s.at <= second) {
                best = Some(best.map_or(signal.score, |b| b.max(signal.score)));
            }
            let positive = is_positive(example, role, second);
            match best {
                Some(score) => scored.push((score, positive)),
                None => silent[usize::from(positive)] += 1.0,
            }
        }
    }
    if scored.len() < LEAST {
        return Ok(old.clone());
    }
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = scored.iter().filter(|(_, p)| *p).count() as f64 + silent[1];
    let others = scored.iter().filter(|(_, p)| !*p).count() as f64 + silent[0];
    let ratio =
        |p: f64, n: f64| ((p + PRIOR) / (positives + PRIOR)).ln() - ((n + PRIOR) / (others + PRIOR)).ln();
    let nothing = ratio(silent[1], silent[0]);

    let bins = scored.chunks(scored.len().div_ceil(BINS)).map(|bin| {
        let p = bin.iter().filter(|(_, p)| *p).count() as f64;
        let score = bin.iter().map(|(s, _)| s).sum::<f64>() / bin.len() as f64;
        (score, ratio(p, bin.len() as f64 - p) - nothing, bin.len() as f64)
    });
    Ok(Calibration { points: rising(bins), ..old.clone() })
}

/// Pools adjacent violators, and leaves out points that lie between equal neighbours.
fn rising(bins: impl Iterator<Item = (f64, f64, f64)>) -> Vec<[f64; 2]> {
    // Each block: mean value, weight, first and last score.
    let mut blocks: Vec<(f64, f64, f64, f64)> = Vec::new();
    for (score, value, weight) in bins {
        let mut block = (value, weight, score, score);
        while let Some(last) = blocks.last()
            && last.0 >= block.0
        {
            let weight = last.1 + block.1;
            block = ((last.0 * last.1 + block.0 * block.1) / weight, weight, last.2, block.3);
            blocks.pop();
        }
        blocks.push(block);
    }
    let round = |x: f64| (x * 1e3).round() / 1e3;
    let mut points: Vec<[f64; 2]> = Vec::new();
    for (value, _, first, last) in blocks {
        for score in [first, last] {
            let point = [round(score), round(value.max(0.0))];
            if points.last().is_none_or(|p| p[0] < point[0]) {
                points.push(point);
            }
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_rise_whatever_the_bins_say() {
        let bins = [(1.0, 0.5), (2.0, 0.2), (3.0, 0.9), (4.0, 0.8), (5.0, 2.0)];
        let points = rising(bins.iter().map(|(s, v)| (*s, *v, 1.0)));
        assert_eq!(points, [[1.0, 0.35], [2.0, 0.35], [3.0, 0.85], [4.0, 0.85], [5.0, 2.0]]);
    }
}
