use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Item, Source, SourceOutput};
use crate::detector::{AnyDetector, DynDetector};
use crate::event::media::VideoFrame;
use crate::event::{AnyEvent, Event, Header, Stamped};
use crate::model::ModelRegistry;
use crate::{CameraId, Error, ErrorKind, Result, Timestamp};

/// A picture that somebody sent.
#[derive(Debug)]
pub struct Posted {
    /// Where it lies on the timeline.
    pub at: Timestamp,
    /// The picture.
    pub frame: VideoFrame,
}

/// Shows pictures that come one by one to detectors, as a camera's tap shows those of its video. They are kept nowhere; what
/// the detectors find goes on as signals. Pictures that come out of order are shown at the latest instant so far.
///
/// It ends when nobody can send any more.
pub struct PictureSource {
    pictures: mpsc::Receiver<Posted>,
    detectors: Vec<Box<dyn DynDetector>>,
    models: ModelRegistry,
    camera: CameraId,
    ended: CancellationToken,
}

impl std::fmt::Debug for PictureSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureSource").field("camera", &self.camera).finish_non_exhaustive()
    }
}

impl PictureSource {
    /// Shows what comes to these detectors, which ask these models.
    pub fn new(
        pictures: mpsc::Receiver<Posted>,
        detectors: Vec<Box<dyn DynDetector>>,
        models: ModelRegistry,
    ) -> Self {
        Self { pictures, detectors, models, camera: CameraId::main(), ended: CancellationToken::new() }
    }

    /// Ends once `ended` is cancelled.
    #[must_use]
    pub fn with_end(mut self, ended: CancellationToken) -> Self {
        self.ended = ended;
        self
    }
}

#[async_trait]
impl Source for PictureSource {
    fn name(&self) -> String {
        "pictures".to_owned()
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let Self { mut pictures, detectors, models, camera, ended } = *self;
        let (stream, mut shown, mut failures) = (out.stream().clone(), Timestamp::MIN, 0);
        let bind = |d| AnyDetector::new(d, stream.clone(), Some(camera.clone()), models.clone());
        let mut detectors: Vec<AnyDetector> = detectors.into_iter().map(bind).collect();
        loop {
            let Posted { at, frame } = tokio::select! {
                biased;
                // What was taken before the end is still looked at.
                posted = pictures.recv() => match posted {
                    Some(posted) => posted,
                    None => return Ok(()),
                },
                () = ended.cancelled() => return Ok(()),
                () = out.stop().cancelled() => return Ok(()),
            };
            shown = shown.max(at);
            let mut header = Header::new(stream.clone(), shown, "clipcore:pictures", "");
            header.camera = Some(camera.clone());
            let event = AnyEvent::local(Stamped::new(header, frame));
            let looked = tokio::task::spawn_blocking(move || {
                for detector in detectors.iter_mut().filter(|d| d.wants(VideoFrame::KIND)) {
                    detector.detect(&event);
                }
                detectors
            });
            detectors = looked.await.map_err(|error| {
                Error::new(ErrorKind::Internal, "a detector of pictures panicked").with_source(error)
            })?;
            for detector in &mut detectors {
                for signal in detector.take_signals() {
                    out.send(Item::Signal(signal)).await?;
                }
                if detector.failures() > 0 && failures == 0 {
                    let why = detector.last_failure().map(ToString::to_string).unwrap_or_default();
                    let text = format!("{} goes on without some answers: {why}", detector.info().name);
                    out.send(Item::Notice(text)).await?;
                }
                failures = failures.max(detector.failures());
            }
        }
    }
}
