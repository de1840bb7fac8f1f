//! Media sources: a file, HLS, RTMP, SRT, RTSP or standard input, recorded and looked at.
//!
//! One ffmpeg per input copies packets, without decoding, into a fragmented MP4 on a pipe. We read that pipe, place every
//! sample on the stream's timeline, and hand it to the recorder; a tap decodes beside it. What decodes can fall behind
//! or die, and the recording goes on.

mod audio;
mod connection;
mod first_picture;
mod follow;
mod frames;
mod ingest;
mod input;
mod process;
mod queue;
mod rejoin;
mod standard_input;
mod tap;
mod timeline;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use audio::To16k;
pub use follow::{FollowSource, Watch};
pub use frames::FrameConfig;
use ingest::Ingest;
pub use input::Input;
use queue::BoundedQueue;
use serde::{Deserialize, Serialize};
use tap::Tap;

use super::{Source, SourceOutput};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::consent::Consent;
use crate::detector::{AnyDetector, DynDetector};
use crate::media::ffmpeg::Ffmpeg;
use crate::model::ModelRegistry;
use crate::recorder::Recorder;
use crate::{CameraId, Error, ErrorKind, Result};

/// How media is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaConfig {
    /// A live input that sends nothing for this long is connected to anew; a new connection may take 12 s more until
    /// it gives anything.
    #[serde(with = "crate::config::secs")]
    pub stall: Duration,
    /// A live input that cannot be had for this long has ended; 0 means never.
    #[serde(with = "crate::config::secs")]
    pub give_up: Duration,
    /// What detectors of pictures are shown.
    pub frames: FrameConfig,
    /// Packets that may wait for the detectors. Beyond that a live input drops the oldest, and a file waits.
    pub tap_queue: usize,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(8),
            give_up: Duration::from_secs(60),
            frames: FrameConfig::default(),
            tap_queue: 512,
        }
    }
}

impl MediaConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config` that names the setting.
    pub fn validate(&self) -> Result<()> {
        if self.stall < Duration::from_secs(1) {
            return Err(Error::config("media.stall is below 1 s: ordinary jitter would count as a stall"));
        }
        if self.tap_queue < 16 {
            return Err(Error::config("media.tap_queue is below 16"));
        }
        self.frames.validate()
    }
}

/// Records one camera of a stream and shows it to detectors.
pub struct MediaSource {
    input: Input,
    camera: CameraId,
    recorder: Recorder,
    config: MediaConfig,
    detectors: Vec<Box<dyn DynDetector>>,
    models: ModelRegistry,
    consent: Consent,
    ffmpeg: Ffmpeg,
    time: Arc<dyn TimeSource>,
}

impl fmt::Debug for MediaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaSource")
            .field("input", &self.input.display_name())
            .field("camera", &self.camera)
            .finish()
    }
}

impl MediaSource {
    /// Reads `input` as `camera`, into `recorder`.
    pub fn new(input: Input, camera: CameraId, recorder: Recorder) -> Self {
        Self {
            input,
            camera,
            recorder,
            config: MediaConfig::default(),
            detectors: Vec::new(),
            models: ModelRegistry::default(),
            consent: Consent::NONE,
            ffmpeg: Ffmpeg::default(),
            time: Arc::new(SystemTimeSource::new()),
        }
    }

    /// Sets how media is read.
    ///
    /// # Errors
    /// `Config` that names the setting.
    pub fn with_config(mut self, config: MediaConfig) -> Result<Self> {
        config.validate()?;
        self.config = config;
        Ok(self)
    }

    /// Says what the stream's people agreed to; detectors added later are checked against it.
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = consent;
        self
    }

    /// Makes models available to the detectors.
    #[must_use]
    pub fn with_models(mut self, models: ModelRegistry) -> Self {
        self.models = models;
        self
    }

    /// Adds a detector of sound or pictures.
    ///
    /// # Errors
    /// `ConsentRequired` where the stream's consent does not cover what it needs.
    pub fn with_detector(mut self, detector: Box<dyn DynDetector>) -> Result<Self> {
        let info = detector.info();
        self.consent.require(info.needs, &info.name)?;
        self.detectors.push(detector);
        Ok(self)
    }

    /// Uses a certain ffmpeg.
    #[must_use]
    pub fn with_ffmpeg(mut self, ffmpeg: Ffmpeg) -> Self {
        self.ffmpeg = ffmpeg;
        self
    }
}

#[async_trait]
impl Source for MediaSource {
    fn name(&self) -> String {
        self.input.display_name()
    }

    fn has_clock(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let (done, ended) = tokio::sync::oneshot::channel();
        let name = format!("ingest-{}", out.stream());
        // Reading, demultiplexing and writing are blocking work that must go on whatever the reactor does.
        std::thread::Builder::new().name(name).spawn(move || drop(done.send(self.read(out))))?;
        ended.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the ingest thread has panicked")))
    }
}

impl MediaSource {
    fn read(self, out: SourceOutput) -> Result<()> {
        let stream = out.stream().clone();
        let detectors = self
            .detectors
            .into_iter()
            .map(|d| AnyDetector::new(d, stream.clone(), Some(self.camera.clone()), self.models.clone()))
            .collect();
        let queue = Arc::new(BoundedQueue::new(self.config.tap_queue));
        let (stop, live) = (out.stop().clone(), self.input.is_live());
        let tap = Tap::new(
            self.ffmpeg.clone(),
            self.camera,
            detectors,
            self.config.frames,
            out,
            queue.clone(),
            live,
        );
        let tap = std::thread::Builder::new().name("tap".into()).spawn(move || tap.run())?;
        let ingest =
            Ingest::new(self.input, self.recorder, self.config, self.ffmpeg, self.time, queue.clone(), stop);
        let closing = CloseOnDrop(queue);
        let outcome = ingest.run();
        drop(closing);
        match tap.join() {
            Ok(tapped) => outcome.and(tapped),
            Err(_) => outcome
                .and(Err(Error::new(ErrorKind::Internal, "a detector of sound or pictures has panicked"))),
        }
    }
}

/// Lets the tap end even where the ingest panics.
struct CloseOnDrop(Arc<BoundedQueue<tap::TapItem>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
