//! Pools: detectors of sound and pictures in processes of their own, for machines with accelerators.
//!
//! A worker that records a stream leaves the detectors of pools out. The processes of a pool read what it records, as it is
//! written ([`recordings`](crate::gateway::recordings)), and put into the inbox what their detectors find and how far
//! they have come. The stream's clock [waits for them](crate::pipeline::StreamSpec::with_pool), so that what they find is not
//! late.
//!
//! The processes of a pool divide the streams among themselves by claims, as workers do. How far each stream was looked at is
//! kept in checkpoints. One that takes a stream over reads the last [three minutes](WARM_UP) before that place again, so
//! that detectors know what is usual, and says only what lies after it. After a crash, what lies within half a second
//! of that place may be said twice, at slightly different instants.

mod claims;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::TimeSource;
use crate::host::{StreamSettings, StreamStore, WorkerConfig};
use crate::log::EventLog;
use crate::source::media::{MediaConfig, Watch};
use crate::{CameraId, Error, ErrorKind, Result, StreamId};

/// How much is read again before the place from which on something counts: what is usual is learned over about a minute.
pub const WARM_UP: Duration = Duration::from_secs(180);

/// Makes what looks at a camera.
pub type WatchFactory = Arc<dyn Fn(&StreamId, &CameraId, &StreamSettings) -> Result<Watch> + Send + Sync>;

/// What a [`DetectorPool`] is made of.
pub struct PoolParts {
    /// The pool's name.
    pub name: String,
    /// What is known of streams.
    pub streams: Arc<dyn StreamStore>,
    /// Where arrivals wait for pipelines.
    pub inbox: Arc<dyn EventLog>,
    /// A log of the pool's own, with as many partitions as the inbox, whose claims and checkpoints are used and which holds no
    /// records.
    pub places: Arc<dyn EventLog>,
    /// Says which cameras a stream has.
    pub cameras: fn(&StreamSettings) -> Vec<CameraId>,
    /// Makes the detectors.
    pub factory: WatchFactory,
    /// How partitions are claimed.
    pub worker: WorkerConfig,
    /// How media is looked at.
    pub media: MediaConfig,
    /// What the workers ask those who read their recordings for.
    pub secret: Option<String>,
    /// Where time comes from.
    pub time: Arc<dyn TimeSource>,
}

/// A process of a pool; see the [module](self).
pub struct DetectorPool {
    parts: PoolParts,
    http: reqwest::Client,
}

impl std::fmt::Debug for DetectorPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DetectorPool").field("name", &self.parts.name).finish_non_exhaustive()
    }
}

impl DetectorPool {
    /// Puts it together; nothing is begun.
    ///
    /// # Errors
    /// `Config` where inbox and places have not the same number of partitions; `Internal` where no client of HTTP can be made.
    pub fn new(parts: PoolParts) -> Result<Self> {
        if parts.inbox.partitions() != parts.places.partitions() {
            return Err(Error::config(
                "the inbox and the places of a pool have not the same number of partitions",
            )
            .with_context("inbox", parts.inbox.partitions())
            .with_context("places", parts.places.partitions()));
        }
        parts.media.validate()?;
        // A recording of which nothing comes for so long is asked for anew; parts of it are written five times a second.
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(parts.media.stall * 2)
            .redirect(reqwest::redirect::Policy::none());
        let http = client
            .build()
            .map_err(|e| Error::new(ErrorKind::Internal, "recordings cannot be asked for").with_source(e))?;
        Ok(Self { parts, http })
    }

    /// Looks at streams until `stop` is cancelled; then others may have them at once.
    pub async fn run(self, stop: CancellationToken) {
        claims::run(Arc::new(self), stop).await;
    }
}
