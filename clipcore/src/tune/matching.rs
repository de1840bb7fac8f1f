use std::time::Duration;

use crate::Timestamp;
use crate::fusion::Moment;

/// How long after a label's end a moment may peak and still be about it: chat is late.
pub(super) const TOLERANCE: Duration = Duration::from_secs(35);

/// A true moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// When it begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

/// Hits, false alarms and misses, added up over streams.
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
    /// Peak less label start of each hit, in seconds.
    pub delays: Vec<f64>,
    /// Hours of stream.
    pub hours: f64,
}

impl Tally {
    /// Adds a stream. Moments and labels are each to be in order of time.
    pub fn add(&mut self, moments: &[Moment], labels: &[Label], hours: f64) {
        self.moments += moments.len();
        self.labels += labels.len();
        self.hours += hours;
        self.lengths.extend(moments.iter().map(|m| m.end.secs_since(m.start)));
        for (moment, label) in match_up(moments, labels) {
            self.hits += 1;
            self.covered += usize::from(moment.start <= label.start && label.end <= moment.end);
            self.delays.push(moment.peak.secs_since(label.start));
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

    /// The median length of a clip in seconds.
    pub fn median_length(&self) -> f64 {
        median(&self.lengths)
    }
}

/// The middle value; 0 of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The most pairs of moment and label, each used once: every moment in turn takes the label that expires first.
fn match_up<'a>(moments: &'a [Moment], labels: &'a [Label]) -> Vec<(&'a Moment, &'a Label)> {
    let mut free = vec![true; labels.len()];
    let mut pairs = Vec::new();
    for moment in moments {
        let fits = |l: &Label| l.start <= moment.peak && moment.peak <= l.end + TOLERANCE;
        let first =
            (0..labels.len()).filter(|i| free[*i] && fits(&labels[*i])).min_by_key(|i| labels[*i].end);
        if let Some(i) = first {
            free[i] = false;
            pairs.push((moment, &labels[i]));
        }
    }
    pairs
}
