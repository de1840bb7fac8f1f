use std::sync::Arc;

use super::{HostConfig, HostMode, StreamSettings};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::consent::Consent;
use crate::detector::DynDetector;
use crate::event::Kinds;
use crate::log::EventLog;
use crate::model::ModelRegistry;
use crate::pipeline::{PipelineBuilder, StreamSpec};
use crate::privacy::{LiveFolder, Pseudonymizer};
#[cfg(feature = "media")]
use crate::source::Listeners;
use crate::source::LogSourceConfig;
use crate::{Result, StreamId};

/// What a stream's pipeline is made of, except for what the host adds itself: the log, the inbox as a source, consent, time and
/// observers.
pub struct StreamMake {
    pub(super) pipeline: PipelineBuilder,
    pub(super) spec: StreamSpec,
    pub(super) looks: Vec<Box<dyn DynDetector>>,
    pub(super) models: ModelRegistry,
    #[cfg(feature = "media")]
    pub(super) listeners: Option<Listeners>,
}

impl std::fmt::Debug for StreamMake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMake").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl StreamMake {
    /// A pipeline without streams, and the stream for it.
    pub fn new(pipeline: PipelineBuilder, spec: StreamSpec) -> Self {
        Self {
            pipeline,
            spec,
            looks: Vec::new(),
            models: ModelRegistry::default(),
            #[cfg(feature = "media")]
            listeners: None,
        }
    }

    /// Shows [pictures that are posted](super::Host::picture) to these detectors, which ask these models.
    #[must_use]
    pub fn with_looks(mut self, detectors: Vec<Box<dyn DynDetector>>, models: ModelRegistry) -> Self {
        (self.looks, self.models) = (detectors, models);
        self
    }

    /// Plays [sound that is sent](super::Host::sound) to these detectors.
    #[cfg(feature = "media")]
    #[must_use]
    pub fn with_listeners(mut self, listeners: Listeners) -> Self {
        self.listeners = Some(listeners);
        self
    }
}

/// Puts a stream together.
pub type StreamFactory = Arc<dyn Fn(&StreamId, &StreamSettings) -> Result<StreamMake> + Send + Sync>;

/// What a [`Host`](super::Host) is made of.
pub struct HostParts {
    /// Where arrivals wait for their pipelines. Hosts are its only users.
    pub inbox: Arc<dyn EventLog>,
    /// The log of all pipelines, with as many partitions as the inbox where workers share them. Hosts are its only users.
    pub log: Arc<dyn EventLog>,
    /// Makes the streams.
    pub factory: StreamFactory,
    /// What the streams' people agreed to, where a stream's settings do not say.
    pub consent: Consent,
    /// Replaces users by pseudonyms before anything is written.
    pub pseudonyms: Option<Pseudonymizer>,
    /// The kinds of events.
    pub kinds: Kinds,
    /// What is kept of streams beside the logs, so that it can be erased.
    pub folder: Option<LiveFolder>,
    /// Where others find what this process records, as the URL of a server of [`recordings`](crate::gateway::recordings).
    pub recorded_at: Option<String>,
    /// Limits.
    pub config: HostConfig,
    /// What this process does.
    pub mode: HostMode,
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
            folder: None,
            recorded_at: None,
            config: HostConfig::default(),
            mode: HostMode::default(),
            reading: LogSourceConfig::default(),
            time: Arc::new(SystemTimeSource::new()),
        }
    }
}
