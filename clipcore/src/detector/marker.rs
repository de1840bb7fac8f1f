use serde_json::Value;

use super::state::{load, save};
use super::{Detector, DetectorInfo, Output};
use crate::event::{self, Stamped};
use crate::{Result, Timestamp};

/// Passes on that a person asked for a clip.
///
/// Each `marker` event gives one signal with score 1. Its label is the marker's own label (at most 64
/// characters of it), or `marker`. Score 1 is by itself enough to open a moment.
#[derive(Debug, Clone, Default)]
pub struct MarkerDetector(());

impl Detector for MarkerDetector {
    type Input = event::Marker;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("marker", &["marker", DetectorInfo::ANY_LABEL])
    }

    fn detect(&mut self, event: &Stamped<event::Marker>, out: &mut Output) {
        let label: String = event.data.label.iter().flat_map(|l| l.trim().chars()).take(64).collect();
        out.signal(if label.is_empty() { "marker" } else { &label }, event.at, event.at, 1.0);
    }

    fn advance(&mut self, _to: Timestamp, _out: &mut Output) {}

    fn reset(&mut self) {}

    fn snapshot(&self) -> Result<Value> {
        save(&self.0)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        load(state, "marker")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, found, run};
    use super::*;
    use crate::event::Marker;

    #[test]
    fn a_marker_keeps_its_label() {
        let marker = |t, label: Option<&str>| at(t, Marker { label: label.map(Into::into), by: None });
        let long = "x".repeat(500);
        let events =
            [marker(1.0, None), marker(2.0, Some("ace")), marker(3.0, Some(" ")), marker(4.0, Some(&long))];
        let signals = run(&mut MarkerDetector::default(), &events, 9.0);
        let short = &long[..64];
        assert_eq!(
            found(&signals),
            [("marker", 1.0, 1.0), ("ace", 2.0, 1.0), ("marker", 3.0, 1.0), (short, 4.0, 1.0)]
        );
    }
}
