use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::shown::{Shown, sent};
use super::{Source, SourceOutput};
use crate::detector::DynDetector;
use crate::durable::blocking;
use crate::event::media::VideoFrame;
use crate::model::ModelRegistry;
use crate::{Result, Timestamp};

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
    ended: CancellationToken,
}

impl std::fmt::Debug for PictureSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureSource").finish_non_exhaustive()
    }
}

impl PictureSource {
    /// Shows what comes to these detectors, which ask these models.
    pub fn new(
        pictures: mpsc::Receiver<Posted>,
        detectors: Vec<Box<dyn DynDetector>>,
        models: ModelRegistry,
    ) -> Self {
        Self { pictures, detectors, models, ended: CancellationToken::new() }
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
        let Self { mut pictures, detectors, models, ended } = *self;
        let mut shown = Shown::new(out.stream(), "clipcore:pictures", detectors, &models);
        while let Some(Posted { at, frame }) = sent(&mut pictures, &ended, &out).await {
            shown = blocking(move || {
                shown.reach(at);
                shown.show(at, frame);
                Ok(shown)
            })
            .await?;
            shown.tell(&out).await?;
        }
        Ok(())
    }
}
