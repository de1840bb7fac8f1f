use std::time::Duration;

use crate::eval::matching::pair;
use crate::eval::{Label, detections};
use crate::fusion::Moment;

/// How long after a label's end a moment may peak and still be about it: chat is late.
pub(super) const TOLERANCE: Duration = Duration::from_secs(35);

/// Hits, false alarms and misses, added up over streams: what a fit looks at many times.
///
/// The rule is that of [`eval`](crate::eval) with a tolerance of 35 s; intervals and everything else are there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// Moments whose peak lies in `[start, end + 35 s]` of a label of their own.
    pub hits: usize,
    /// Moments found.
    pub moments: usize,
    /// True moments.
    pub labels: usize,
    /// Hits whose clip holds the whole label.
    pub covered: usize,
    /// Length of each clip in seconds.
    pub lengths: Vec<f64>,
    /// Hours of stream.
    pub hours: f64,
}

impl Tally {
    /// Adds one stream's transitions and its labels, which are to be in order.
    pub fn add(&mut self, moments: &[Moment], labels: &[Label], hours: f64) {
        let mut found = detections(moments);
        found.sort_by_key(|d| d.peak);
        self.moments += found.len();
        self.labels += labels.len();
        self.hours += hours;
        self.lengths.extend(found.iter().map(|d| d.span.secs()));
        for (detection, hit) in found.iter().zip(pair(&found, labels, TOLERANCE)) {
            if let Some(label) = hit.map(|i| &labels[i]) {
                self.hits += 1;
                self.covered +=
                    usize::from(detection.span.start <= label.start && label.end <= detection.span.end);
            }
        }
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / ((self.moments + self.labels) as f64).max(1.0)
    }

    /// Moments that are no hit, an hour.
    pub fn false_alarms_per_hour(&self) -> f64 {
        (self.moments - self.hits) as f64 / self.hours.max(1e-9)
    }

    /// The share of hits whose clip holds the whole label.
    pub fn coverage(&self) -> f64 {
        self.covered as f64 / (self.hits as f64).max(1.0)
    }

    /// The length in seconds that this share of the clips does not exceed; 0 without clips.
    pub fn length(&self, share: f64) -> f64 {
        let mut sorted = self.lengths.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() as f64 * share) as usize;
        sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}
