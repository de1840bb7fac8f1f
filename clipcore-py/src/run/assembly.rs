//! Puts a run together as `clipcore run` does, with parts from Python beside the shipped ones.

use std::path::PathBuf;
use std::sync::Arc;

use clipcore::clock::SystemTimeSource;
use clipcore::event::Kinds;
use clipcore::log::FileLog;
use clipcore::model::Model;
use clipcore::pipeline::Pipeline;
use clipcore::sink::{ClipSink, JsonlSink, SinkExt};
use clipcore::source::Schedule;
use clipcore::source::media::MediaSource;
use clipcore::{Error, Result, StreamId};
use clipcore_cli::config::Config;
use clipcore_cli::models::Models;
use clipcore_cli::streams::Streams;
use clipcore_cli::{assembly, inputs, privacy, sinks, sources};

use super::outbox::{Item, Outbox};
use super::sinks::{PySink, Reader};
use super::source::PySource;
use crate::detector::Spec;
use crate::model;

/// What a run is made of.
pub(super) struct Plan {
    pub(super) config: Config,
    /// A path or URL for each camera.
    pub(super) inputs: Vec<String>,
    /// Events whose instants are known beforehand.
    pub(super) chat: Option<PathBuf>,
    /// Events that come as they come.
    pub(super) events: Option<PySource>,
    pub(super) detectors: Vec<Spec>,
    pub(super) models: Vec<Arc<dyn Model>>,
    pub(super) sinks: Vec<PySink>,
    /// Whether the reader wants signals, too.
    pub(super) signals: bool,
}

impl Plan {
    fn stream_id(&self) -> StreamId {
        let named = || self.inputs.first().map(|input| inputs::stream_id_of(input));
        self.config.stream.clone().or_else(named).unwrap_or_else(|| inputs::stream_id_of("events"))
    }

    /// Checks everything and opens the log; nothing runs yet.
    ///
    /// # Errors
    /// Whatever stands in the way of starting.
    pub(super) async fn build(self, outbox: &Arc<Outbox>) -> Result<Pipeline> {
        let (config, stream) = (self.config.clone(), self.stream_id());
        let out = &config.out;
        std::fs::create_dir_all(out)
            .map_err(|e| Error::io(e, out).with_hint("out names a folder that can be written"))?;
        let configured = sinks::open(&config.sinks, out).await?;
        let mut models = if self.inputs.is_empty() { Models::default() } else { Models::open(&config)? };
        models.notes.drain(..).for_each(|note| outbox.tell(Item::Notice(note)));
        model::add(&mut models, self.models.iter().cloned());
        let subject = format!("stream {stream}");
        let pseudonyms = privacy::begin(&config.privacy, out, "run", &subject, config.consent)?;
        let log =
            FileLog::open(out.join("log"), assembly::log_config(&config.pipeline), Kinds::builtin()).await?;
        let streams = Streams::new(&config)?;
        let (notices, progress) = (outbox.clone(), outbox.clone());
        let mut builder = streams
            .pipeline()
            .with_log(Arc::new(log))
            .with_consent(config.consent)
            .with_pseudonyms(pseudonyms)
            .with_time_source(Arc::new(SystemTimeSource::new()))
            .with_sink(Arc::new(JsonlSink::open(out).await?.with_retry(Default::default())))
            .with_sink(Arc::new(Reader(outbox.clone())))
            .on_notice(move |notice| notices.tell(Item::Notice(notice.to_string())))
            .on_progress(move |p| {
                let stats = serde_json::to_string(&p.stats).unwrap_or_default();
                progress.tell(Item::Progress(p.clock.as_secs_f64(), stats));
            });
        if self.signals {
            let signals = outbox.clone();
            builder = builder.on_signal(move |signal| {
                if let Ok(json) = serde_json::to_string(signal) {
                    signals.tell(Item::Signal(json));
                }
            });
        }
        for model in &self.models {
            builder = builder.with_model(model.clone());
        }
        let own =
            self.sinks.into_iter().map(|s| Arc::new(s.with_retry(Default::default())) as Arc<dyn ClipSink>);
        for sink in configured.into_iter().chain(own) {
            builder = builder.with_sink(sink);
        }
        let (of_media, of_events): (Vec<Spec>, Vec<Spec>) =
            self.detectors.into_iter().partition(Spec::is_of_media);
        let cameras: Vec<_> = inputs::camera_ids(self.inputs.len()).into_iter().zip(self.inputs).collect();
        let more = |source| with_detectors(source, &of_media, &stream);
        let mut spec = streams.spec(&models, &stream, &cameras, config.consent, more)?;
        for detector in of_events {
            spec = spec.with_detector(move |stream: &StreamId| detector.make(stream));
        }
        if let Some(chat) = &self.chat {
            let schedule = Schedule::open(chat, &stream, &Kinds::builtin())?;
            schedule.bad().iter().for_each(|error| outbox.tell(Item::Notice(error.to_string())));
            spec = spec.with_schedule(schedule);
        }
        if let Some(events) = self.events {
            spec = spec.with_source(events);
        }
        builder.with_stream(sources::add(&config.sources, spec)).build()
    }
}

/// A camera with detectors from Python.
pub(super) fn with_detectors(
    mut source: MediaSource,
    detectors: &[Spec],
    stream: &StreamId,
) -> Result<MediaSource> {
    for detector in detectors {
        source = source.with_detector(detector.make(stream)?)?;
    }
    Ok(source)
}
