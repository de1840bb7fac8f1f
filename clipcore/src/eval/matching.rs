use std::time::Duration;

use super::{Detection, Label};
use crate::cutter::Span;

/// Pairs detections with labels, one to one: a detection may hit a label where its peak lies in
/// `[start, end + tolerance]`.
///
/// Both slices are of one stream, detections sorted by peak and labels by start. Gives for each detection the
/// index of its label. Taking for each peak, in order, the free label whose window closes first gives the
/// largest number of pairs (Glover, "Maximum matching in a convex bipartite graph", 1967).
pub(crate) fn pair(detections: &[Detection], labels: &[Label], tolerance: Duration) -> Vec<Option<usize>> {
    let mut free = vec![true; labels.len()];
    detections
        .iter()
        .map(|d| {
            let hit = (0..labels.len())
                .filter(|&i| free[i] && in_window(d, &labels[i], tolerance))
                .min_by_key(|&i| (labels[i].end, i))?;
            free[hit] = false;
            Some(hit)
        })
        .collect()
}

/// Whether the detection's peak lies in the label's window.
pub(super) fn in_window(detection: &Detection, label: &Label, tolerance: Duration) -> bool {
    label.start <= detection.peak && detection.peak <= label.end + tolerance
}

/// Length of the overlap over length of the union, 0–1.
pub(super) fn temporal_iou(a: Span, b: Span) -> f64 {
    let overlap = a.end.min(b.end).secs_since(a.start.max(b.start)).max(0.0);
    let union = a.secs().max(0.0) + b.secs().max(0.0) - overlap;
    if union > 0.0 { overlap / union } else { 0.0 }
}

/// Says of each detection, from the highest score down, whether it is the first to overlap a label by at least
/// `tiou`: the input of average precision, as (score, true positive).
pub(super) fn ranked_hits(detections: &[Detection], labels: &[Label], tiou: f64) -> Vec<(f64, bool)> {
    let mut order: Vec<&Detection> = detections.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.peak.cmp(&b.peak)));
    let mut free = vec![true; labels.len()];
    order
        .into_iter()
        .map(|d| {
            let best = (0..labels.len())
                .filter(|&i| free[i])
                .map(|i| (temporal_iou(d.span, Span { start: labels[i].start, end: labels[i].end }), i))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
                .filter(|(iou, _)| *iou >= tiou);
            if let Some((_, i)) = best {
                free[i] = false;
            }
            (d.score, best.is_some())
        })
        .collect()
}

/// How many of the `top` best-scored detections, at least `apart` from each other, lie in some label's window.
pub(super) fn top_hits(
    detections: &[Detection],
    labels: &[Label],
    top: usize,
    apart: Duration,
    tolerance: Duration,
) -> usize {
    let mut order: Vec<&Detection> = detections.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.peak.cmp(&b.peak)));
    let mut taken: Vec<&Detection> = Vec::with_capacity(top);
    for d in order {
        if taken.len() == top {
            break;
        }
        if taken.iter().all(|t| d.peak.secs_since(t.peak).abs() >= apart.as_secs_f64()) {
            taken.push(d);
        }
    }
    taken.iter().filter(|d| labels.iter().any(|l| in_window(d, l, tolerance))).count()
}

/// Area under the interpolated precision-recall curve (all points, as ActivityNet and PASCAL VOC 2010 do).
///
/// `ranked` is (score, true positive) in any order; `positives` the number of labels. `None` without labels.
pub(super) fn average_precision(ranked: &mut [(f64, bool)], positives: usize) -> Option<f64> {
    if positives == 0 {
        return None;
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut hits = 0;
    let mut precisions: Vec<f64> = Vec::new();
    for (seen, &(_, hit)) in ranked.iter().enumerate() {
        if hit {
            hits += 1;
            precisions.push(f64::from(hits) / (seen + 1) as f64);
        }
    }
    let mut best = 0.0_f64;
    let area: f64 = precisions
        .iter()
        .rev()
        .map(|&p| {
            best = best.max(p);
            best
        })
        .sum();
    Some(area / positives as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StreamId, Timestamp};

    const TOL: Duration = Duration::from_secs(35);

    fn detection(peak: i64, score: f64) -> Detection {
        Detection {
            stream: StreamId::new("s").unwrap(),
            span: Span { start: Timestamp::from_secs(peak - 10), end: Timestamp::from_secs(peak) },
            peak: Timestamp::from_secs(peak),
            told_at: Timestamp::from_secs(peak),
            decided_at: Timestamp::from_secs(peak),
            score,
        }
    }

    fn label(start: i64, end: i64) -> Label {
        Label {
            stream: StreamId::new("s").unwrap(),
            start: Timestamp::from_secs(start),
            end: Timestamp::from_secs(end),
            kind: None,
        }
    }

    #[test]
    fn a_peak_counts_up_to_the_tolerance_after_the_end_and_not_before_the_start() {
        let labels = [label(100, 110)];
        for (peak, hit) in [(99, false), (100, true), (145, true), (146, false)] {
            assert_eq!(pair(&[detection(peak, 0.0)], &labels, TOL)[0].is_some(), hit, "peak {peak}");
        }
    }

    #[test]
    fn one_label_is_hit_once_and_no_pair_is_wasted() {
        let labels = [label(100, 110), label(120, 125)];
        let found = [detection(130, 0.0), detection(140, 0.0), detection(150, 0.0)];
        assert_eq!(pair(&found, &labels, TOL), [Some(0), Some(1), None]);
    }

    #[test]
    fn pairs_are_as_many_as_exhaustive_search_finds() {
        let mut rng = crate::rng::Rng::new(5);
        for _ in 0..300 {
            let mut labels: Vec<Label> = (0..rng.below(5))
                .map(|_| {
                    let start = rng.below(60) as i64;
                    label(start, start + rng.below(20) as i64)
                })
                .collect();
            labels.sort_by_key(|l| (l.start, l.end));
            let mut found: Vec<Detection> =
                (0..rng.below(5)).map(|_| detection(rng.below(90) as i64, 0.0)).collect();
            found.sort_by_key(|d| d.peak);
            let tolerance = Duration::from_secs(10);
            let pairs = pair(&found, &labels, tolerance).into_iter().flatten().count();
            assert_eq!(pairs, exhaustive(&found, &labels, tolerance));
        }
    }

    fn exhaustive(found: &[Detection], labels: &[Label], tolerance: Duration) -> usize {
        let Some((first, rest)) = found.split_first() else { return 0 };
        let mut best = exhaustive(rest, labels, tolerance);
        for i in (0..labels.len()).filter(|&i| in_window(first, &labels[i], tolerance)) {
            let others: Vec<Label> =
                labels.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, l)| l.clone()).collect();
            best = best.max(1 + exhaustive(rest, &others, tolerance));
        }
        best
    }

    #[test]
    fn average_precision_matches_a_hand_computed_curve() {
        // Hits at ranks 1 and 3 of 3, three labels: interpolated precisions 1 and 2/3.
        let mut ranked = [(0.9, true), (0.1, true), (0.5, false)];
        let ap = average_precision(&mut ranked, 3).unwrap();
        assert!((ap - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12, "{ap}");
        assert_eq!(average_precision(&mut [], 2), Some(0.0));
        assert_eq!(average_precision(&mut [], 0), None);
    }

    #[test]
    fn the_best_overlap_wins_and_each_label_is_taken_once() {
        let labels = [label(0, 10), label(8, 18)];
        // Both spans are 8–18 s: the first takes the perfect overlap, the second finds too little.
        let ranked = ranked_hits(&[detection(18, 2.0), detection(18, 1.0)], &labels, 0.3);
        assert_eq!(ranked, [(2.0, true), (1.0, false)]);
    }

    #[test]
    fn the_top_is_taken_far_apart() {
        let labels = [label(0, 10), label(300, 310)];
        let found = [detection(5, 9.0), detection(20, 8.0), detection(305, 1.0)];
        let apart = Duration::from_secs(120);
        assert_eq!(top_hits(&found, &labels, 2, apart, TOL), 2);
        assert_eq!(top_hits(&found, &labels, 2, Duration::ZERO, TOL), 2);
        assert_eq!(top_hits(&found, &labels, 1, apart, TOL), 1);
    }
}
