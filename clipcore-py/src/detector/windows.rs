//! Sound in windows of one length, on a grid of stream time.

use std::sync::Arc;
use std::time::Duration;

use clipcore::detector::Tape;
use clipcore::event::AnyEvent;
use clipcore::event::media::Audio16k;
use clipcore::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Cuts blocks as they come into windows that end on multiples of `hop`.
pub(super) struct Windows {
    samples: usize,
    hop: Duration,
    state: State,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    tape: Tape,
    /// Where the next window ends.
    next: Option<Timestamp>,
}

impl Windows {
    pub(super) fn new(window: Duration, hop: Duration) -> Result<Self> {
        let samples = (window.as_micros() * u128::from(Audio16k::RATE) / 1_000_000) as usize;
        if samples == 0 || hop < Duration::from_millis(1) || window > Duration::from_secs(60) {
            return Err(Error::config("a window is longer than 0 and at most 60 s, its hop at least 1 ms"));
        }
        Ok(Self { samples, hop, state: State::default() })
    }

    pub(super) fn push(&mut self, event: &AnyEvent) {
        let Some(block) = event.payload::<Audio16k>() else { return };
        let keep = self.samples + block.samples.len();
        if self.state.tape.push(event.at(), &block.samples, keep) {
            self.state.next = Some(event.at().next_multiple(self.hop));
        }
    }

    /// The next window that is complete and ends at `to` or before: where it starts, its samples, where it ends.
    pub(super) fn next(&mut self, to: Timestamp) -> Option<(Timestamp, Arc<[f32]>, Timestamp)> {
        loop {
            let end = self.state.next?;
            if end > to || end > self.state.tape.now()? {
                return None;
            }
            self.state.next = Some(end + self.hop);
            if let Some((_, samples)) = self.state.tape.before(end, self.samples) {
                let length = samples.len() as u64 * 1_000_000 / u64::from(Audio16k::RATE);
                return Some((end.offset_micros(-(length as i64)), samples.into(), end));
            }
        }
    }

    pub(super) fn snapshot(&self) -> Result<Value> {
        Ok(serde_json::to_value(&self.state)?)
    }

    pub(super) fn restore(&mut self, state: &Value) -> Result<()> {
        self.state = State::deserialize(state)?;
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        self.state = State::default();
    }
}
