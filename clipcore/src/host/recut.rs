//! Clips that people cut anew.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::{Host, HostMode};
use crate::cutter::{Clip, Span, recut};
use crate::durable::blocking;
use crate::log::{Record, partition_of};
use crate::recorder::Recording;
use crate::sink::Delivery;
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp};

/// How long an answer waits for sinks; they are delivered to all the same.
const PATIENCE: Duration = Duration::from_secs(20);

impl Host {
    /// What is still recorded of a camera, as stretches without a gap, oldest first; nothing where there is no recording.
    ///
    /// # Errors
    /// `Unsupported` where this process has no folder with recordings; `Io`.
    pub async fn recorded(&self, stream: &StreamId, camera: &CameraId) -> Result<Vec<Span>> {
        let recording = self.recording(stream, camera).await?;
        Ok(recording.map(|recording| recording.stretches()).unwrap_or_default())
    }

    async fn recording(&self, stream: &StreamId, camera: &CameraId) -> Result<Option<Arc<Recording>>> {
        let elsewhere = || {
            Error::new(ErrorKind::Unsupported, "this process does not hold the recording")
                .with_hint("ask one on the machine that recorded the stream")
        };
        let folder = self.0.folder.as_ref().ok_or_else(elsewhere)?;
        let dir = folder.dir().join("recordings").join(stream.as_str()).join(camera.as_str());
        match blocking(move || Recording::open(dir)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => match self.0.mode {
                HostMode::Front => Err(elsewhere()),
                _ => Ok(None),
            },
            found => found.map(Some),
        }
    }

    /// Cuts a clip anew between other bounds, exactly, and delivers it under the id it has. Gives it once the log has it; sinks
    /// are waited for a while. Asked for what the clip is already, it is not cut again, and delivered again.
    ///
    /// # Errors
    /// As [`recut`](fn@recut) and [`recorded`](Self::recorded); what the log says.
    pub async fn recut(&self, clip: &Clip, span: Span, peak: Option<Timestamp>) -> Result<Clip> {
        let folder = self.0.folder.clone();
        let same = clip.asked == span && clip.exact;
        let done = if same {
            clip.clone()
        } else {
            let none =
                || Error::new(ErrorKind::Conflict, "nothing is recorded of this clip's camera any more");
            let recording = self.recording(&clip.stream, &clip.camera).await?.ok_or_else(none)?;
            let out = folder.as_ref().map(|folder| folder.dir().to_owned()).unwrap_or_default();
            let clip = clip.clone();
            let other = blocking(move || recut(&out, &recording, &clip, span, peak)).await?;
            let log = self.0.log_shared.whole();
            let partition = partition_of(&other.stream, log.partitions());
            log.append(partition, &[Record::Clip(other.clone())]).await?;
            other
        };
        // Those of other processes follow the log.
        if let Some(folder) = folder.filter(|_| self.0.mode == HostMode::Whole) {
            let file = done.path.as_ref().map(|path| folder.dir().join(path));
            let item = Arc::new(Delivery::Clip { clip: done.clone(), file });
            let deliveries = folder.sinks().iter().cloned().map(|sink| {
                let item = item.clone();
                self.0.tasks.spawn(async move {
                    if let Err(error) = sink.deliver(&item).await {
                        tracing::error!(sink = sink.name(), item = %item.item(), "not delivered: {error}");
                    }
                })
            });
            let all = join_all(deliveries);
            tokio::select! {
                _ = all => {}
                () = self.0.time.sleep(PATIENCE) => {
                    tracing::warn!(clip = %done.id, "some sinks have not taken the clip that was cut anew yet");
                }
            }
        }
        Ok(done)
    }
}
