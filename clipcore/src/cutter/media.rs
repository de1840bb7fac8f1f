use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::SinkExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::cut::{CutReport, CutRequest, PreparedHead, cut, prepare_head};
use super::{
    Clip, ClipState, Cutter, Deliveries, Profile, Span, clip_file, clip_file_of, clip_id, stills, verify,
};
use crate::fusion::{Moment, MomentState};
use crate::media::ffmpeg::Ffmpeg;
use crate::recorder::{Pin, Recording};
use crate::sink::Delivery;
use crate::trace::span;
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp};

/// How clips are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CutterConfig {
    /// Exact to the frame, or from the keyframe before.
    pub profile: Profile,
    /// Whether a picture and a small version are made beside each clip.
    pub stills: bool,
    /// How many clips are cut at a time, over all cameras that share the setting.
    pub parallel: usize,
    /// How long a clip waits for media that is not recorded yet, beyond its end.
    #[serde(with = "crate::config::secs")]
    pub patience: Duration,
}

impl Default for CutterConfig {
    fn default() -> Self {
        Self { profile: Profile::Exact, stills: true, parallel: 2, patience: Duration::from_secs(30) }
    }
}

/// Cuts a camera's clips out of its recording, into `clips/` of an output folder.
pub struct MediaCutter {
    inner: Arc<Inner>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for MediaCutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaCutter")
            .field("camera", &self.inner.camera)
            .field("out", &self.inner.out)
            .finish()
    }
}

struct Inner {
    stream: StreamId,
    camera: CameraId,
    recording: Arc<Recording>,
    /// The output folder; clips' paths are relative to it.
    out: PathBuf,
    config: CutterConfig,
    ffmpeg: Ffmpeg,
    slots: Arc<Semaphore>,
    jobs: Mutex<HashMap<Arc<str>, Job>>,
}

/// What is held for a moment until its clip is done.
#[derive(Default)]
struct Job {
    pin: Option<Pin>,
    /// The clip's head for a start, encoded ahead of time.
    head: Option<(Timestamp, PreparedHead)>,
    preparing: Option<Timestamp>,
    cutting: bool,
}

/// Media this long before a moment's start is kept too: its GOP begins earlier, and evidence may still move the start.
const MARGIN: Duration = Duration::from_secs(15);
/// A head is tried this long after its start: by then the GOP after it has usually begun.
const HEAD_DELAYS: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(6), Duration::from_secs(12)];

impl MediaCutter {
    /// Cuts clips of `recording` into `out/clips/`. Temporary files of the stream that a crash left there are removed.
    ///
    /// # Errors
    /// `Io` where the folder cannot be used, `Config` for settings that make no sense.
    pub fn new(
        stream: StreamId,
        camera: CameraId,
        recording: Arc<Recording>,
        out: impl Into<PathBuf>,
        config: CutterConfig,
    ) -> Result<Self> {
        if config.parallel == 0 {
            return Err(Error::config("cutter.parallel is 0: no clip would ever be cut"));
        }
        let out = out.into();
        let clips = out.join("clips");
        std::fs::create_dir_all(&clips).map_err(|e| Error::io(e, &clips))?;
        for entry in std::fs::read_dir(&clips).map_err(|e| Error::io(e, &clips))?.flatten() {
            if is_leftover(&entry.file_name().to_string_lossy(), &stream) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let slots = Arc::new(Semaphore::new(config.parallel));
        let ffmpeg = Ffmpeg::default();
        let jobs = Mutex::default();
        let inner = Inner { stream, camera, recording, out, config, ffmpeg, slots, jobs };
        Ok(Self { inner: Arc::new(inner), tasks: TaskTracker::new() })
    }

    /// Shares the limit on clips that are cut at a time with other cutters.
    #[must_use]
    pub fn with_slots(mut self, slots: Arc<Semaphore>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.slots = slots;
        }
        self
    }
}

#[async_trait]
impl Cutter for MediaCutter {
    fn camera(&self) -> &CameraId {
        &self.inner.camera
    }

    async fn moment(&self, moment: &Moment, out: &Deliveries) -> Result<()> {
        let inner = self.inner.clone();
        match moment.state {
            MomentState::Dropped => {
                inner.lock().remove(&moment.id);
            }
            MomentState::Provisional | MomentState::Open => {
                let start = moment.start;
                let mut jobs = inner.lock();
                let job = jobs.entry(moment.id.clone()).or_default();
                job.pin = Some(inner.recording.pin(start - MARGIN));
                let prepare = moment.state == MomentState::Open
                    && inner.config.profile == Profile::Exact
                    && job.preparing != Some(start);
                if prepare {
                    job.preparing = Some(start);
                    drop(jobs);
                    let id = moment.id.clone();
                    self.tasks.spawn(async move { inner.prepare(id, start).await });
                }
            }
            MomentState::Closed => {
                let mut out = out.clone();
                {
                    let mut jobs = inner.lock();
                    let job = jobs.entry(moment.id.clone()).or_default();
                    if std::mem::replace(&mut job.cutting, true) {
                        return Ok(());
                    }
                    job.pin = Some(inner.recording.pin(moment.start - MARGIN));
                }
                let clip = inner.pending(moment);
                let gone = |_| Error::new(ErrorKind::Cancelled, "nobody takes clips any more");
                out.send(Delivery::Clip { clip: clip.clone(), file: None }).await.map_err(gone)?;
                let peak = moment.peak;
                let span = span!("clip", clip.trace.as_deref(), clip = %clip.id, stream = %clip.stream, camera = %clip.camera);
                self.tasks.spawn(async move { inner.finish(clip, peak, out).await }.instrument(span));
            }
        }
        Ok(())
    }

    fn watermark(&self, at: Timestamp) {
        self.inner.recording.set_consumed(at);
    }

    async fn finish(&self) -> Result<()> {
        self.tasks.close();
        self.tasks.wait().await;
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self, moment: &Moment) -> Clip {
        Clip {
            id: clip_id(&moment.id, &self.camera, self.config.profile),
            moment: moment.id.clone(),
            rev: moment.rev,
            stream: self.stream.clone(),
            camera: self.camera.clone(),
            state: ClipState::Pending,
            path: None,
            url: None,
            thumbnail: None,
            preview: None,
            asked: Span { start: moment.start, end: moment.end },
            achieved: None,
            exact: false,
            reasons: Vec::new(),
            codec: None,
            width: None,
            height: None,
            fps: None,
            bytes: None,
            sha256: None,
            edit: 0,
            trace: moment.trace.clone(),
        }
    }

    /// Encodes the head of a clip while the rest of it is still to come.
    async fn prepare(self: Arc<Self>, moment: Arc<str>, start: Timestamp) {
        for delay in HEAD_DELAYS {
            self.recording.wait_until(start + delay).await;
            let wanted =
                self.lock().get(&moment).is_some_and(|job| job.preparing == Some(start) && !job.cutting);
            if !wanted {
                return;
            }
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            let this = self.clone();
            let prepared = spawn_blocking(move || prepare_head(&this.ffmpeg, &this.recording, start)).await;
            drop(slot);
            match prepared {
                Ok(Ok(Some(head))) => {
                    if let Some(job) = self.lock().get_mut(&moment) {
                        job.head = Some((start, head));
                    }
                    return;
                }
                Ok(Ok(None)) => {}
                // The cut itself will try again and say what is wrong.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    async fn finish(self: Arc<Self>, mut clip: Clip, peak: Timestamp, mut out: Deliveries) {
        let outcome = self.make(&clip, peak).await;
        let file = match outcome {
            Ok((name, report)) => {
                let path = Path::new("clips").join(name);
                fill(&mut clip, report);
                clip.path = Some(path.clone());
                clip.state = ClipState::Ready;
                Some(self.out.join(path))
            }
            Err(error) => {
                clip.state = ClipState::Failed;
                clip.reasons.push(error.to_string());
                None
            }
        };
        self.lock().remove(&clip.moment);
        let ready = Delivery::Clip { clip: clip.clone(), file: file.clone() };
        if out.send(ready).await.is_err() {
            return;
        }
        if let Some(file) = file.filter(|_| self.config.stills)
            && let Some(delivery) = self.with_stills(clip, peak, file).await
        {
            let _ = out.send(delivery).await;
        }
    }

    async fn make(self: &Arc<Self>, clip: &Clip, peak: Timestamp) -> Result<(String, CutReport)> {
        let name = clip_file(clip);
        let path = self.out.join("clips").join(&name);
        let done = {
            let path = path.clone();
            spawn_blocking(move || path.exists().then(|| verify::verify_alone(&path))).await
        };
        let request = CutRequest { span: clip.asked, peak: Some(peak), profile: self.config.profile };
        if let Ok(Some(Ok(_))) = done {
            // Cut before a restart that came before its receipt: what it is can be read off the recording's plan.
            let (this, existing) = (self.clone(), path.clone());
            if let Ok(Ok(report)) =
                spawn_blocking(move || super::cut::describe_existing(&this.recording, &request, &existing))
                    .await
            {
                return Ok((name, report));
            }
        }
        self.recording.check_room()?;
        // Somebody may have tidied up.
        let clips = self.out.join("clips");
        std::fs::create_dir_all(&clips).map_err(|e| Error::io(e, &clips))?;
        let waited = self.recording.wait_until(clip.asked.end);
        let _ = tokio::time::timeout(self.config.patience, waited).await;
        let head = self.lock().get_mut(&clip.moment).and_then(|job| job.head.take());
        let head = head.filter(|(start, _)| *start == clip.asked.start).map(|(_, head)| head);
        let slot = self.slots.clone().acquire_owned().await;
        let (this, destination) = (self.clone(), path);
        let report =
            spawn_blocking(move || cut(&this.ffmpeg, &this.recording, &request, head.as_ref(), &destination))
                .await
                .map_err(|e| Error::new(ErrorKind::Internal, "the cut has panicked").with_source(e))??;
        drop(slot);
        Ok((name, report))
    }

    async fn with_stills(
        self: &Arc<Self>,
        mut clip: Clip,
        peak: Timestamp,
        file: PathBuf,
    ) -> Option<Delivery> {
        let _slot = self.slots.clone().acquire_owned().await.ok()?;
        let achieved = clip.achieved?;
        let into = picture_at(achieved, Some(peak));
        let (this, clip_file) = (self.clone(), file.clone());
        let made = spawn_blocking(move || stills::make(&this.ffmpeg, &clip_file, into)).await.ok()?;
        match made {
            Ok(made) => {
                clip.thumbnail = in_clips(&made.thumbnail);
                clip.preview = made.preview.as_deref().and_then(in_clips);
            }
            Err(error) => {
                // Sound has no picture; that is no failure worth a word.
                if clip.width.is_some_and(|w| w > 0) {
                    tracing::warn!(clip = %clip.id, %error, "no thumbnail could be made");
                }
                return None;
            }
        }
        Some(Delivery::Clip { clip, file: Some(file) })
    }
}

/// Whether a file in `clips/` is one that a former process has left unfinished for `stream`; other streams of this process
/// may be writing theirs.
fn is_leftover(name: &str, stream: &StreamId) -> bool {
    name.ends_with(".tmp") && clip_file_of(name, stream).is_some()
}

/// How many seconds into a clip its picture is taken.
pub(super) fn picture_at(achieved: Span, peak: Option<Timestamp>) -> f64 {
    let into = peak.map(|peak| peak.secs_since(achieved.start));
    // Chat peaks late, often after the clip: what it talks about lies nearer to the clip's beginning.
    into.filter(|into| (0.0..achieved.secs() - 0.2).contains(into)).unwrap_or(achieved.secs() * 0.4)
}

/// The path of a file in `clips/`, relative to the output folder.
pub(super) fn in_clips(path: &Path) -> Option<PathBuf> {
    path.file_name().map(|name| Path::new("clips").join(name))
}

pub(super) fn fill(clip: &mut Clip, report: CutReport) {
    clip.achieved = Some(report.achieved);
    clip.exact = report.exact;
    clip.reasons = report.reasons;
    clip.codec = Some(report.codec);
    clip.width = (report.width > 0).then_some(report.width);
    clip.height = (report.height > 0).then_some(report.height);
    clip.fps = (report.fps > 0.0).then_some(report.fps);
    clip.bytes = Some(report.bytes);
    clip.sha256 = Some(report.sha256);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stream_leaves_alone_what_others_are_writing() {
        let stream = StreamId::new("show").unwrap();
        assert!(is_leftover("show_00012.345_0a1b.mp4.tmp", &stream));
        for other in [
            "show_2_00012.345_0a1b.mp4.tmp",
            "shower_00012.345_0a1b.mp4.tmp",
            "show_00012.345_0a1b.mp4",
            "show_00012.345_00001.000_0a1b.mp4.tmp",
        ] {
            assert!(!is_leftover(other, &stream), "{other}");
        }
    }
}
