//! Records into an engine: the one step that a live run, a restart and a replay share.

use crate::detector::Signal;
use crate::engine::{Accepted, Engine, EngineStats};
use crate::fusion::Moment;
use crate::log::{Late, Record};
use crate::{StreamId, Timestamp};

/// What came of a batch.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) moments: Vec<Moment>,
    /// What the engine's own detectors found.
    pub(super) signals: Vec<Signal>,
    /// What came too late, or found the buffer full.
    pub(super) refused: Vec<Late>,
    pub(super) stats: EngineStats,
    pub(super) watermark: Timestamp,
}

/// Feeds events and signals, in order; other records are consequences, not causes, and are passed over.
pub(super) fn feed(engine: &mut Engine, records: Vec<Record>) -> Outcome {
    let mut refused = Vec::new();
    for record in records {
        let (id, at, accepted) = match record {
            Record::Event(event) => {
                let header = event.shared_header();
                (header.id.clone(), header.at, engine.event(event))
            }
            Record::Signal(signal) => (signal.id.clone(), signal.at, engine.signal(signal)),
            Record::Late(_)
            | Record::Moment(_)
            | Record::Clip(_)
            | Record::Receipt(_)
            | Record::Arrival(_) => continue,
        };
        if matches!(accepted, Accepted::Late | Accepted::Full) {
            let stream: StreamId = engine.stream().clone();
            // Before the first clock there is no watermark; `at` says as much and can be written.
            let watermark = Some(engine.watermark()).filter(|w| *w > Timestamp::MIN).unwrap_or(at);
            refused.push(Late { id, stream, at, watermark });
        }
    }
    Outcome {
        moments: engine.take_moments(),
        signals: engine.take_signals(),
        refused,
        stats: engine.stats(),
        watermark: engine.watermark(),
    }
}
