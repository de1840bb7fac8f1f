//! Sinks: where moments and clips go.
//!
//! # For implementors
//! Implement [`ClipSink`], then run [`conformance::sink`](mod@crate::conformance::sink) on it. Retry, time-out and
//! dead letter are layers around any sink, not the sink's own business.

#[cfg(feature = "runtime")]
mod files;
#[cfg(feature = "runtime")]
mod jsonl;
#[cfg(feature = "runtime")]
pub mod layer;
#[cfg(feature = "runtime")]
mod lines;
mod memory;
#[cfg(feature = "object-store")]
pub mod object_store;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "rq")]
pub mod rq;
#[cfg(feature = "http")]
pub mod webhook;

#[cfg(feature = "runtime")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
#[cfg(feature = "runtime")]
pub use files::{FilesSink, HandOver};
#[cfg(feature = "runtime")]
pub use jsonl::JsonlSink;
#[cfg(feature = "runtime")]
pub use layer::SinkExt;
pub use memory::MemorySink;
#[cfg(feature = "object-store")]
pub use object_store::{ObjectStoreSink, ObjectStoreSinkConfig};
#[cfg(feature = "redis")]
pub use redis::{RedisSink, RedisSinkConfig};
#[cfg(feature = "rq")]
pub use rq::{RqSink, RqSinkConfig};
use serde::{Deserialize, Serialize};
#[cfg(feature = "http")]
pub use webhook::{WebhookSink, WebhookSinkConfig};

use crate::cutter::Clip;
#[cfg(feature = "runtime")]
use crate::cutter::ClipState;
use crate::fusion::Moment;
use crate::log::Receipt;
#[cfg(feature = "runtime")]
use crate::{Error, ErrorKind};
use crate::{Result, StreamId};

/// Something to deliver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Delivery {
    /// A moment's transition.
    Moment(Moment),
    /// A clip's transition; `file` is where the finished clip lies, where it is finished.
    Clip {
        /// The clip.
        clip: Clip,
        /// The finished file, absolute.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<PathBuf>,
    },
}

impl Delivery {
    /// Id of the moment or clip.
    pub fn item(&self) -> &Arc<str> {
        match self {
            Self::Moment(m) => &m.id,
            Self::Clip { clip, .. } => &clip.id,
        }
    }

    /// What tells transitions of one item apart, and rises from one to the next: a moment's `rev`, a clip's
    /// [`transition`](Clip::transition).
    pub fn rev(&self) -> u32 {
        match self {
            Self::Moment(m) => m.rev,
            Self::Clip { clip, .. } => clip.transition(),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::Moment(m) => &m.stream,
            Self::Clip { clip, .. } => &clip.stream,
        }
    }

    /// Whether it is a finished clip.
    #[cfg(feature = "runtime")]
    pub(crate) fn is_finished_clip(&self) -> bool {
        matches!(self, Self::Clip { clip, .. } if clip.state == ClipState::Ready)
    }

    /// A finished clip with its file, its id fit to be a part of a name; `None` where it is something else.
    ///
    /// # Errors
    /// `NotFound` where the file is on another machine; `InvalidInput` for ids that are none.
    #[cfg(feature = "runtime")]
    pub(crate) fn finished_clip(&self) -> Result<Option<(&Clip, &Path)>> {
        let Self::Clip { clip, file } = self else { return Ok(None) };
        if !self.is_finished_clip() {
            return Ok(None);
        }
        let file = file.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "this clip has no file on this machine")
                .with_context("clip", &clip.id)
        })?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if clip.id.is_empty() || !clip.id.bytes().all(fits) {
            return Err(Error::invalid(format!("{:?} is not a clip id", crate::ids::shorten(&clip.id))));
        }
        Ok(Some((clip, file)))
    }

    /// The receipt that says `sink` took it.
    pub fn receipt(&self, sink: &str) -> Receipt {
        Receipt {
            item: self.item().clone(),
            rev: self.rev(),
            stream: self.stream().clone(),
            sink: sink.into(),
            location: None,
            duplicate: false,
            dead_letter: false,
        }
    }
}

/// Delivers moments and clips.
///
/// # Contract
/// - `deliver` is idempotent by `(item, rev)`: a second call has no second effect and says `duplicate`.
/// - An error says through [`Error::is_retryable`](crate::Error::is_retryable) whether trying again can help.
/// - Calls come in order for one stream, and from several tasks for several streams.
///
/// # Cancel safety
/// A `deliver` that is dropped half-way may be repeated.
#[async_trait]
pub trait ClipSink: Send + Sync {
    /// Its name in receipts and metrics.
    fn name(&self) -> &str;

    /// Whether delivering `item` would do anything; callers may leave out what a sink does not want, and a sink
    /// takes it without effect.
    fn wants(&self, item: &Delivery) -> bool {
        let _ = item;
        true
    }

    /// Called once before the first delivery: can it work at all?
    ///
    /// # Errors
    /// That name what is missing and what to do.
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Delivers one item.
    ///
    /// # Errors
    /// Retryable or permanent; the item is not delivered.
    async fn deliver(&self, item: &Delivery) -> Result<Receipt>;

    /// Takes out what it keeps of a stream, where that is in its power: what others were given stays with them. Gives how many
    /// items it was. What is delivered of such a stream afterwards is new.
    ///
    /// # Errors
    /// Retryable or permanent; doing it again goes on.
    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        let _ = stream;
        Ok(0)
    }

    /// Called once after the last delivery: everything accepted is on its way or durable.
    ///
    /// # Errors
    /// Where something accepted could not be kept.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl<S: ClipSink + ?Sized> ClipSink for Arc<S> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn wants(&self, item: &Delivery) -> bool {
        (**self).wants(item)
    }
    async fn check(&self) -> Result<()> {
        (**self).check().await
    }
    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        (**self).deliver(item).await
    }
    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        (**self).erase(stream).await
    }
    async fn close(&self) -> Result<()> {
        (**self).close().await
    }
}
