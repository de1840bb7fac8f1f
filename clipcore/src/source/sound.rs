use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::media::To16k;
use super::shown::{Shown, sent};
use super::{Source, SourceOutput};
use crate::detector::DynDetector;
use crate::durable::blocking;
use crate::event::Event;
use crate::event::media::{Audio16k, AudioWindow};
use crate::model::ModelRegistry;
use crate::{Result, Timestamp};

/// Sound that somebody sent.
#[derive(Debug)]
pub struct Heard {
    /// Where its first sample lies on the timeline.
    pub at: Timestamp,
    /// The samples.
    pub window: AudioWindow,
}

/// Makes the detectors that listen, and the models that they ask; called when the first sound comes, since most streams are
/// sent none.
pub type Listeners = Arc<dyn Fn() -> Result<(Vec<Box<dyn DynDetector>>, ModelRegistry)> + Send + Sync>;

/// Plays sound that comes piece by piece to detectors, as a camera's tap plays that of its media. It is kept nowhere; what
/// the detectors find goes on as signals. A hole between pieces is one to them, too.
///
/// It ends when nobody can send any more.
pub struct SoundSource {
    sounds: mpsc::Receiver<Heard>,
    listeners: Listeners,
    ended: CancellationToken,
}

impl std::fmt::Debug for SoundSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoundSource").finish_non_exhaustive()
    }
}

impl SoundSource {
    /// Plays what comes to these detectors.
    pub fn new(sounds: mpsc::Receiver<Heard>, listeners: Listeners) -> Self {
        Self { sounds, listeners, ended: CancellationToken::new() }
    }

    /// Ends once `ended` is cancelled.
    #[must_use]
    pub fn with_end(mut self, ended: CancellationToken) -> Self {
        self.ended = ended;
        self
    }
}

#[async_trait]
impl Source for SoundSource {
    fn name(&self) -> String {
        "sound".to_owned()
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let Self { mut sounds, listeners, ended } = *self;
        let mut ears = None;
        while let Some(heard) = sent(&mut sounds, &ended, &out).await {
            let (listeners, stream) = (listeners.clone(), out.stream().clone());
            let mut now = blocking(move || {
                let mut ears = match ears {
                    Some(ears) => ears,
                    None => {
                        let (detectors, models) = listeners()?;
                        Ears::new(Shown::new(&stream, "clipcore:sound", detectors, &models))
                    }
                };
                ears.hear(heard)?;
                Ok(ears)
            })
            .await?;
            now.shown.tell(&out).await?;
            ears = Some(now);
        }
        Ok(())
    }
}

struct Ears {
    shown: Shown,
    to_16k: Option<To16k>,
}

impl Ears {
    fn new(shown: Shown) -> Self {
        Self { to_16k: shown.wants(Audio16k::KIND).then(To16k::default), shown }
    }

    fn hear(&mut self, heard: Heard) -> Result<()> {
        let Heard { at, window } = heard;
        let mut end = window.end(at);
        if let Some(to_16k) = &mut self.to_16k {
            for (at, block) in to_16k.push(at, &window)? {
                self.shown.show(at, block);
            }
            // Resampling holds a little back.
            end = to_16k.next().map_or(end, |next| next.min(end));
        }
        self.shown.show(at, window);
        self.shown.advance(end);
        Ok(())
    }
}
