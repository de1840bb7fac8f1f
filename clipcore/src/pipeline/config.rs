use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Sizes and spans of a pipeline; the defaults suit one machine with dozens of streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipelineConfig {
    /// Worker threads that detectors and fusion run on; 0 is one for each core.
    pub workers: usize,
    /// Items that each source may queue; further ones make it wait.
    pub queue: usize,
    /// Records that are appended to the log in one go, at most.
    pub batch: usize,
    /// Items that wait in each sink's and each cutter's own queue.
    pub sink_queue: usize,
    /// Once so many items wait for one sink or cutter, the stream's sources wait. Also how many failed
    /// deliveries are kept for a restart.
    pub max_backlog: usize,
    /// Stream time between checkpoints.
    #[serde(with = "crate::config::secs")]
    pub checkpoint_every: Duration,
    /// Records of the log that are older than this, in stream time, are dropped at a checkpoint; 0 keeps them for
    /// ever.
    #[serde(with = "crate::config::secs")]
    pub log_retain: Duration,
    /// Bytes of each of the log's partitions beyond which the oldest records are dropped at a checkpoint; 0 is
    /// without limit.
    pub log_max_bytes: u64,
    /// How far a camera may fall behind a live one before the stream goes on without it.
    #[serde(with = "crate::config::secs")]
    pub max_camera_lag: Duration,
    /// How far detectors of another process may fall behind live media before the stream goes on without them.
    #[serde(with = "crate::config::secs")]
    pub max_pool_lag: Duration,
    /// How far ahead of the stream's clock an event may lie.
    #[serde(with = "crate::config::secs")]
    pub max_ahead: Duration,
    /// How long sources may take to end when asked to.
    #[serde(with = "crate::config::secs")]
    pub grace: Duration,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            queue: 256,
            batch: 256,
            sink_queue: 16,
            max_backlog: 4096,
            checkpoint_every: Duration::from_secs(30),
            log_retain: Duration::ZERO,
            log_max_bytes: 0,
            max_camera_lag: Duration::from_secs(10),
            max_pool_lag: Duration::from_secs(30),
            max_ahead: Duration::from_secs(24 * 3600),
            grace: Duration::from_secs(10),
        }
    }
}

impl PipelineConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config` that names the setting.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("queue", self.queue),
            ("batch", self.batch),
            ("sink_queue", self.sink_queue),
            ("max_backlog", self.max_backlog),
        ];
        match sizes.into_iter().find(|(_, size)| *size == 0) {
            Some((name, _)) => Err(Error::config(format!("pipeline.{name} is 0: nothing would get through"))),
            None => Ok(()),
        }
    }
}
