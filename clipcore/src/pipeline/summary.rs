use super::stats::StreamStats;
use crate::{Error, StreamId};

/// How a pipeline's run went.
#[derive(Debug)]
pub struct Summary {
    /// Per stream, in the order in which they were added.
    pub streams: Vec<StreamSummary>,
    /// Sinks that could not close in good order.
    pub sink_errors: Vec<Error>,
}

impl Summary {
    /// The first error that ended a stream.
    pub fn stream_error(&self) -> Option<&Error> {
        self.streams.iter().find_map(|s| s.error.as_ref())
    }

    /// The first error of a sink: something was not delivered.
    pub fn sink_error(&self) -> Option<&Error> {
        self.streams.iter().find_map(|s| s.delivery_error.as_ref()).or(self.sink_errors.first())
    }
}

/// How one stream's run went.
#[derive(Debug)]
pub struct StreamSummary {
    /// The stream.
    pub stream: StreamId,
    /// Whether its input has ended; otherwise a later run goes on with it.
    pub ended: bool,
    /// Whether its input had ended before this run, which then only finished what was pending.
    pub was_ended: bool,
    /// What was counted.
    pub stats: StreamStats,
    /// What ended it before its input did: every source failed, the log failed for good, a detector panicked.
    pub error: Option<Error>,
    /// The first delivery that failed.
    pub delivery_error: Option<Error>,
    /// The first cutter that could not finish.
    pub cutter_error: Option<Error>,
}
