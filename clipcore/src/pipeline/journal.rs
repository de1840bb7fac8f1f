//! One stream's way into the log: durable appends that outlast a full disk, and checkpoints.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::retention::{Ages, Needs};
use crate::log::{Checkpoint, EventLog, Lease, Offset, Record};
use crate::{Error, ErrorKind, Result, StreamId, Timestamp};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// What a stream's checkpoint holds beside the engine's state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) engine: Value,
    pub(super) ledger: Ledger,
    pub(super) clock: Option<Timestamp>,
    pub(super) wall_offset: Option<i64>,
    pub(super) ended: bool,
    #[serde(default)]
    pub(super) ages: Ages,
}

/// The only writer of one stream's records.
pub(super) struct Journal {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) lease: Lease,
    pub(super) consumer: String,
    /// Everything before this offset has been taken in.
    pub(super) next: Offset,
    pub(super) ages: Ages,
    /// Offset and length of the last append, where its end is not yet known.
    last: Option<(Offset, usize)>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("lease", &self.lease)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Journal {
    pub(super) fn new(log: Arc<dyn EventLog>, lease: Lease, stream: &StreamId) -> Self {
        Self {
            log,
            lease,
            consumer: format!("pipeline-{stream}"),
            next: 0,
            ages: Ages::default(),
            last: None,
        }
    }

    /// Appends records. While the log is full or out of reach it tries again, so that sources wait and
    /// nothing is lost; `on_retry` is told each time.
    ///
    /// # Errors
    /// What the log says, where trying again cannot help or `stop` is cancelled.
    pub(super) async fn append(
        &mut self,
        records: &[Record],
        stop: &CancellationToken,
        mut on_retry: impl FnMut(&Error),
    ) -> Result<()> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match self.log.append_as(&self.lease, records).await {
                Ok(first) => {
                    self.last = Some((first, records.len()));
                    return Ok(());
                }
                Err(error) if error.is_retryable() || error.kind() == ErrorKind::DiskFull => {
                    on_retry(&error);
                    if stop.run_until_cancelled(tokio::time::sleep(backoff)).await.is_none() {
                        return Err(error);
                    }
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The offset after the last record of this stream. Offsets may leave gaps, so it is looked up.
    async fn end(&mut self) -> Result<Offset> {
        if let Some((first, count)) = self.last {
            let read = self.log.read(self.lease.partition, first, count).await?;
            self.next = read.last().map_or(first, |(offset, _)| offset + 1);
            self.last = None;
        }
        Ok(self.next)
    }

    /// Stores the state together with the offset after everything it has seen; gives what is still needed of the log.
    ///
    /// # Errors
    /// `Conflict` where another process has taken the partition over; what the log says.
    pub(super) async fn checkpoint(&mut self, mut state: State, retain: Duration) -> Result<Needs> {
        let next = self.end().await?;
        let aged = match state.clock {
            Some(clock) if !retain.is_zero() => self.ages.note(retain, clock, next),
            _ => 0,
        };
        state.ages = self.ages.clone();
        let checkpoint = Checkpoint { next, state: serde_json::to_value(state)? };
        self.log.checkpoint(&self.lease, &self.consumer, &checkpoint).await?;
        Ok(Needs { restart: next, aged })
    }

    /// The last checkpoint, where there is one that can be read.
    ///
    /// # Errors
    /// What the log says; `InvalidInput` where the checkpoint is of another form.
    pub(super) async fn restore(&self) -> Result<Option<(Offset, State)>> {
        let Some(found) = self.log.last_checkpoint(self.lease.partition, &self.consumer).await? else {
            return Ok(None);
        };
        Ok(Some((found.next, State::deserialize(found.state)?)))
    }
}
