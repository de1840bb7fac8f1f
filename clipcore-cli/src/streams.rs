//! Streams put together as the configuration says: the same for `run`, which knows them beforehand, and for `serve`, where
//! they come and go.

use std::sync::Arc;

use clipcore::cutter::MediaCutter;
use clipcore::detector::DynDetector;
use clipcore::event::Event;
use clipcore::event::media::{Audio16k, AudioWindow, VideoFrame};
use clipcore::fusion::FusionFactory;
use clipcore::pipeline::{Pipeline, PipelineBuilder, StreamSpec};
use clipcore::recorder::{Recorder, Recordings};
use clipcore::source::media::{Input, MediaSource};
use clipcore::{CameraId, Consent, Result, StreamId};
use tokio::sync::Semaphore;

use crate::assembly;
use crate::config::Config;
use crate::models::Models;
use crate::shared::Pools;

/// What all streams of a process share.
pub struct Streams {
    config: Config,
    fusion: FusionFactory,
    /// Clips that are cut at once.
    slots: Arc<Semaphore>,
    pools: Pools,
    recordings: Recordings,
}

impl Streams {
    /// Ready to put streams together.
    ///
    /// # Errors
    /// `Config` where the settings make no sense.
    pub fn new(config: &Config) -> Result<Self> {
        let slots = Arc::new(Semaphore::new(config.clips.parallel));
        Ok(Self {
            config: config.clone(),
            fusion: config.fusion.factory()?,
            slots,
            pools: Pools::default(),
            recordings: Recordings::default(),
        })
    }

    /// Leaves the detectors of sound and pictures that are in pools to these; they find what is recorded in `recordings`.
    #[must_use]
    pub fn with_pools(self, pools: Pools, recordings: Recordings) -> Self {
        Self { pools, recordings, ..self }
    }

    /// What is set for detectors that run here: of cameras, or of what is sent.
    pub fn config(&self, cameras: bool) -> Config {
        let mut config = self.config.clone();
        if cameras {
            config.detectors.off.extend(self.pools.detectors().map(str::to_owned));
        }
        config
    }

    /// A pipeline with fusion, and without streams, log and sinks.
    pub fn pipeline(&self) -> PipelineBuilder {
        let fusion = self.fusion.clone();
        Pipeline::builder()
            .with_fusion(move |stream: &StreamId| fusion(stream))
            .with_engine(self.config.engine.clone())
            .with_config(self.config.pipeline.clone())
    }

    /// The detectors of pictures that `consent` allows.
    ///
    /// # Errors
    /// `Config` where settings make no sense.
    pub fn looks(&self, models: &Models, consent: Consent) -> Result<Vec<Box<dyn DynDetector>>> {
        let config = Config { consent, ..self.config.clone() };
        let mut all = assembly::media_detectors(&config, models)?;
        all.retain(|detector| detector.kinds().contains(&VideoFrame::KIND));
        Ok(all)
    }

    /// The detectors of sound that `consent` allows.
    ///
    /// # Errors
    /// `Config` where settings make no sense.
    pub fn ears(&self, models: &Models, consent: Consent) -> Result<Vec<Box<dyn DynDetector>>> {
        let config = Config { consent, ..self.config.clone() };
        let mut all = assembly::media_detectors(&config, models)?;
        let hears = |kind: &&str| [AudioWindow::KIND, Audio16k::KIND].contains(kind);
        all.retain(|detector| detector.kinds().iter().any(hears));
        Ok(all)
    }

    /// Whether any detector of sound is on.
    pub fn has_ears(&self) -> bool {
        ["loudness", "audio_tagger"]
            .iter()
            .any(|name| !self.config.detectors.off.iter().any(|off| off == name))
    }

    /// A stream with its cameras, their recorders and cutters, and the detectors that `consent` allows. `more` may add to
    /// each camera.
    ///
    /// # Errors
    /// Where an input is none, or a recording cannot be written; what `more` says.
    pub fn spec(
        &self,
        models: &Models,
        id: &StreamId,
        cameras: &[(CameraId, String)],
        consent: Consent,
        more: impl Fn(MediaSource) -> Result<MediaSource>,
    ) -> Result<StreamSpec> {
        let config = &Config { consent, ..self.config(!cameras.is_empty()) };
        let mut spec = StreamSpec::new(id.clone()).with_consent(consent);
        for pool in self.pools.names().filter(|_| !cameras.is_empty()) {
            spec = spec.with_pool(pool);
        }
        for (camera, input) in cameras {
            let input = Input::parse(input)?;
            let dir = assembly::recording_dir(&config.out, id, camera);
            let recorder = Recorder::open(dir, id.clone(), camera.clone(), config.recorder.clone())
                .map_err(|e| e.with_hint("recordings lie under --out, in folders that can be written"))?;
            let recording = recorder.recording().clone();
            self.recordings.add(id.clone(), camera.clone(), &recording);
            let source = more(assembly::media_source(config, models, input, camera, recorder)?)?;
            let cutter =
                MediaCutter::new(id.clone(), camera.clone(), recording, &config.out, config.clips.clone())?
                    .with_slots(self.slots.clone());
            spec = spec.with_source(source).with_cutter(Arc::new(cutter));
        }
        let detectors = assembly::event_detectors(config)?.len();
        for index in 0..detectors {
            let config = config.clone();
            spec = spec.with_detector(move |_: &StreamId| {
                let mut all = assembly::event_detectors(&config)?;
                Ok(all.swap_remove(index))
            });
        }
        Ok(spec)
    }
}
