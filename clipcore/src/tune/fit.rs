use std::sync::Arc;
use std::time::Duration;

use super::{Example, Tally, calibrate, logistic, tally};
use crate::eval::folds;
use crate::fusion::{FusionSetup, Moment, Role, Weights, trace};
use crate::{Error, Result};

/// What is asked of the weights that are fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneOptions {
    /// False alarms an hour that are tolerated.
    pub max_false_alarms_per_hour: f64,
    /// How long the median clip may be.
    pub median_clip: Duration,
    /// How long all but a tenth of the clips may be.
    pub longest_clip: Duration,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            max_false_alarms_per_hour: 7.5,
            median_clip: Duration::from_millis(44_500),
            longest_clip: Duration::from_secs(90),
        }
    }
}

/// Weights fitted to these streams; what the template says stays where the streams teach nothing.
///
/// Groups whose weight is 0 in the template stay out: they name moments and find none.
///
/// 1. Each calibration: isotonic log-likelihood ratios of its scores (instants, once a second).
/// 2. Bias and group weights: logistic regression of being in a true moment on the groups' remembered evidence.
/// 3. The enter threshold: the best F1 within the tolerated false alarms, smoothed over its neighbours.
///    Hysteresis stays, and `provisional` lies a third of the way from bias to enter: a provisional
///    moment costs no clip.
/// 4. The bounds of moments of chat alone: most labels inside their clip within the median length.
///
/// # Errors
/// `InvalidInput` without streams, labels or signals; `Config` for a template that contradicts itself.
pub fn fit(template: &Weights, examples: &[&Example], options: &TuneOptions) -> Result<Weights> {
    if !examples.iter().any(|e| !e.labels.is_empty() && !e.signals.is_empty()) {
        return Err(Error::invalid("there is nothing to learn from: no stream has both signals and labels")
            .with_hint("check that the stream names in the labels are those of the events"));
    }
    let mut weights = template.clone();
    // What is kept of the template may come from its streams.
    weights.fitted_to.extend(examples.iter().map(|e| e.stream.to_string()));
    weights.fitted_to.sort();
    weights.fitted_to.dedup();
    let setup = FusionSetup::try_new(template.clone())?;
    for (i, calibration) in weights.calibration.iter_mut().enumerate() {
        // What only names moments is not fitted to where moments are.
        if template.groups[&calibration.group].weight == 0.0 {
            continue;
        }
        *calibration = calibrate::calibrate(calibration, trace::role_of(&setup, i), examples)?;
    }
    fit_groups(&mut weights, examples)?;
    fit_threshold(&mut weights, examples, options)?;
    fit_chat_bounds(&mut weights, examples, options)?;
    weights.validate()?;
    Ok(weights)
}

fn fit_groups(weights: &mut Weights, examples: &[&Example]) -> Result<()> {
    let setup = FusionSetup::try_new(weights.clone())?;
    let out: Vec<bool> = weights.groups.values().map(|g| g.weight == 0.0).collect();
    let mut rows = Vec::new();
    for example in examples {
        let mut features = trace::group_llrs(&setup, &example.signals, calibrate::seconds(example));
        for row in &mut features {
            row.iter_mut().zip(&out).filter(|(_, out)| **out).for_each(|(x, _)| *x = 0.0);
        }
        let outcomes = calibrate::seconds(example).map(|t| calibrate::is_positive(example, Role::Late, t));
        rows.extend(features.into_iter().zip(outcomes));
    }
    let (bias, fitted) = logistic::fit(&rows);
    let round = |x: f64| (x * 1e3).round() / 1e3;
    weights.bias = round(bias);
    for (i, group) in weights.groups.values_mut().enumerate() {
        // A group without any evidence in these streams keeps what it has.
        if rows.iter().any(|(x, _)| x[i] != 0.0) {
            group.weight = round(fitted[i]);
        }
    }
    Ok(())
}

/// Thresholds are tried this far apart, in logits.
const STEP: f64 = 0.05;

fn fit_threshold(weights: &mut Weights, examples: &[&Example], options: &TuneOptions) -> Result<()> {
    let first = weights.bias + weights.decision.hysteresis + STEP;
    let mut tried: Vec<(f64, Tally)> = Vec::new();
    for i in 0..100 {
        let enter = ((first + f64::from(i) * STEP) * 1e3).round() / 1e3;
        set_threshold(weights, enter);
        let result = tally(weights, examples.iter().copied())?;
        let over = result.moments == 0;
        tried.push((enter, result));
        if over {
            break;
        }
    }
    let smooth = |i: usize| {
        let near = &tried[i.saturating_sub(1)..tried.len().min(i + 2)];
        near.iter().map(|(_, t)| t.f1()).sum::<f64>() / near.len() as f64
    };
    let allowed = |i: &usize| tried[*i].1.false_alarms_per_hour() <= options.max_false_alarms_per_hour;
    let best = (0..tried.len()).filter(allowed).max_by(|a, b| smooth(*a).total_cmp(&smooth(*b)));
    set_threshold(weights, best.map_or(first, |i| tried[i].0));
    Ok(())
}

/// Sets the enter threshold, and the provisional one a third of the way from the bias to it.
pub(super) fn set_threshold(weights: &mut Weights, enter: f64) {
    weights.decision.enter = enter;
    let third = weights.bias + (enter - weights.bias) / 3.0;
    weights.decision.provisional = (third * 1e3).round() / 1e3;
}

/// Looks for the clips of moments of chat alone that hold most labels whole, where the median clip may have the length
/// that is asked for and a tenth of them may be longer than `longest_clip`.
///
/// The least length is the median itself; the later a clip ends, the more of them are longer, so that for each start
/// and stretch the latest end that keeps the median is found by bisection.
fn fit_chat_bounds(weights: &mut Weights, examples: &[&Example], options: &TuneOptions) -> Result<()> {
    let longest = options.longest_clip.as_secs_f64();
    let median = options.median_clip.as_secs_f64();
    let mut best: Option<(f64, Weights)> = None;
    for before in (10..=22).step_by(2) {
        for stretch in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
            let mut trial = weights.clone();
            trial.bounds.chat_min_length = options.median_clip;
            trial.bounds.chat_before = Duration::from_secs(before);
            trial.bounds.chat_stretch = stretch;
            // The end moves in steps of half a second; clips only grow with it.
            let (mut least, mut most) = (-90_i32, 41_i32);
            while least < most {
                let step = (least + most).div_euclid(2);
                trial.bounds.chat_after = 0.5 * f64::from(step);
                let found = tally(&trial, examples.iter().copied())?;
                if found.length(0.5) > median || found.length(0.9) > longest {
                    most = step;
                    continue;
                }
                least = step + 1;
                if best.as_ref().is_none_or(|(c, _)| found.coverage() > *c) {
                    best = Some((found.coverage(), trial.clone()));
                }
            }
        }
    }
    if let Some((_, trial)) = best {
        *weights = trial;
    }
    Ok(())
}

/// The transitions of each stream's moments by weights that were fitted to other streams: `k` times, fit on all
/// groups of streams but one and find the moments of that one.
///
/// Streams are dealt into groups by chance ([`folds`]), which depends on `seed` and their names alone.
///
/// # Errors
/// As [`fit`]; `InvalidInput` for fewer streams than groups or fewer than two groups.
pub fn cross_validate(
    template: &Weights,
    examples: &[Example],
    k: usize,
    seed: u64,
    options: &TuneOptions,
) -> Result<Vec<Moment>> {
    if k < 2 || examples.len() < k {
        return Err(Error::invalid(format!("{} streams cannot be split into {k} groups", examples.len()))
            .with_hint("cross-validation needs at least two groups and as many streams as groups"));
    }
    let mut out = Vec::new();
    for group in folds(examples.iter().map(|e| e.stream.clone()), k, seed) {
        let (inside, outside): (Vec<&Example>, Vec<_>) =
            examples.iter().partition(|e| group.contains(&e.stream));
        let setup = Arc::new(FusionSetup::try_new(fit(template, &outside, options)?)?);
        out.extend(inside.iter().flat_map(|example| example.moments(&setup)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::Example;
    use super::*;
    use crate::conformance::cases::Rng;
    use crate::detector::Signal;
    use crate::eval::Label;
    use crate::{StreamId, Timestamp};

    /// Twenty minutes of chat in which scores of 2 are common and only those of 4 follow something that happened.
    fn example(seed: u64) -> Example {
        let stream = StreamId::new(format!("s{seed}")).unwrap();
        let mut rng = Rng::new(seed);
        let (mut signals, mut labels) = (Vec::new(), Vec::new());
        for minute in 0..20i64 {
            let true_one = rng.below(3) == 0;
            let from = minute * 60 + 10;
            if true_one {
                let (start, end) = (Timestamp::from_secs(from - 8), Timestamp::from_secs(from));
                labels.push(Label { stream: stream.clone(), start, end, kind: None });
            }
            for second in 0..25 {
                let at = Timestamp::from_secs(from + second);
                let height = if true_one && second < 15 { 4.0 } else { 2.0 };
                let score = height + rng.unit() - 0.5;
                let onset = Timestamp::from_secs(from);
                signals.push(Signal::new(
                    stream.clone(),
                    None,
                    "chat_burst".into(),
                    1,
                    "burst",
                    at,
                    onset,
                    score,
                ));
            }
        }
        Example { stream, signals, labels, hours: 1.0 / 3.0 }
    }

    #[test]
    fn a_fit_finds_what_tells_true_from_false() {
        let mut template = Weights::builtin().unwrap();
        template.decision.enter = template.bias + template.decision.hysteresis + 0.1;
        template.decision.provisional = template.decision.enter;
        let examples: Vec<_> = (0..6).map(example).collect();
        let options = TuneOptions::default();
        let train: Vec<_> = examples[..4].iter().collect();
        let fitted = fit(&template, &train, &options).unwrap();
        let before = tally(&template, &examples[4..]).unwrap();
        let after = tally(&fitted, &examples[4..]).unwrap();
        assert!(before.f1() < 0.7 && after.f1() > 0.95, "{} {}", before.f1(), after.f1());
        let tuned = fitted.find("chat_burst", "burst").unwrap();
        assert!(tuned.llr(4.0) > tuned.llr(2.0) + 1.0, "{tuned:?}");
        assert_eq!(fitted, fit(&template, &train, &options).unwrap(), "the same again");
        assert_eq!(
            fitted.find("loudness", "loud"),
            template.find("loudness", "loud"),
            "nothing to learn from"
        );
    }

    #[test]
    fn every_stream_is_judged_by_weights_that_have_not_seen_it() {
        let mut examples: Vec<_> = (0..4).map(example).collect();
        let template = Weights::builtin().unwrap();
        let options = TuneOptions::default();
        let whole = cross_validate(&template, &examples, 4, 1, &options).unwrap();
        let of = |moments: &[Moment], s: &StreamId| {
            moments.iter().filter(|m| m.stream == *s).cloned().collect::<Vec<_>>()
        };
        // A stream's own labels do not matter to its own moments.
        examples[2].labels.clear();
        let other = cross_validate(&template, &examples, 4, 1, &options).unwrap();
        let stream = examples[2].stream.clone();
        assert!(!of(&whole, &stream).is_empty());
        assert_eq!(of(&whole, &stream), of(&other, &stream));
    }

    #[test]
    fn too_little_to_learn_from_is_an_error() {
        let template = Weights::builtin().unwrap();
        let empty = Example { labels: Vec::new(), ..example(1) };
        assert!(fit(&template, &[&empty], &TuneOptions::default()).is_err());
        assert!(cross_validate(&template, &[example(1)], 5, 1, &TuneOptions::default()).is_err());
    }
}
