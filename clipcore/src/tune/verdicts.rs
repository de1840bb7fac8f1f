use serde::Serialize;

use super::fit::set_threshold;
use super::{Judged, Verdict};
use crate::eval::folds;
use crate::fusion::Weights;
use crate::{Error, Result};

/// What is asked of a threshold that is learned from verdicts.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictOptions {
    /// A moment is worth finding where it is approved with at least this chance, 0–1 exclusive. The threshold with
    /// the best F1 lies where the chance is half of that F1 (Lipton et al. 2014, "Optimal thresholding of
    /// classifiers to maximize F1"), and the shipped weights have an F1 of about 0.6.
    pub worth: f64,
    /// The threshold is lowered by at most this much at a time, in logits: below the scores that were judged nothing
    /// is known until what is found there has been judged too.
    pub step: f64,
}

impl Default for VerdictOptions {
    fn default() -> Self {
        Self { worth: 0.3, step: 0.2 }
    }
}

/// Standard deviations of what is believed before any verdict: of the shift in logits, and of the slope about 1.
const SHIFT_SPREAD: f64 = 0.5;
const SLOPE_SPREAD: f64 = 0.25;
/// Approval rises with the score at least this fast.
const LEAST_SLOPE: f64 = 0.2;

/// The weights that found the judged moments, with their enter threshold moved to where people begin to approve.
///
/// The chance of approval is a logistic function of a moment's score, `logit(worth) + slope·(score − enter) + shift`,
/// fitted to the verdicts with a Gaussian prior that says that the threshold is right (maximum a posteriori): without
/// verdicts nothing moves, few verdicts move it little. Moments that somebody asked for by hand are left out.
///
/// Verdicts tell how good the found moments are. They tell nothing of what was not found, so weights and calibration stay
/// as they are, and a lower threshold is a guess about moments that nobody has judged.
///
/// # Errors
/// `InvalidInput` without verdicts to learn from; `Config` for options out of range or weights that contradict
/// themselves.
pub fn fit_verdicts(template: &Weights, judged: &[&Judged], options: &VerdictOptions) -> Result<Weights> {
    if !(options.worth > 0.0 && options.worth < 1.0 && options.step.is_finite() && options.step >= 0.0) {
        return Err(Error::config("worth must lie between 0 and 1, and step be 0 or more"));
    }
    let enter = template.decision.enter;
    let rows: Vec<(f64, f64)> = judged
        .iter()
        .filter(|j| !j.by_hand)
        .map(|j| (j.score - enter, f64::from(u8::from(j.verdict == Verdict::Approved))))
        .collect();
    if rows.is_empty() {
        return Err(Error::invalid("there is no verdict to learn from").with_hint(
            "approve or reject moments that clipcore found itself; those asked for by hand do not count",
        ));
    }
    let (shift, slope) = most_likely(&rows, (options.worth / (1.0 - options.worth)).ln());
    let highest = rows.iter().map(|(above, _)| *above).fold(0.0, f64::max);
    let moved = (-shift / slope).min(highest).max(-options.step);
    let least = template.bias + template.decision.hysteresis + 0.05;
    let mut weights = template.clone();
    weights.fitted_to.extend(judged.iter().map(|j| j.stream.to_string()));
    weights.fitted_to.sort();
    weights.fitted_to.dedup();
    set_threshold(&mut weights, ((enter + moved).max(least) * 1e3).round() / 1e3);
    weights.validate()?;
    Ok(weights)
}

/// Shift and slope with the highest posterior, by Newton's method on a convex function of two variables.
fn most_likely(rows: &[(f64, f64)], intercept: f64) -> (f64, f64) {
    let (mut shift, mut slope) = (0.0_f64, 1.0_f64);
    let (a, b) = (SHIFT_SPREAD.powi(-2), SLOPE_SPREAD.powi(-2));
    for _ in 0..100 {
        let mut g = [a * shift, b * (slope - 1.0)];
        let mut h = [a, 0.0, b];
        for (x, approved) in rows {
            let p = 1.0 / (1.0 + (-(intercept + slope * x + shift)).exp());
            let (error, spread) = (p - approved, p * (1.0 - p));
            g = [g[0] + error, g[1] + error * x];
            h = [h[0] + spread, h[1] + spread * x, h[2] + spread * x * x];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        shift -= step[0].clamp(-0.5, 0.5);
        slope -= step[1].clamp(-0.25, 0.25);
        if step.iter().all(|s| s.abs() < 1e-9) {
            break;
        }
    }
    (shift, slope.max(LEAST_SLOPE))
}

/// What a threshold that was learned from verdicts keeps of moments on streams that it has not learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct VerdictReport {
    /// Streams with verdicts.
    pub streams: usize,
    /// Moments that people approved.
    pub approved: usize,
    /// Moments that people rejected.
    pub rejected: usize,
    /// Approved moments that would still be found.
    pub approved_kept: usize,
    /// Rejected moments that would still be found.
    pub rejected_kept: usize,
}

impl VerdictReport {
    /// Of the judged moments, the share that people approved.
    pub fn precision_before(&self) -> f64 {
        self.approved as f64 / ((self.approved + self.rejected) as f64).max(1.0)
    }

    /// Of the judged moments that would still be found, the share that people approved.
    pub fn precision_after(&self) -> f64 {
        self.approved_kept as f64 / ((self.approved_kept + self.rejected_kept) as f64).max(1.0)
    }
}

/// Judges each stream's moments by a threshold learned from the verdicts on other streams, `k` groups of streams that
/// are dealt by chance from `seed`.
///
/// # Errors
/// As [`fit_verdicts`]; `InvalidInput` for fewer streams than groups or fewer than two groups.
pub fn cross_validate_verdicts(
    template: &Weights,
    all: &[Judged],
    k: usize,
    seed: u64,
    options: &VerdictOptions,
) -> Result<VerdictReport> {
    let groups = folds(all.iter().map(|j| j.stream.clone()), k, seed);
    let streams = groups.iter().map(Vec::len).sum();
    if k < 2 || streams < k {
        return Err(Error::invalid(format!("verdicts on {streams} streams cannot be split into {k} groups"))
            .with_hint("cross-validation needs at least two groups and as many streams as groups"));
    }
    let mut report = VerdictReport { streams, ..VerdictReport::default() };
    for group in groups {
        let (inside, outside): (Vec<&Judged>, Vec<_>) = all.iter().partition(|j| group.contains(&j.stream));
        let enter = fit_verdicts(template, &outside, options)?.decision.enter;
        for moment in inside {
            let kept = usize::from(moment.by_hand || moment.score >= enter);
            match moment.verdict {
                Verdict::Approved => {
                    report.approved += 1;
                    report.approved_kept += kept;
                }
                Verdict::Rejected => {
                    report.rejected += 1;
                    report.rejected_kept += kept;
                }
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::cases::Rng;
    use crate::cutter::Span;
    use crate::{StreamId, Timestamp};

    /// Moments that are approved with the chance `logit(score − middle)`.
    fn moments(n: u64, enter: f64, middle: f64) -> Vec<Judged> {
        let mut rng = Rng::new(n);
        (0..n)
            .map(|i| {
                let at = Timestamp::from_secs(i as i64 * 100);
                let score = enter - rng.unit().max(1e-9).ln();
                let chance = 1.0 / (1.0 + (-2.0 * (score - middle)).exp());
                let approved = rng.unit() < chance;
                Judged {
                    moment: format!("m{i}").into(),
                    stream: StreamId::new(format!("s{}", i % 7)).unwrap(),
                    span: Span { start: at, end: at },
                    peak: at,
                    score,
                    by_hand: false,
                    verdict: if approved { Verdict::Approved } else { Verdict::Rejected },
                }
            })
            .collect()
    }

    fn moved(judged: &[Judged]) -> f64 {
        let template = Weights::builtin().unwrap();
        let fitted =
            fit_verdicts(&template, &judged.iter().collect::<Vec<_>>(), &VerdictOptions::default()).unwrap();
        assert!(fitted.decision.provisional < fitted.decision.enter);
        fitted.decision.enter - template.decision.enter
    }

    #[test]
    fn rejections_raise_the_threshold_and_approvals_lower_it() {
        let enter = Weights::builtin().unwrap().decision.enter;
        assert!(moved(&moments(200, enter, enter + 1.0)) > 0.3);
        assert_eq!(
            moved(&moments(200, enter, enter - 2.0)),
            -0.2,
            "by a step, below which nothing was judged"
        );
        let few = moved(&moments(4, enter, enter + 9.0));
        assert!(few > 0.0 && few < moved(&moments(60, enter, enter + 9.0)), "few verdicts move it little");
        let hopeless = moments(500, enter, enter + 99.0);
        let highest = hopeless.iter().map(|j| j.score).fold(f64::MIN, f64::max);
        assert!(moved(&hopeless) <= highest - enter + 1e-3, "never above what was judged");
    }

    #[test]
    fn what_is_kept_is_judged_on_other_streams() {
        let template = Weights::builtin().unwrap();
        let enter = template.decision.enter;
        let judged = moments(400, enter, enter + 1.0);
        let report = cross_validate_verdicts(&template, &judged, 5, 1, &VerdictOptions::default()).unwrap();
        assert_eq!((report.streams, report.approved + report.rejected), (7, 400));
        assert!(report.precision_after() > report.precision_before() + 0.05, "{report:?}");
        assert!(report.approved_kept as f64 > 0.8 * report.approved as f64, "{report:?}");
        let one: Vec<Judged> = judged.into_iter().filter(|j| j.stream.as_str() == "s1").collect();
        assert!(cross_validate_verdicts(&template, &one, 5, 1, &VerdictOptions::default()).is_err());
    }

    #[test]
    fn moments_by_hand_teach_nothing() {
        let template = Weights::builtin().unwrap();
        let mut judged = moments(20, template.decision.enter, 99.0);
        judged.iter_mut().for_each(|j| j.by_hand = true);
        let refs: Vec<&Judged> = judged.iter().collect();
        assert!(fit_verdicts(&template, &refs, &VerdictOptions::default()).is_err());
    }
}
