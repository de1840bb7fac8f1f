use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Turns one kind of signal's score into a log-likelihood ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The detector's name; `*` for detectors that are named nowhere.
    pub detector: String,
    /// The signal's label; `*` for labels of the detector that are named nowhere.
    pub label: String,
    /// The [`Group`](super::Group) that it is evidence of.
    pub group: String,
    /// The label says what kind of moment it is (`laughter`), not only that there is one (`loud`).
    #[serde(default)]
    pub describes: bool,
    /// `[score, log-likelihood ratio]` with rising scores; linear between them, level beyond the last,
    /// and nothing below the first.
    pub points: Vec<[f64; 2]>,
}

impl Calibration {
    /// The log-likelihood ratio (natural logarithm) of a signal with this score, against no signal.
    pub fn llr(&self, score: f64) -> f64 {
        let points = &self.points;
        let above = points.partition_point(|p| p[0] <= score);
        match (above.checked_sub(1).map(|i| points[i]), points.get(above)) {
            (None, _) => 0.0,
            (Some(last), None) => last[1],
            (Some(a), Some(b)) => a[1] + (b[1] - a[1]) * (score - a[0]) / (b[0] - a[0]),
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        let finite = self.points.iter().flatten().all(|x| x.is_finite());
        if self.points.is_empty() || !finite || !self.points.is_sorted_by(|a, b| a[0] < b[0]) {
            return Err(Error::config(format!(
                "the calibration of {}/{} needs points of finite numbers with rising scores",
                self.detector, self.label
            ))
            .with_hint("write points = [[1.0, 0.0], [4.0, 2.5]]"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_interpolated_and_never_extrapolated() {
        let c = Calibration {
            detector: "d".into(),
            label: "l".into(),
            group: "g".into(),
            describes: false,
            points: vec![[1.0, 0.5], [3.0, 1.5], [4.0, 4.0]],
        };
        for (score, llr) in [(0.99, 0.0), (1.0, 0.5), (2.0, 1.0), (3.5, 2.75), (4.0, 4.0), (1e9, 4.0)] {
            assert!((c.llr(score) - llr).abs() < 1e-12, "{score}");
        }
    }
}
