//! Puts a run together as `clipcore run` does, with parts from Python beside the shipped ones.

use std::path::PathBuf;
use std::sync::Arc;

use clipcore::clock::SystemTimeSource;
use clipcore::cutter::MediaCutter;
use clipcore::event::Kinds;
use clipcore::log::FileLog;
use clipcore::model::Model;
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::privacy::Pseudonymizer;
use clipcore::recorder::Recorder;
use clipcore::sink::{ClipSink, JsonlSink, SinkExt};
use clipcore::source::Schedule;
use clipcore::source::media::{Input, MediaSource};
use clipcore::{CameraId, Error, Result, StreamId};
use clipcore_cli::config::Config;
use clipcore_cli::models::Models;
use clipcore_cli::{assembly, inputs};
use tokio::sync::Semaphore;

use super::outbox::{Item, Outbox};
use super::sinks::{PySink, Reader};
use super::source::PySource;
use crate::detector::Spec;

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
        let mut models = if self.inputs.is_empty() { Models::default() } else { Models::open(&config)? };
        models.notes.drain(..).for_each(|note| outbox.tell(Item::Notice(note)));
        for model in &self.models {
            models.registry = std::mem::take(&mut models.registry).with_model(model.clone());
        }
        let log =
            FileLog::open(out.join("log"), assembly::log_config(&config.pipeline), Kinds::builtin()).await?;
        let (fusion, notices, progress) = (config.fusion.factory()?, outbox.clone(), outbox.clone());
        let mut builder = Pipeline::builder()
            .with_log(Arc::new(log))
            .with_fusion(move |stream: &StreamId| fusion(stream))
            .with_consent(config.consent)
            .with_engine(config.engine.clone())
            .with_config(config.pipeline.clone())
            .with_pseudonyms(Pseudonymizer::load_or_create(out.join("pseudonyms.key"))?)
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
        let sinks: Vec<PySink> = self.sinks;
        for sink in sinks {
            let sink: Arc<dyn ClipSink> = Arc::new(sink.with_retry(Default::default()));
            builder = builder.with_sink(sink);
        }
        let mut spec = StreamSpec::new(stream.clone()).with_consent(config.consent);
        let (of_media, of_events): (Vec<Spec>, Vec<Spec>) =
            self.detectors.into_iter().partition(Spec::is_of_media);
        let slots = Arc::new(Semaphore::new(config.clips.parallel));
        for (camera, input) in inputs::camera_ids(self.inputs.len()).into_iter().zip(&self.inputs) {
            let camera = if self.inputs.len() == 1 { CameraId::main() } else { camera };
            let dir = assembly::recording_dir(out, &stream, &camera);
            let recorder = Recorder::open(dir, stream.clone(), camera.clone(), config.recorder.clone())?;
            let recording = recorder.recording().clone();
            let source = media_source(&config, &models, input, &camera, recorder, &of_media, &stream)?;
            let cutter = MediaCutter::new(stream.clone(), camera, recording, out, config.clips.clone())?;
            spec = spec.with_source(source).with_cutter(Arc::new(cutter.with_slots(slots.clone())));
        }
        for index in 0..assembly::event_detectors(&config)?.len() {
            let config = config.clone();
            spec = spec.with_detector(move |_: &StreamId| {
                Ok(assembly::event_detectors(&config)?.swap_remove(index))
            });
        }
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
        builder.with_stream(spec).build()
    }
}

/// A camera with the shipped detectors of sound and pictures, and those from Python.
pub(super) fn media_source(
    config: &Config,
    models: &Models,
    input: &str,
    camera: &CameraId,
    recorder: Recorder,
    detectors: &[Spec],
    stream: &StreamId,
) -> Result<MediaSource> {
    let mut source = MediaSource::new(Input::parse(input)?, camera.clone(), recorder)
        .with_config(config.media.clone())?
        .with_consent(config.consent)
        .with_models(models.registry.clone());
    for detector in assembly::media_detectors(config, models)? {
        source = source.with_detector(detector)?;
    }
    for detector in detectors {
        source = source.with_detector(detector.make(stream)?)?;
    }
    Ok(source)
}
