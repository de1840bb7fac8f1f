use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::cutter::Span;
use crate::{StreamId, Timestamp};

fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

fn label(on: &str, start: i64, end: i64) -> Label {
    Label {
        stream: stream(on),
        start: Timestamp::from_secs(start),
        end: Timestamp::from_secs(end),
        kind: None,
    }
}

fn found(on: &str, start: i64, peak: i64, end: i64) -> Detection {
    Detection {
        stream: stream(on),
        span: Span { start: Timestamp::from_secs(start), end: Timestamp::from_secs(end) },
        peak: Timestamp::from_secs(peak),
        told_at: Timestamp::from_secs(peak - 2),
        decided_at: Timestamp::from_secs(peak + 3),
        score: peak as f64,
    }
}

fn hours(of: &[(&str, u64)]) -> Durations {
    of.iter().map(|(s, h)| (stream(s), Duration::from_secs(3600 * h))).collect()
}

#[test]
fn figures_are_those_computed_by_hand() {
    let labels = [label("a", 100, 110), label("a", 500, 520), label("b", 50, 60)];
    // Hits the first (whole, start 5 s early) and the second (half inside, start 30 s early); one false alarm.
    let detections = [found("a", 95, 112, 115), found("a", 470, 530, 510), found("b", 900, 930, 940)];
    let report = evaluate(&detections, &labels, &hours(&[("a", 1), ("b", 1)]), &EvalConfig::default());
    assert_eq!((report.hits, report.detections, report.labels), (2, 3, 3));
    let value = |e: Estimate| e.value.unwrap();
    assert!((value(report.f1) - 2.0 / 3.0).abs() < 1e-12);
    assert_eq!(value(report.false_alarms_per_hour), 0.5);
    assert_eq!(value(report.peak_delay_p50), 21.0);
    assert_eq!(value(report.told_delay_p50), 19.0);
    assert_eq!(value(report.decided_delay_p50), 24.0);
    assert_eq!(value(report.good_start), 0.5);
    assert_eq!(value(report.whole_label), 0.5);
    assert_eq!(value(report.label_inside), 0.75);
    assert_eq!(value(report.clip_secs_p50), 40.0);
    assert_eq!(value(report.precision_at_10), 0.1);
    // Both hits overlap by 10 of 20 and 10 of 50 s: one reaches 0.3 and 0.5, ranked behind the false alarm
    // and the other.
    assert!((value(report.map_tiou_50) - (1.0 / 3.0) / 3.0).abs() < 1e-12);
    assert_eq!(report.streams[1].f1, Some(0.0));
}

#[test]
fn streams_without_labels_give_false_alarms_and_unknown_streams_are_told() {
    let report = evaluate(
        &[found("quiet", 1, 2, 3), found("elsewhere", 1, 2, 3)],
        &[label("other", 1, 2)],
        &hours(&[("quiet", 2)]),
        &EvalConfig::default(),
    );
    assert_eq!(report.false_alarms_per_hour.value, Some(0.5));
    assert_eq!((report.recall.value, report.ignored), (None, 2));
    let table = comparison_table(&[("ours", &report)]);
    assert!(table.contains("2 labels or detections on other streams were left out"), "{table}");
    assert!(stream_table(&report).contains("quiet"));
}

#[test]
fn intervals_hold_the_figure_are_seeded_and_narrow_with_more_streams() {
    let run = |n: usize, seed: u64| {
        let names: Vec<String> = (0..n).map(|i| format!("s{i}")).collect();
        let labels: Vec<Label> = names.iter().map(|s| label(s, 100, 110)).collect();
        let detections: Vec<Detection> = names.iter().step_by(2).map(|s| found(s, 95, 105, 115)).collect();
        let durations: Durations = names.iter().map(|s| (stream(s), Duration::from_secs(3600))).collect();
        evaluate(&detections, &labels, &durations, &EvalConfig { seed, ..EvalConfig::default() })
    };
    let (few, many) = (run(8, 1), run(128, 1));
    let width = |r: &Report| r.recall.high.unwrap() - r.recall.low.unwrap();
    assert!(many.recall.low.unwrap() < 0.5 && 0.5 < many.recall.high.unwrap());
    assert!(width(&few) > 2.0 * width(&many), "{} {}", width(&few), width(&many));
    // Standard error of a share of ½ over 128 streams: 0.0442; the interval is ±1.96 of it.
    assert!((width(&many) - 2.0 * 1.96 * 0.0442).abs() < 0.03, "{}", width(&many));
    assert_eq!(run(8, 1), run(8, 1));
    assert_ne!(run(128, 1).recall, run(128, 2).recall);
    assert_eq!(run(1, 1).recall.low, None);
}

#[test]
fn a_report_survives_json() {
    let report =
        evaluate(&[found("a", 1, 2, 3)], &[label("a", 1, 2)], &hours(&[("a", 1)]), &EvalConfig::default());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

/// 1 message a second, and 6 a second for 20 s from each of `bursts` on.
fn bursty(bursts: &[usize], secs: usize) -> Counts {
    let mut counts = Counts::default();
    for second in 0..secs {
        let n = if bursts.iter().any(|&b| (b..b + 20).contains(&second)) { 6 } else { 1 + second % 2 };
        (0..n).for_each(|_| counts.add(Timestamp::from_secs(second as i64)));
    }
    counts
}

#[test]
fn baselines_find_a_burst_soon_after_it_begins() {
    let counts = bursty(&[600, 1200], 1800);
    for (baseline, threshold) in
        [(Baseline::FixedCount, 40.0), (Baseline::TrailingZ, 4.0), (Baseline::EwmaZ, 3.2)]
    {
        let alarms = AlarmRule::default().alarms(&stream("s"), &baseline.scores(&counts), threshold);
        let at: Vec<f64> = alarms.iter().map(|a| a.peak.as_secs_f64()).collect();
        assert_eq!(at.len(), 2, "{baseline:?} {at:?}");
        assert!((600.0..620.0).contains(&at[0]) && (1200.0..1220.0).contains(&at[1]), "{baseline:?} {at:?}");
    }
}

#[test]
fn a_steady_count_is_no_alarm_and_the_refractory_time_holds() {
    let rule = AlarmRule::default();
    let steady = Baseline::EwmaZ.scores(&bursty(&[], 3000));
    assert!(rule.alarms(&stream("s"), &steady, 3.2).is_empty());
    let flicker: Vec<f64> = (0..200).map(|i| f64::from(i % 2)).collect();
    let alarms = rule.alarms(&stream("s"), &flicker, 0.5);
    assert!(alarms.windows(2).all(|w| w[1].peak.secs_since(w[0].peak) >= 45.0));
    assert_eq!(alarms.len(), 5);
}

#[test]
fn fitted_thresholds_come_from_the_other_folds() {
    // One stream is ten times as loud, so a threshold fitted on the quiet ones is wrong for it.
    let mut counts: BTreeMap<StreamId, Counts> = BTreeMap::new();
    let mut labels = Vec::new();
    for i in 0..5 {
        let name = format!("s{i}");
        let mut c = bursty(&[600], 1200);
        if i == 4 {
            c = (0..1200).fold(Counts::default(), |mut c, s| {
                (0..10 * bursty(&[600], 1200).per_second()[s])
                    .for_each(|_| c.add(Timestamp::from_secs(s as i64)));
                c
            });
        }
        counts.insert(stream(&name), c);
        labels.push(label(&name, 595, 610));
    }
    let groups = folds(counts.keys().cloned(), 5, 3);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [1; 5]);
    let tolerance = Duration::from_secs(35);
    let fit = |baseline| {
        let found = cross_validated(baseline, &counts, &labels, &AlarmRule::default(), tolerance, &groups);
        let durations: Durations = counts.keys().map(|s| (s.clone(), Duration::from_secs(1200))).collect();
        evaluate(&found, &labels, &durations, &EvalConfig::default())
    };
    let fixed = fit(Baseline::FixedCount);
    assert_eq!(fixed.streams[4].hits, 0, "a fixed count cannot carry over to a louder stream");
    assert_eq!(fixed.streams[0].hits, 1);
    assert_eq!(fit(Baseline::EwmaZ).hits, 5, "a normalised score can");
}

#[test]
fn random_alarms_are_as_many_spread_out_and_seeded() {
    let durations = hours(&[("a", 1), ("b", 2)]);
    let like: Vec<Detection> =
        (0..40).map(|i| found(if i < 30 { "a" } else { "b" }, i, i + 1, i + 2)).collect();
    let rule = AlarmRule::default();
    let random = rule.random(&durations, &like, 9);
    assert_eq!(random.iter().filter(|d| d.stream.as_str() == "a").count(), 30);
    assert!(
        random.windows(2).all(|w| w[0].stream != w[1].stream || w[1].peak.secs_since(w[0].peak) >= 44.999)
    );
    assert!(random.iter().all(|d| d.peak <= Timestamp::from_secs(7200)));
    assert_eq!(random, rule.random(&durations, &like, 9));
    assert_ne!(random, rule.random(&durations, &like, 10));
}

#[test]
fn the_fano_factor_tells_clustered_from_regular() {
    let regular = bursty(&[], 2000);
    assert!(regular.fano(10).unwrap() < 0.1);
    assert!(bursty(&[500, 900], 2000).fano(10).unwrap() > 2.0);
    assert_eq!(Counts::default().fano(10), None);
}
