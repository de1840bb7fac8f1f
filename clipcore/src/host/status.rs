//! What a host tells of its streams.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::live::Live;
use super::registry::Known;
use super::{Host, StreamSettings, unknown};
use crate::detector::Signal;
use crate::event::AnyEvent;
use crate::log::{Offset, Record, partition_of};
use crate::pipeline::StreamStats;
use crate::{Result, StreamId};

/// Where a stream is in its life; see the [module](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// Its pipeline runs.
    Live,
    /// Its pipeline failed and will be tried again.
    Failed,
    /// It was stopped because nothing came.
    Idle,
    /// Its input has ended.
    Ended,
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamStatus {
    /// The stream.
    pub id: StreamId,
    /// Where it is in its life.
    pub state: StreamState,
    /// What it was asked to be.
    #[serde(flatten)]
    pub settings: StreamSettings,
    /// What its present run has counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<StreamStats>,
    /// Arrivals that were passed over in the present run because they had come before.
    pub repeated: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The latest things a person should know.
    pub notices: Vec<String>,
}

impl Host {
    /// What is known of a stream.
    pub fn status(&self, stream: &StreamId) -> Option<StreamStatus> {
        let known = self.0.registry.find(stream)?;
        let live = self.lives().get(stream).cloned();
        Some(status(stream.clone(), known, live.as_deref()))
    }

    /// What is known of a stream that is known.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn known(&self, stream: &StreamId) -> Result<StreamStatus> {
        self.status(stream).ok_or_else(|| unknown(stream))
    }

    /// What is known of all streams, in order of their ids.
    pub fn streams(&self) -> Vec<StreamStatus> {
        let lives = self.lives().clone();
        let all = self.0.registry.all().into_iter();
        all.map(|(stream, known)| {
            let live = lives.get(&stream).cloned();
            status(stream, known, live.as_deref())
        })
        .collect()
    }

    /// How many streams are live.
    pub fn live_streams(&self) -> usize {
        self.lives().len()
    }

    /// The latest signals of a live stream, oldest first.
    pub fn signals(&self, stream: &StreamId) -> Vec<Signal> {
        self.lives().get(stream).map(|live| live.signals()).unwrap_or_default()
    }

    /// What all streams have counted since the host was opened; `clock`, `watermark` and `pending` are left out.
    pub fn totals(&self) -> StreamStats {
        let mut totals = self.0.past.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for live in self.lives().values() {
            if let Some(stats) = live.stats() {
                totals.add(&stats);
            }
        }
        totals
    }

    /// How many records of the inbox the stream that is furthest behind has not read.
    pub fn inbox_lag(&self) -> u64 {
        self.lives().values().map(|live| live.lag()).max().unwrap_or(0)
    }

    /// What the log holds of a stream's events from offset `from` on, at most `max` records looked at, and the offset to go
    /// on from.
    ///
    /// # Errors
    /// What the log says.
    pub async fn events(
        &self,
        stream: &StreamId,
        from: Offset,
        max: usize,
    ) -> Result<(Vec<(Offset, AnyEvent)>, Offset)> {
        let log = self.0.log_shared.whole();
        let partition = partition_of(stream, log.partitions());
        let (records, next) = log.read_stream(partition, stream, from, max).await?;
        let events = records.into_iter().filter_map(|(offset, record)| match record {
            Record::Event(event) => Some((offset, event)),
            _ => None,
        });
        Ok((events.collect(), next))
    }
}

fn status(id: StreamId, known: Known, live: Option<&Live>) -> StreamStatus {
    let told = live.map(Live::told).unwrap_or_default();
    StreamStatus {
        id,
        state: if told.error.is_some() { StreamState::Failed } else { known.state },
        settings: known.settings,
        stats: live.and_then(Live::stats),
        repeated: live.map_or(0, |live| live.repeated.load(Ordering::Relaxed)),
        error: told.error,
        notices: told.notices.into(),
    }
}
