//! Sources: the edge where events and media come in.
//!
//! # For implementors
//! Implement [`Source`] and hand it to the pipeline's builder. A source may do I/O and read clocks; it hands over
//! [`Item`]s and lets the pipeline number, order, log and dispatch them.

mod ack;
mod jsonl;
mod log;
#[cfg(feature = "media")]
pub mod media;
mod pictures;
#[cfg(feature = "redis")]
pub mod redis;
mod schedule;
mod shown;
#[cfg(feature = "media")]
mod sound;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use ack::{Ack, Acks};
use async_trait::async_trait;
pub use jsonl::JsonlSource;
pub use log::{LogSource, LogSourceClock, LogSourceConfig};
pub use pictures::{PictureSource, Posted};
#[cfg(feature = "redis")]
pub use redis::{RedisSource, RedisSourceConfig};
pub use schedule::Schedule;
#[cfg(feature = "media")]
pub use sound::{Heard, Listeners, SoundSource};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use crate::detector::Signal;
use crate::event::{AnyEvent, EpochStart, Incoming};
use crate::log::Looked;
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

/// What a source hands over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Item {
    /// An event as it came; the pipeline places it on the timeline.
    Incoming(Incoming),
    /// An event that is on the timeline already.
    Event(AnyEvent),
    /// What a detector at the edge found in sound or pictures.
    Signal(Signal),
    /// A camera's timestamps begin anew.
    Epoch {
        /// The camera.
        camera: CameraId,
        /// The first instant of the epoch.
        at: Timestamp,
        /// Its map.
        epoch: EpochStart,
    },
    /// Media of `camera` is recorded and looked at up to `at`: everything this source will say about
    /// earlier instants has been said.
    Progress {
        /// The camera.
        camera: CameraId,
        /// How far it has come.
        at: Timestamp,
        /// Civil time at that instant, where the source is live.
        wall: Option<WallTime>,
    },
    /// Detectors of another process have looked at a camera's media; see
    /// [`StreamSpec::with_pool`](crate::pipeline::StreamSpec::with_pool).
    Looked(Looked),
    /// Something a person should know (a reconnect, a tap that fell behind); the source goes on.
    Notice(String),
    /// An input that could not be read (a bad line): reported and counted; the source goes on.
    Bad(Arc<Error>),
    /// Asks to be told once everything that was handed over before is durably in the log, or was refused.
    Ack(Ack),
}

/// The way from a source into the pipeline: a bounded queue and a stop signal.
#[derive(Debug, Clone)]
pub struct SourceOutput {
    stream: StreamId,
    tx: mpsc::Sender<Item>,
    stop: CancellationToken,
    waits: Arc<AtomicU64>,
    resume_at: Option<Timestamp>,
}

impl SourceOutput {
    /// An output that fills `tx` until `stop` is cancelled.
    pub fn new(stream: StreamId, tx: mpsc::Sender<Item>, stop: CancellationToken) -> Self {
        Self { stream, tx, stop, waits: Arc::default(), resume_at: None }
    }

    /// Counts in `waits` how often the source had to wait for room.
    #[must_use]
    pub fn with_wait_counter(mut self, waits: Arc<AtomicU64>) -> Self {
        self.waits = waits;
        self
    }

    /// Says how far an earlier run of the stream has come; see [`resume_at`](Self::resume_at).
    #[must_use]
    pub fn with_resume_at(mut self, at: Option<Timestamp>) -> Self {
        self.resume_at = at;
        self
    }

    /// How far the clock had come in an earlier run that this one continues. A source that can seek may skip
    /// what lies before it; what it says again is recognised.
    pub fn resume_at(&self) -> Option<Timestamp> {
        self.resume_at
    }

    /// The stream that the source feeds.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Hands an item over; waits while the queue is full.
    ///
    /// # Errors
    /// `Cancelled` where the pipeline has gone.
    pub async fn send(&self, item: Item) -> Result<()> {
        let item = match self.tx.try_send(item) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Self::gone()),
            Err(TrySendError::Full(item)) => item,
        };
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.tx.send(item).await.map_err(|_| Self::gone())
    }

    /// As [`send`](Self::send), for source threads that are not async. Must not be called from async code.
    ///
    /// # Errors
    /// As there.
    pub fn blocking_send(&self, item: Item) -> Result<()> {
        let item = match self.tx.try_send(item) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Self::gone()),
            Err(TrySendError::Full(item)) => item,
        };
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.tx.blocking_send(item).map_err(|_| Self::gone())
    }

    fn gone() -> Error {
        Error::new(ErrorKind::Cancelled, "the pipeline has stopped")
    }

    /// Ready once the pipeline takes nothing more.
    pub(crate) async fn closed(&self) {
        self.tx.closed().await;
    }

    /// Cancelled when the source should end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

/// Brings events or media of one stream in.
///
/// # Contract
/// `run` ends when the input has ended or `stop` is cancelled (soon after); a lost connection is the source's
/// own business to mend. An error ends this source; the pipeline reports it, and other sources go on.
#[async_trait]
pub trait Source: Send {
    /// Its name in messages, for example the URL without secrets.
    fn name(&self) -> String;

    /// Whether it drives the stream's clock by [`Item::Progress`]; a stream whose sources do not gets
    /// one-second clock records from the pipeline.
    fn has_clock(&self) -> bool {
        false
    }

    /// Runs to the end of the input.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput`, `Unsupported`, … where the input cannot be read at all.
    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()>;
}
