//! Taking streams and viewers out of what is kept, while the host runs.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::registry::Known;
use super::{Host, HostMode, StreamState};
use crate::durable::blocking;
use crate::log::{EventLog, RewriteRecord, RewriteState, partition_of};
use crate::privacy::{Erased, Viewer, rewrites_of_stream, rewrites_of_viewer};
use crate::{Error, ErrorKind, Result, StreamId};

/// How long a stream may take to stop in good order; it is then aborted.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

impl Host {
    /// Takes everything of a stream out, as [`DataFolder::erase_stream`](crate::privacy::DataFolder::erase_stream) does while
    /// nobody uses the folder: keys of pseudonyms, checkpoints, records, clips, recordings, lines, settings. The stream is stopped first;
    /// what comes for it meanwhile is refused. What comes afterwards begins a new stream. Doing it again changes nothing.
    ///
    /// A [front](HostMode::Front) erases from the logs that are shared and from what lies on its own machine, of streams that
    /// have ended: no other process acts on those any more.
    ///
    /// # Errors
    /// `Conflict` where the stream of a front has not ended; `Unsupported` where a log cannot forget, and for workers;
    /// `Unavailable` where it is being done already or the host is stopping; else what logs, sinks and files say. Whatever it
    /// is, doing it again goes on.
    pub async fn erase_stream(&self, stream: &StreamId) -> Result<Erased> {
        if self.0.mode == HostMode::Front {
            self.has_ended(stream)?;
        }
        let resting = self.rest(std::slice::from_ref(stream)).await?;
        let done = self.erase_resting(stream).await;
        self.wake(resting).await;
        done.map_err(|e| e.with_operation("host::erase_stream"))
    }

    fn has_ended(&self, stream: &StreamId) -> Result<()> {
        match self.0.registry.find(stream) {
            Some(known) if known.state != StreamState::Ended => Err(Error::new(
                ErrorKind::Conflict,
                format!("another process may be running the stream {stream}"),
            )
            .with_hint("end it first: POST /v1/streams/ID/end, or stop what publishes its media")),
            _ => Ok(()),
        }
    }

    async fn erase_resting(&self, stream: &StreamId) -> Result<Erased> {
        // After a crash it is not started again by itself.
        if let Some(known) = self.0.registry.find(stream).filter(|known| known.state == StreamState::Live) {
            self.0.registry.save(stream, Known { state: StreamState::Idle, ..known }).await?;
        }
        // The keys first: from then on nobody is named, whatever else goes wrong.
        let mut erased = Erased { keys: self.erase_keys(stream).await?, ..Erased::default() };
        let (records, states) = rewrites_of_stream(stream);
        for log in self.logs() {
            let partition = partition_of(stream, log.partitions());
            erased.checkpoints += log.rewrite_checkpoints(partition, states.clone()).await?;
            erased.records += log.rewrite(partition, records.clone()).await?;
        }
        if let Some(folder) = &self.0.folder {
            let Erased { lines, files, .. } = folder.erase_stream(stream).await?;
            (erased.lines, erased.files) = (lines, files);
        }
        self.0.log_shared.forget(stream);
        self.0.inbox_shared.forget(stream);
        // What was refused since may have been given a new key.
        erased.keys += self.erase_keys(stream).await?;
        erased.files += usize::from(self.0.registry.remove(stream).await?);
        erased.unreached = self.unreached().await?;
        Ok(erased)
    }

    async fn erase_keys(&self, stream: &StreamId) -> Result<usize> {
        let Some(pseudonyms) = self.0.edge.pseudonyms.clone() else { return Ok(0) };
        let stream = stream.clone();
        blocking(move || pseudonyms.erase(&stream)).await
    }

    /// Takes the words of a viewer out of all streams, and puts a stand-in that nobody can trace in the place of their name and
    /// pseudonyms, as [`DataFolder::erase_user`](crate::privacy::DataFolder::erase_user) does. `platform` is the part of an event's
    /// source before its first `:`. Streams in which the viewer is found are stopped for that long and go on afterwards.
    ///
    /// A [front](HostMode::Front) takes the partitions in which the viewer is found from their workers for that long; their streams
    /// begin anew from their checkpoints, and a worker has what the viewer said in memory until it notices, within a third of
    /// [`claim`](super::WorkerConfig::claim). Pseudonyms under keys that other gateways keep it cannot know:
    /// [`unreached`](Erased::unreached) names those.
    ///
    /// # Errors
    /// As [`erase_stream`](Self::erase_stream).
    pub async fn erase_viewer(&self, platform: &str, name: &str) -> Result<Erased> {
        self.may_erase()?;
        let (keys, platform, name) = (self.0.edge.pseudonyms.clone(), platform.to_owned(), name.to_owned());
        let viewer = Arc::new(blocking(move || Viewer::new(&platform, &name, keys.as_ref())).await?);
        if self.0.mode == HostMode::Front {
            let done = self.erase_viewer_shared(&viewer).await;
            return done.map_err(|e| e.with_operation("host::erase_viewer"));
        }
        let found: Arc<Mutex<HashSet<String>>> = Arc::default();
        let note = found.clone();
        let (look, _) = rewrites_of_viewer(&viewer, move |stream| {
            note.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.to_owned());
            false
        });
        let none: RewriteState = Arc::new(|_, _| None);
        self.rewrite_all(look, none).await?;
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        let streams: Vec<StreamId> = found.iter().filter_map(|stream| StreamId::new(stream).ok()).collect();
        let resting = self.rest(&streams).await?;
        let (records, states) = rewrites_of_viewer(&viewer, |_| true);
        let done = self.rewrite_all(records, states).await;
        self.wake(resting).await;
        done.map_err(|e| e.with_operation("host::erase_viewer"))
    }

    async fn rewrite_all(&self, records: RewriteRecord, states: RewriteState) -> Result<Erased> {
        let mut erased = Erased::default();
        for log in self.logs() {
            for partition in 0..log.partitions() {
                erased.checkpoints += log.rewrite_checkpoints(partition, states.clone()).await?;
                erased.records += log.rewrite(partition, records.clone()).await?;
            }
        }
        Ok(erased)
    }

    fn may_erase(&self) -> Result<()> {
        match self.0.mode {
            HostMode::Worker(_) => {
                Err(Error::new(ErrorKind::Unsupported, "a worker is told of its streams by others")
                    .with_hint("ask a process with the role gateway"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn logs(&self) -> [Arc<dyn EventLog>; 2] {
        [self.0.inbox_shared.whole(), self.0.log_shared.whole()]
    }

    /// Stops streams, and lets nobody start them until they are [woken](Self::wake).
    async fn rest(&self, streams: &[StreamId]) -> Result<Resting> {
        self.may_erase()?;
        let mut resting = Resting { streams: streams.to_vec(), live: Vec::new() };
        {
            let mut changing = self.0.changing.lock().await;
            let taken = streams.iter().find(|stream| changing.resting.contains(*stream));
            if changing.draining || taken.is_some() {
                let why = taken
                    .map_or("this server is stopping".to_owned(), |s| format!("{s} is being erased from"));
                return Err(Error::new(ErrorKind::Unavailable, why).with_hint("ask again in a moment"));
            }
            changing.resting.extend(streams.iter().cloned());
            resting.live =
                streams.iter().filter(|stream| self.lives().contains_key(*stream)).cloned().collect();
        }
        self.halt(&resting.live).await;
        Ok(resting)
    }

    async fn halt(&self, streams: &[StreamId]) {
        let time = &self.0.time;
        let all: Vec<_> = streams.iter().filter_map(|stream| self.lives().get(stream).cloned()).collect();
        all.iter().for_each(|live| live.stop.cancel());
        for live in &all {
            let gone = async {
                tokio::select! {
                    () = live.gone.cancelled() => true,
                    () = time.sleep(PATIENCE) => false,
                }
            };
            if !gone.await {
                live.abort.cancel();
                live.gone.cancelled().await;
            }
            // Whoever had begun to append is through, too.
            while live.entered.load(Ordering::SeqCst) > 0 {
                time.sleep(LOOK).await;
            }
        }
    }

    /// Lets streams be started again, and starts those that were live and are still known.
    async fn wake(&self, resting: Resting) {
        {
            let mut changing = self.0.changing.lock().await;
            changing.resting.retain(|stream| !resting.streams.contains(stream));
        }
        for stream in resting.live {
            if self.0.registry.find(&stream).is_none_or(|known| known.state != StreamState::Live) {
                continue;
            }
            match self.start(&stream, None).await {
                Ok(live) => live.leave(&*self.0.time),
                Err(error) => tracing::warn!(%stream, "not started again: {error}"),
            }
        }
    }
}

/// Streams that nobody may start.
struct Resting {
    streams: Vec<StreamId>,
    /// Those of them that were live.
    live: Vec<StreamId>,
}
