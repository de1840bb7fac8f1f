//! Detectors that look at what another process records.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::queue::BoundedQueue;
use super::tap::{Tap, TapItem};
use super::{CloseOnDrop, MediaConfig};
use crate::consent::Consent;
use crate::detector::{AnyDetector, DynDetector};
use crate::media::ffmpeg::Ffmpeg;
use crate::media::mp4::{FragmentReader, Read};
use crate::media::{Sample, Track};
use crate::model::ModelRegistry;
use crate::recorder::{SEGMENT_UUID, SegmentInfo};
use crate::source::{Source, SourceOutput};
use crate::{CameraId, Error, ErrorKind, Result, Timestamp};

/// How often room for another packet is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// Shows a recording to detectors as its bytes come in: the files that a [`Tail`](crate::recorder::Tail) reads, one after the
/// other. Its signals lie where they would have been found beside the recorder, and its progress says how far it has come. It
/// is not the camera's source: it does not record, and tells nothing of epochs.
///
/// It never leaves anything out: where detectors are slow, the bytes wait.
pub struct FollowSource {
    bytes: BoxStream<'static, Result<Bytes>>,
    camera: CameraId,
    watch: Watch,
    config: MediaConfig,
}

impl fmt::Debug for FollowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowSource").field("camera", &self.camera).finish_non_exhaustive()
    }
}

/// The detectors of sound and pictures that look at a camera.
#[derive(Default)]
pub struct Watch {
    /// What its people agreed to.
    pub consent: Consent,
    /// The detectors; there may be none, where consent does not cover them.
    pub detectors: Vec<Box<dyn DynDetector>>,
    /// The models that they ask.
    pub models: ModelRegistry,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("consent", &self.consent).finish_non_exhaustive()
    }
}

impl FollowSource {
    /// Shows the recording of `camera` from `bytes`, whose end is that of the recording.
    ///
    /// # Errors
    /// `Config` that names the setting; `ConsentRequired` where consent does not cover what a detector needs.
    pub fn try_new(
        bytes: BoxStream<'static, Result<Bytes>>,
        camera: CameraId,
        watch: Watch,
        config: MediaConfig,
    ) -> Result<Self> {
        config.validate()?;
        for info in watch.detectors.iter().map(|detector| detector.info()) {
            watch.consent.require(info.needs, &info.name)?;
        }
        Ok(Self { bytes, camera, watch, config })
    }
}

#[async_trait]
impl Source for FollowSource {
    fn name(&self) -> String {
        format!("the recording of {}", self.camera)
    }

    fn has_clock(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let Self { mut bytes, camera, watch: Watch { detectors, models, .. }, config } = *self;
        let (stream, stop) = (out.stream().clone(), out.stop().clone());
        let bind = |d| AnyDetector::new(d, stream.clone(), Some(camera.clone()), models.clone());
        let detectors = detectors.into_iter().map(bind).collect();
        let queue = Arc::new(BoundedQueue::new(config.tap_queue));
        let tap = Tap::new(Ffmpeg::default(), camera, detectors, config.frames, out, queue.clone(), false);
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("tap".into()).spawn(move || drop(done.send(tap.run())))?;
        let closing = CloseOnDrop(queue.clone());
        let mut files = Files::default();
        let fed: Result<()> = async {
            while let Some(Some(more)) = stop.run_until_cancelled(bytes.next()).await {
                for item in files.items(&more?)? {
                    push(&queue, item).await?;
                }
            }
            Ok(())
        }
        .await;
        drop(closing);
        let tapped = ended.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "a detector of sound or pictures has panicked"))
        });
        fed.and(tapped)
    }
}

/// Waits for room without holding a thread of the reactor up.
async fn push(queue: &BoundedQueue<TapItem>, mut item: TapItem) -> Result<()> {
    while let Err(again) = queue.try_push(item) {
        if queue.is_closed() {
            return Err(Error::new(ErrorKind::Cancelled, "the detectors have stopped"));
        }
        item = again;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// What recorded files say, as they come in.
#[derive(Default)]
struct Files {
    reader: FragmentReader,
    info: Option<SegmentInfo>,
    tracks: Vec<Track>,
    /// The session and epoch whose samples were read last.
    current: Option<(u32, u32)>,
}

impl Files {
    fn items(&mut self, bytes: &[u8]) -> Result<Vec<TapItem>> {
        let mut items = Vec::new();
        self.reader.push(bytes);
        while let Some(found) = self.reader.next()? {
            match found {
                Read::Uuid(SEGMENT_UUID, info) => self.info = Some(serde_json::from_slice(&info)?),
                Read::Uuid(..) => {}
                Read::Init(tracks) => {
                    let session = self.info.as_ref().map(|info| (info.session, info.epoch));
                    // What one file of a session ends with goes on in the next.
                    if self.current.is_none() || session != self.current || tracks != self.tracks {
                        items.push(TapItem::Tracks(tracks.clone()));
                    }
                    (self.current, self.tracks) = (session, tracks);
                }
                Read::Samples(mut samples) => {
                    // A part holds one track after the other; they came interleaved.
                    samples.sort_by_key(|s| self.tracks.get(s.track).map(|track| track.micros(s.dts)));
                    items.extend(samples.into_iter().filter_map(|s| self.sample(s)));
                }
            }
        }
        Ok(items)
    }

    fn sample(&self, sample: Sample) -> Option<TapItem> {
        let at = Timestamp::from_micros(self.tracks.get(sample.track)?.micros(sample.dts));
        let zero = self.info.as_ref().and_then(|info| info.wall_zero);
        Some(TapItem::Sample { sample, at, wall: zero.map(|zero| zero.offset_micros(at.as_micros())) })
    }
}
