use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::labels::by_stream;
use super::matching::{average_precision, pair, ranked_hits, top_hits};
use super::{Detection, Durations, Label};
use crate::StreamId;
use crate::rng::Rng;

/// The rules of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// How long after the end of a label a peak still hits it; chat is late, so 35 s.
    #[serde(with = "crate::config::secs")]
    pub tolerance: Duration,
    /// The start criterion: a clip starts well where it starts at most this long before the label, and not
    /// after the label's end (LIGHTOR, SIGMOD 2020: 10 s).
    #[serde(with = "crate::config::secs")]
    pub early_start: Duration,
    /// Detections taken for P@10 are at least this far apart.
    #[serde(with = "crate::config::secs")]
    pub apart: Duration,
    /// How many bootstrap resamples of the streams; 0 for no intervals.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            tolerance: Duration::from_secs(35),
            early_start: Duration::from_secs(10),
            apart: Duration::from_secs(120),
            resamples: 1000,
            seed: 1,
        }
    }
}

/// A measured figure with its 95 % bootstrap interval over streams. `None` where it is undefined: a precision
/// without detections, a delay without hits, an interval of fewer than two streams.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure on all streams.
    pub value: Option<f64>,
    /// 2.5th percentile over resampled streams.
    pub low: Option<f64>,
    /// 97.5th percentile over resampled streams.
    pub high: Option<f64>,
}

/// What one stream contributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    /// The stream.
    pub stream: StreamId,
    /// Its length in hours.
    pub hours: f64,
    /// Its labels.
    pub labels: usize,
    /// Its detections.
    pub detections: usize,
    /// Detections paired with a label.
    pub hits: usize,
    /// F1; `None` without labels and detections.
    pub f1: Option<f64>,
}

/// The result of an evaluation. Shares are 0–1, delays and lengths in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The rules it was made by.
    pub config: EvalConfig,
    /// Hours of all streams.
    pub hours: f64,
    /// Labels on all streams.
    pub labels: usize,
    /// Detections on all streams.
    pub detections: usize,
    /// Detections paired with a label.
    pub hits: usize,
    /// Labels and detections left out because their stream was not among those evaluated.
    pub ignored: usize,
    /// Hits over detections.
    pub precision: Estimate,
    /// Hits over labels.
    pub recall: Estimate,
    /// Harmonic mean of the two.
    pub f1: Estimate,
    /// Detections without a label, per hour of stream.
    pub false_alarms_per_hour: Estimate,
    /// Median delay from the label's start to the detection's peak, over hits.
    pub peak_delay_p50: Estimate,
    /// 90th percentile of it.
    pub peak_delay_p90: Estimate,
    /// Median delay from the label's start to the first telling, provisional included.
    pub told_delay_p50: Estimate,
    /// Median delay from the label's start to the confirmation.
    pub decided_delay_p50: Estimate,
    /// 90th percentile of it.
    pub decided_delay_p90: Estimate,
    /// Share of hits whose clip starts in `[label start − early_start, label end]`.
    pub good_start: Estimate,
    /// Share of hits whose clip holds the whole label.
    pub whole_label: Estimate,
    /// Mean share of the label that lies inside the clip, over hits.
    pub label_inside: Estimate,
    /// Median length of the clips of all detections.
    pub clip_secs_p50: Estimate,
    /// Of ten best-scored detections a stream, those in some label's window, over ten; mean over streams.
    pub precision_at_10: Estimate,
    /// Average precision at a temporal intersection over union of 0.3; one class, all streams ranked together.
    pub map_tiou_30: Estimate,
    /// The same at 0.5.
    pub map_tiou_50: Estimate,
    /// Stream by stream, in order of their ids.
    pub streams: Vec<StreamReport>,
}

/// What a stream adds to every figure.
#[derive(Default)]
struct Tally {
    hours: f64,
    labels: usize,
    detections: usize,
    hits: usize,
    peak_delays: Vec<f64>,
    told_delays: Vec<f64>,
    decided_delays: Vec<f64>,
    good_starts: usize,
    whole: usize,
    inside: f64,
    clip_secs: Vec<f64>,
    top: usize,
    ranked: [Vec<(f64, bool)>; 2],
}

const TOP: usize = 10;
const TIOU: [f64; 2] = [0.3, 0.5];

/// Scores detections against labels on the streams that `durations` names; see [`Report`] for the figures.
///
/// A stream without labels counts too: everything found there is a false alarm. Labels and detections of
/// streams that `durations` does not name are left out and counted in [`Report::ignored`].
pub fn evaluate(
    detections: &[Detection],
    labels: &[Label],
    durations: &Durations,
    config: &EvalConfig,
) -> Report {
    let labels_by = by_stream(labels);
    let mut found_by: BTreeMap<&StreamId, Vec<Detection>> = BTreeMap::new();
    for d in detections {
        found_by.entry(&d.stream).or_default().push(d.clone());
    }
    found_by.values_mut().for_each(|f| f.sort_by_key(|d| (d.peak, d.decided_at)));
    let none = (Vec::new(), Vec::new());
    let tallies: Vec<Tally> = durations
        .iter()
        .map(|(stream, duration)| {
            let found = found_by.get(stream).unwrap_or(&none.0);
            let truth = labels_by.get(stream).unwrap_or(&none.1);
            tally(found, truth, duration.as_secs_f64() / 3600.0, config)
        })
        .collect();
    let seen: usize = tallies.iter().map(|t| t.labels + t.detections).sum();
    report(durations, &tallies, labels.len() + detections.len() - seen, config)
}

fn tally(found: &[Detection], labels: &[Label], hours: f64, config: &EvalConfig) -> Tally {
    let mut t = Tally { hours, labels: labels.len(), detections: found.len(), ..Tally::default() };
    for (d, hit) in found.iter().zip(pair(found, labels, config.tolerance)) {
        t.clip_secs.push(d.span.secs());
        let Some(label) = hit.map(|i| &labels[i]) else { continue };
        t.hits += 1;
        t.peak_delays.push(d.peak.secs_since(label.start));
        t.told_delays.push(d.told_at.secs_since(label.start));
        t.decided_delays.push(d.decided_at.secs_since(label.start));
        let start = d.span.start;
        t.good_starts += usize::from(label.start - config.early_start <= start && start <= label.end);
        let whole = start <= label.start && label.end <= d.span.end;
        t.whole += usize::from(whole);
        let overlap = label.end.min(d.span.end).secs_since(label.start.max(start)).max(0.0);
        let length = label.end.secs_since(label.start);
        t.inside += if whole {
            1.0
        } else if length > 0.0 {
            overlap / length
        } else {
            0.0
        };
    }
    t.top = top_hits(found, labels, TOP, config.apart, config.tolerance);
    t.ranked = TIOU.map(|tiou| ranked_hits(found, labels, tiou));
    t
}

fn report(durations: &Durations, tallies: &[Tally], ignored: usize, config: &EvalConfig) -> Report {
    let mut rng = Rng::new(config.seed);
    let resamples = if tallies.len() < 2 { 0 } else { config.resamples };
    let draws: Vec<Vec<&Tally>> = (0..resamples)
        .map(|_| tallies.iter().map(|_| &tallies[rng.below(tallies.len())]).collect())
        .collect();
    let all: Vec<&Tally> = tallies.iter().collect();
    let estimate = |figure: &dyn Fn(&[&Tally]) -> Option<f64>| {
        let mut values: Vec<f64> = draws.iter().filter_map(|draw| figure(draw)).collect();
        Estimate {
            value: figure(&all),
            low: quantile(&mut values, 0.025),
            high: quantile(&mut values, 0.975),
        }
    };
    let per_hit =
        |part: fn(&Tally) -> f64| move |t: &[&Tally]| ratio(sum(t, part), sum(t, |t| t.hits as f64));
    let percentile = |values: fn(&Tally) -> &Vec<f64>, q: f64| {
        move |t: &[&Tally]| {
            quantile(&mut t.iter().flat_map(|t| values(t).iter().copied()).collect::<Vec<_>>(), q)
        }
    };
    let precision = |i: usize| {
        move |t: &[&Tally]| {
            let mut ranked: Vec<_> = t.iter().flat_map(|t| t.ranked[i].iter().copied()).collect();
            average_precision(&mut ranked, t.iter().map(|t| t.labels).sum())
        }
    };
    Report {
        config: config.clone(),
        hours: sum(&all, |t| t.hours),
        labels: all.iter().map(|t| t.labels).sum(),
        detections: all.iter().map(|t| t.detections).sum(),
        hits: all.iter().map(|t| t.hits).sum(),
        ignored,
        precision: estimate(&|t| ratio(sum(t, |t| t.hits as f64), sum(t, |t| t.detections as f64))),
        recall: estimate(&|t| ratio(sum(t, |t| t.hits as f64), sum(t, |t| t.labels as f64))),
        f1: estimate(&|t| {
            ratio(2.0 * sum(t, |t| t.hits as f64), sum(t, |t| (t.detections + t.labels) as f64))
        }),
        false_alarms_per_hour: estimate(&|t| {
            ratio(sum(t, |t| (t.detections - t.hits) as f64), sum(t, |t| t.hours))
        }),
        peak_delay_p50: estimate(&percentile(|t| &t.peak_delays, 0.5)),
        peak_delay_p90: estimate(&percentile(|t| &t.peak_delays, 0.9)),
        told_delay_p50: estimate(&percentile(|t| &t.told_delays, 0.5)),
        decided_delay_p50: estimate(&percentile(|t| &t.decided_delays, 0.5)),
        decided_delay_p90: estimate(&percentile(|t| &t.decided_delays, 0.9)),
        good_start: estimate(&per_hit(|t| t.good_starts as f64)),
        whole_label: estimate(&per_hit(|t| t.whole as f64)),
        label_inside: estimate(&per_hit(|t| t.inside)),
        clip_secs_p50: estimate(&percentile(|t| &t.clip_secs, 0.5)),
        precision_at_10: estimate(&|t| ratio(sum(t, |t| t.top as f64), (TOP * t.len()) as f64)),
        map_tiou_30: estimate(&precision(0)),
        map_tiou_50: estimate(&precision(1)),
        streams: durations
            .keys()
            .zip(tallies)
            .map(|(stream, t)| StreamReport {
                stream: stream.clone(),
                hours: t.hours,
                labels: t.labels,
                detections: t.detections,
                hits: t.hits,
                f1: ratio(2.0 * t.hits as f64, (t.detections + t.labels) as f64),
            })
            .collect(),
    }
}

fn sum(tallies: &[&Tally], part: fn(&Tally) -> f64) -> f64 {
    tallies.iter().map(|t| part(t)).sum()
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// The `q`-quantile with linear interpolation between order statistics (type 7 of Hyndman and Fan 1996).
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}
