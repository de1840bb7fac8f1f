use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::config::PipelineConfig;
use super::observe::{Notice, Observers, Progress};
use super::schedule::Events;
use super::watch::Watched;
use super::{EngineFactory, Pipeline, Shared};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::consent::Consent;
use crate::cutter::Cutter;
use crate::detector::{DynDetector, Signal};
use crate::engine::{Engine, EngineConfig};
use crate::event::{AnyEvent, Kinds};
use crate::fusion::{Fusion, FusionFactory};
use crate::log::EventLog;
use crate::model::{Model, ModelRegistry};
use crate::privacy::Pseudonymizer;
use crate::sink::ClipSink;
use crate::source::Source;
use crate::{Error, Result, StreamId};

/// Makes one detector for each stream.
pub type DetectorFactory = Arc<dyn Fn(&StreamId) -> Result<Box<dyn DynDetector>> + Send + Sync>;

/// What one stream of a pipeline is made of.
pub struct StreamSpec {
    pub(super) id: StreamId,
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) cutters: Vec<Arc<dyn Cutter>>,
    pub(super) schedules: Vec<Events>,
    pub(super) consent: Option<Consent>,
    pub(super) detectors: Vec<DetectorFactory>,
    pub(super) pools: Vec<String>,
}

impl fmt::Debug for StreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|s| s.name()).collect();
        f.debug_struct("StreamSpec").field("id", &self.id).field("sources", &sources).finish_non_exhaustive()
    }
}

impl StreamSpec {
    /// A stream with nothing attached.
    pub fn new(id: StreamId) -> Self {
        Self {
            id,
            sources: Vec::new(),
            cutters: Vec::new(),
            schedules: Vec::new(),
            consent: None,
            detectors: Vec::new(),
            pools: Vec::new(),
        }
    }

    /// Adds a source; the first one that [drives the clock](Source::has_clock) is the reference camera.
    #[must_use]
    pub fn with_source(mut self, source: impl Source + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }

    /// Adds the cutter of one camera.
    #[must_use]
    pub fn with_cutter(mut self, cutter: Arc<dyn Cutter>) -> Self {
        self.cutters.push(cutter);
        self
    }

    /// Adds events whose instants are known beforehand, sorted by `at` (a chat file, see
    /// [`Schedule`](crate::source::Schedule)). Before the clock passes an instant, every event up to it has been let in,
    /// so that a run over files gives the same log each time.
    #[must_use]
    pub fn with_schedule<I>(mut self, events: I) -> Self
    where
        I: IntoIterator<Item = AnyEvent>,
        I::IntoIter: Send + 'static,
    {
        self.schedules.push(Box::new(events.into_iter()));
        self
    }

    /// What this stream's people agreed to, in place of the pipeline's default.
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = Some(consent);
        self
    }

    /// Waits for detectors of other processes, which look at what the cameras record and say so by
    /// [`Item::Looked`](crate::source::Item::Looked) under this name.
    #[must_use]
    pub fn with_pool(mut self, pool: impl Into<String>) -> Self {
        self.pools.push(pool.into());
        self
    }

    /// Adds a detector to this stream only.
    #[must_use]
    pub fn with_detector<F>(mut self, factory: F) -> Self
    where
        F: Fn(&StreamId) -> Result<Box<dyn DynDetector>> + Send + Sync + 'static,
    {
        self.detectors.push(Arc::new(factory));
        self
    }
}

/// Puts a [`Pipeline`] together.
#[derive(Default)]
pub struct PipelineBuilder {
    streams: Vec<StreamSpec>,
    log: Option<Arc<dyn EventLog>>,
    fusion: Option<FusionFactory>,
    detectors: Vec<DetectorFactory>,
    sinks: Vec<Arc<dyn ClipSink>>,
    models: ModelRegistry,
    consent: Consent,
    pseudonyms: Option<Pseudonymizer>,
    engine: EngineConfig,
    config: PipelineConfig,
    kinds: Option<Kinds>,
    time: Option<Arc<dyn TimeSource>>,
    observers: Observers,
}

impl fmt::Debug for PipelineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineBuilder")
            .field("streams", &self.streams)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl PipelineBuilder {
    /// Adds a stream.
    #[must_use]
    pub fn with_stream(mut self, stream: StreamSpec) -> Self {
        self.streams.push(stream);
        self
    }

    /// The log that everything is written to before it counts. Required.
    #[must_use]
    pub fn with_log(mut self, log: Arc<dyn EventLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Makes each stream's fusion. Required.
    #[must_use]
    pub fn with_fusion<F>(mut self, factory: F) -> Self
    where
        F: Fn(&StreamId) -> Box<dyn Fusion> + Send + Sync + 'static,
    {
        self.fusion = Some(Arc::new(factory));
        self
    }

    /// Adds a detector of events to every stream.
    #[must_use]
    pub fn with_detector<F>(mut self, factory: F) -> Self
    where
        F: Fn(&StreamId) -> Result<Box<dyn DynDetector>> + Send + Sync + 'static,
    {
        self.detectors.push(Arc::new(factory));
        self
    }

    /// Adds a sink for the moments and clips of every stream.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn ClipSink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Adds a model that detectors may ask.
    #[must_use]
    pub fn with_model(mut self, model: Arc<dyn Model>) -> Self {
        self.models = self.models.with_model(model);
        self
    }

    /// What the streams' people agreed to; nothing where this is not called.
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = consent;
        self
    }

    /// Replaces users by pseudonyms before anything is logged.
    #[must_use]
    pub fn with_pseudonyms(mut self, pseudonyms: Pseudonymizer) -> Self {
        self.pseudonyms = Some(pseudonyms);
        self
    }

    /// Sets lateness and buffer size of the engines.
    #[must_use]
    pub fn with_engine(mut self, engine: EngineConfig) -> Self {
        self.engine = engine;
        self
    }

    /// Sets queue sizes, checkpoint interval and the like.
    #[must_use]
    pub fn with_config(mut self, config: PipelineConfig) -> Self {
        self.config = config;
        self
    }

    /// The kinds of events that checkpoints are read with; the shipped ones where this is not called.
    #[must_use]
    pub fn with_kinds(mut self, kinds: Kinds) -> Self {
        self.kinds = Some(kinds);
        self
    }

    /// Where time comes from; the system's clocks where this is not called.
    #[must_use]
    pub fn with_time_source(mut self, time: Arc<dyn TimeSource>) -> Self {
        self.time = Some(time);
        self
    }

    /// Called with everything a person should know; a `tracing` warning where this is not called.
    #[must_use]
    pub fn on_notice(mut self, notice: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.observers.notice = Arc::new(notice);
        self
    }

    /// Called as each stream's clock moves.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.observers.progress = Some(Arc::new(progress));
        self
    }

    /// Called with every signal, those of the engines' detectors and those found at the edge.
    #[must_use]
    pub fn on_signal(mut self, signal: impl Fn(&Signal) + Send + Sync + 'static) -> Self {
        self.observers.signal = Some(Arc::new(signal));
        self
    }

    /// Checks that everything fits; nothing is started yet.
    ///
    /// # Errors
    /// `Config` where something is missing, or two streams, cameras, detectors or sinks share a name;
    /// `ConsentRequired` where a detector needs more than a stream's people agreed to; what detector
    /// factories say.
    pub fn build(self) -> Result<Pipeline> {
        let log = self.log.ok_or_else(|| {
            Error::config("the pipeline has no log").with_hint(
                "give PipelineBuilder::with_log a FileLog, or a MemoryLog where nothing is to be kept",
            )
        })?;
        let fusion = self.fusion.ok_or_else(|| {
            Error::config("the pipeline has no fusion")
                .with_hint("give PipelineBuilder::with_fusion a factory of one")
        })?;
        self.config.validate()?;
        unique("sink", self.sinks.iter().map(|s| s.name().to_owned()))?;
        unique("stream", self.streams.iter().map(|s| s.id.to_string()))?;
        let mut streams = Vec::new();
        for mut spec in self.streams {
            unique("camera", spec.cutters.iter().map(|c| c.camera().to_string()))
                .map_err(|error| error.with_context("stream", &spec.id))?;
            let consent = spec.consent.unwrap_or(self.consent);
            let mut detectors = self.detectors.clone();
            detectors.append(&mut spec.detectors);
            let (id, config) = (spec.id.clone(), self.engine.clone());
            let (models, fusion) = (self.models.clone(), fusion.clone());
            let make: EngineFactory = Box::new(move || {
                let mut engine = Engine::new(id.clone(), fusion(&id))
                    .with_config(config.clone())
                    .with_consent(consent)
                    .with_models(models.clone());
                for detector in &detectors {
                    engine = engine.with_detector(Box::new(Watched::new(detector(&id)?)))?;
                }
                Ok(engine)
            });
            let engine = make().map_err(|error| error.with_context("stream", &spec.id))?;
            streams.push((spec, consent, engine, make));
        }
        let shared = Arc::new(Shared {
            config: self.config,
            time: self.time.unwrap_or_else(|| Arc::new(SystemTimeSource::new())),
            pseudonyms: self.pseudonyms,
            kinds: self.kinds.unwrap_or_else(Kinds::builtin),
            observers: self.observers,
        });
        Ok(Pipeline::new(streams, log, self.sinks, shared))
    }
}

fn unique(what: &str, names: impl Iterator<Item = String>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(Error::config(format!("there are two {what}s named {name:?}"))
                .with_hint("give one of them another name"));
        }
        seen.insert(name);
    }
    Ok(())
}
