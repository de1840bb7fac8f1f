use std::collections::BTreeMap;
use std::time::Duration;

use super::{Detection, Label};
use crate::{StreamId, Timestamp};

/// How long each evaluated stream is; the streams it names are the ones that count.
pub type Durations = BTreeMap<StreamId, Duration>;

/// Timelines that begin later than this after zero are taken to begin with their first instant.
const ZERO_BASED: Timestamp = Timestamp::from_secs(600);

/// Learns how long streams are from the instants seen on them.
///
/// A stream is counted from zero, where recordings begin, to its last instant; one whose first instant lies more
/// than ten minutes after zero (a live publisher's clock) or before it is counted from its first instant.
#[derive(Debug, Clone, Default)]
pub struct DurationsBuilder {
    seen: BTreeMap<StreamId, (Timestamp, Timestamp)>,
}

impl DurationsBuilder {
    /// Takes in that something happened on `stream` at `at`.
    pub fn see(&mut self, stream: &StreamId, at: Timestamp) {
        match self.seen.get_mut(stream) {
            Some((first, last)) => (*first, *last) = ((*first).min(at), (*last).max(at)),
            None => drop(self.seen.insert(stream.clone(), (at, at))),
        }
    }

    /// Takes in labels and detections: enough where neither events nor lengths are at hand, and too short by the
    /// quiet end of each stream, so that false alarms per hour come out too high rather than too low.
    pub fn see_all(&mut self, labels: &[Label], detections: &[Detection]) {
        for l in labels {
            self.see(&l.stream, l.start);
            self.see(&l.stream, l.end);
        }
        for d in detections {
            self.see(&d.stream, d.span.start.min(d.peak));
            self.see(&d.stream, d.decided_at);
        }
    }

    /// Takes in what another builder has seen.
    pub fn merge(&mut self, other: &Self) {
        for (stream, (first, last)) in &other.seen {
            self.see(stream, *first);
            self.see(stream, *last);
        }
    }

    /// The instant that a stream is counted from.
    pub fn begin(&self, stream: &StreamId) -> Option<Timestamp> {
        self.seen.get(stream).map(|&(first, _)| begin(first))
    }

    /// The streams seen and their lengths.
    pub fn build(&self) -> Durations {
        self.seen
            .iter()
            .map(|(stream, &(first, last))| {
                let micros = u64::try_from(last.micros_since(begin(first))).unwrap_or(0);
                (stream.clone(), Duration::from_micros(micros))
            })
            .collect()
    }
}

fn begin(first: Timestamp) -> Timestamp {
    if first >= Timestamp::ZERO && first <= ZERO_BASED { Timestamp::ZERO } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_count_from_zero_and_live_clocks_from_their_first_instant() {
        let mut builder = DurationsBuilder::default();
        for (stream, from, to) in [("file", 15, 3600), ("live", 95_443, 99_043), ("early", -10, 50)] {
            let stream = StreamId::new(stream).unwrap();
            builder.see(&stream, Timestamp::from_secs(to));
            builder.see(&stream, Timestamp::from_secs(from));
        }
        let secs: Vec<u64> = builder.build().values().map(Duration::as_secs).collect();
        assert_eq!(secs, [60, 3600, 3600]);
    }
}
