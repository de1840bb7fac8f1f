//! What a host is made of and told, and what it says of its streams.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{SystemTimeSource, TimeSource};
use crate::consent::Consent;
use crate::detector::DynDetector;
use crate::event::Kinds;
use crate::log::EventLog;
use crate::model::ModelRegistry;
use crate::pipeline::{PipelineBuilder, StreamSpec, StreamStats};
use crate::privacy::Pseudonymizer;
use crate::source::{LogSourceClock, LogSourceConfig};
use crate::{Result, StreamId};

/// How a host is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// How many streams may be live at once.
    pub max_streams: usize,
    /// How many streams are remembered, live or not; further new ones are refused.
    pub max_known: usize,
    /// A stream without media to which nothing came for so long is stopped; 0 never stops one.
    #[serde(with = "crate::config::secs")]
    pub idle_stop: Duration,
    /// The longest wait between two tries of a stream that fails.
    #[serde(with = "crate::config::secs")]
    pub max_backoff: Duration,
    /// How many of its latest signals a live stream keeps to be looked at.
    pub signals: usize,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            max_streams: 64,
            max_known: 10_000,
            idle_stop: Duration::from_secs(600),
            max_backoff: Duration::from_secs(60),
            signals: 1000,
        }
    }
}

/// What a stream was asked to be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// Its cameras' media: URLs or files. Without any, the clock is that of [`clock`](Self::clock).
    pub inputs: Vec<String>,
    /// What its people agreed to; the host's default where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// What moves its clock where it has no media.
    pub clock: LogSourceClock,
}

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

/// What a stream's pipeline is made of, except for what the host adds itself: the log, the inbox as a source, consent, time and
/// observers.
pub struct StreamMake {
    pub(super) pipeline: PipelineBuilder,
    pub(super) spec: StreamSpec,
    pub(super) looks: Vec<Box<dyn DynDetector>>,
    pub(super) models: ModelRegistry,
}

impl std::fmt::Debug for StreamMake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMake").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl StreamMake {
    /// A pipeline without streams, and the stream for it.
    pub fn new(pipeline: PipelineBuilder, spec: StreamSpec) -> Self {
        Self { pipeline, spec, looks: Vec::new(), models: ModelRegistry::default() }
    }

    /// Shows [pictures that are posted](super::Host::picture) to these detectors, which ask these models.
    #[must_use]
    pub fn with_looks(mut self, detectors: Vec<Box<dyn DynDetector>>, models: ModelRegistry) -> Self {
        (self.looks, self.models) = (detectors, models);
        self
    }
}

/// Puts a stream together.
pub type StreamFactory = Arc<dyn Fn(&StreamId, &StreamSettings) -> Result<StreamMake> + Send + Sync>;

/// What a [`Host`](super::Host) is made of.
pub struct HostParts {
    /// Where arrivals wait for their pipelines. The host is its only user.
    pub inbox: Arc<dyn EventLog>,
    /// The log of all pipelines. The host is its only user.
    pub log: Arc<dyn EventLog>,
    /// Makes the streams.
    pub factory: StreamFactory,
    /// What the streams' people agreed to, where a stream's settings do not say.
    pub consent: Consent,
    /// Replaces users by pseudonyms before anything is written.
    pub pseudonyms: Option<Pseudonymizer>,
    /// The kinds of events.
    pub kinds: Kinds,
    /// Limits.
    pub config: HostConfig,
    /// How the inbox is read; the clock is each stream's own.
    pub reading: LogSourceConfig,
    /// Where time comes from.
    pub time: Arc<dyn TimeSource>,
}

impl HostParts {
    /// With defaults for everything that has one: no consent, no pseudonyms, the shipped kinds, the system's clocks.
    pub fn new(inbox: Arc<dyn EventLog>, log: Arc<dyn EventLog>, factory: StreamFactory) -> Self {
        Self {
            inbox,
            log,
            factory,
            consent: Consent::NONE,
            pseudonyms: None,
            kinds: Kinds::builtin(),
            config: HostConfig::default(),
            reading: LogSourceConfig::default(),
            time: Arc::new(SystemTimeSource::new()),
        }
    }
}
