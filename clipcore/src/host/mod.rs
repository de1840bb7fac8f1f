//! Many streams in one process: a [`Pipeline`](crate::pipeline::Pipeline) each, started when something arrives, restarted when it
//! fails, stopped when it has been quiet.
//!
//! ```text
//! accept ──append──▶ inbox ──LogSource──▶ pipeline of the stream ──▶ log, sinks
//! ```
//!
//! What [`Host::accept`] takes is durably in the inbox, redacted as the stream's consent says, before it returns. The stream's
//! pipeline reads it from there. A stream that was live when the process died is started again by [`Host::open`].
//!
//! # A stream's life
//! | state | meaning | ends with |
//! |---|---|---|
//! | `live` | its pipeline runs | idleness, an end, a failure |
//! | `failed` | its pipeline ended with an error and is tried again, later each time | the next try |
//! | `idle` | nothing came for a while; a *stop*, not an end: its timeline goes on | the next arrival |
//! | `ended` | its input has ended; nothing is added to it any more | – |
//!
//! # Several processes
//! Hosts of several processes share inbox, log and [`StreamStore`]. A [front](HostMode::Front) takes arrivals in and runs nothing;
//! [workers](HostMode::Worker) claim partitions, and each runs the streams of those that it has. A worker that dies
//! loses its claims when they run out; another restores the streams from their checkpoints and goes on. What the former
//! owner still tries to write, the log refuses.
//!
//! One stream's failure touches no other. At most [`max_streams`](HostConfig::max_streams) are live; what would start
//! another is refused with a retryable `Unavailable`, before anything of it is acknowledged.

mod claims;
mod config;
mod edge;
mod erase;
mod erase_shared;
#[cfg(feature = "kafka")]
mod kafka;
mod live;
mod parts;
mod picture;
#[cfg(feature = "media")]
mod recut;
#[cfg(feature = "redis")]
mod redis;
mod registry;
mod share;
mod shared;
#[cfg(feature = "media")]
mod sound;
mod status;
mod supervise;
mod worker;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::config::{HostConfig, HostMode, StreamSettings, WorkerConfig};
use self::edge::Edge;
#[cfg(feature = "kafka")]
pub use self::kafka::KafkaStreams;
use self::live::Live;
pub use self::parts::{HostParts, StreamFactory, StreamMake};
#[cfg(feature = "redis")]
pub use self::redis::RedisStreams;
use self::registry::Registry;
pub use self::registry::{FileStreams, Known, StreamStore};
#[cfg(all(feature = "http", feature = "media"))]
pub(crate) use self::share::{Share, renewed};
use self::shared::SharedLog;
pub use self::status::{StreamState, StreamStatus};
use crate::clock::TimeSource;
use crate::consent::Consent;
use crate::event::Incoming;
use crate::log::{Arrival, EventLog, Record, partition_of};
use crate::pipeline::StreamStats;
use crate::privacy::LiveFolder;
use crate::source::LogSourceConfig;
use crate::{Error, ErrorKind, Result, StreamId};

/// Keeps streams running; see the [module](self). Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("live", &self.lives().len()).finish_non_exhaustive()
    }
}

struct Inner {
    inbox: Arc<dyn EventLog>,
    inbox_shared: shared::Shared,
    log_shared: shared::Shared,
    factory: StreamFactory,
    edge: Edge,
    config: HostConfig,
    mode: HostMode,
    reading: LogSourceConfig,
    time: Arc<dyn TimeSource>,
    registry: Registry,
    folder: Option<LiveFolder>,
    recorded_at: Option<String>,
    live: Mutex<HashMap<StreamId, Arc<Live>>>,
    /// Held while a stream is started, changed or let go.
    changing: tokio::sync::Mutex<Changing>,
    tasks: TaskTracker,
    past: Mutex<StreamStats>,
    /// The host has stopped.
    over: CancellationToken,
}

#[derive(Default)]
struct Changing {
    draining: bool,
    /// Streams that nobody may start now.
    resting: HashSet<StreamId>,
}

impl Host {
    /// Opens the host whose streams are described in folder `dir`, and starts those that were live before.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn open(dir: impl AsRef<Path>, parts: HostParts) -> Result<Self> {
        Self::open_with(Arc::new(FileStreams::new(dir.as_ref())), parts).await
    }

    /// Opens the host whose streams are kept in `store`. A whole one starts those that were live before, a worker those of
    /// the partitions that it claims.
    ///
    /// # Errors
    /// `Corrupt`, `Io` or `Unavailable` where what is kept cannot be read; `Config` where inbox and log of a worker have not
    /// the same number of partitions.
    pub async fn open_with(store: Arc<dyn StreamStore>, parts: HostParts) -> Result<Self> {
        let claimed = matches!(parts.mode, HostMode::Worker(_));
        if claimed && parts.inbox.partitions() != parts.log.partitions() {
            return Err(Error::config("inbox and log have not the same number of partitions")
                .with_context("inbox", parts.inbox.partitions())
                .with_context("log", parts.log.partitions()));
        }
        let registry = Registry::open(store).await?;
        let host = Self(Arc::new(Inner {
            inbox: parts.inbox.clone(),
            inbox_shared: shared::Shared::new(parts.inbox, claimed),
            log_shared: shared::Shared::new(parts.log, claimed),
            factory: parts.factory,
            edge: Edge { consent: parts.consent, pseudonyms: parts.pseudonyms, kinds: parts.kinds },
            config: parts.config,
            mode: parts.mode,
            reading: parts.reading,
            time: parts.time,
            registry,
            folder: parts.folder,
            recorded_at: parts.recorded_at,
            live: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            past: Mutex::default(),
            over: CancellationToken::new(),
        }));
        match &host.0.mode {
            HostMode::Whole => host.resume().await,
            HostMode::Front => {
                host.note_keys().await?;
                drop(host.0.tasks.spawn(worker::follow(host.clone())));
            }
            HostMode::Worker(config) => {
                drop(host.0.tasks.spawn(worker::work(host.clone(), config.clone())));
            }
        }
        Ok(host)
    }

    /// Starts the streams that were live when the process died.
    async fn resume(&self) {
        let mut streams = self.0.registry.all();
        streams.retain(|(_, known)| known.state == StreamState::Live);
        for (stream, _) in &streams {
            self.hold(stream);
        }
        for (stream, _) in streams {
            match self.start(&stream, None).await {
                Ok(live) => live.leave(&*self.0.time),
                // More than there is room for can only come from a changed setting; it starts with its next arrival.
                Err(error) => tracing::warn!(%stream, "not started: {error}"),
            }
        }
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Live>>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes events in: those that are good are durable when it returns, and the stream runs. For each event it says
    /// why it was refused, or nothing.
    ///
    /// # Errors
    /// Nothing was taken in: `Unavailable` where too many streams are live or the host is stopping, `Conflict` where the
    /// stream has ended, what the inbox says.
    ///
    /// # Cancel safety
    /// Dropped half-way, the events may have been taken in.
    pub async fn accept(&self, stream: &StreamId, events: Vec<Incoming>) -> Result<Vec<Option<Error>>> {
        self.has_place(stream)?;
        let consent = self.consent_of(stream);
        let received = self.0.time.wall();
        let mut records = Vec::with_capacity(events.len());
        let refused = events.into_iter().map(|event| {
            match self.0.edge.seal(stream, consent, event, received) {
                Ok(event) => records.push(Record::Arrival(Arrival::event(stream, received, event))),
                Err(error) => return Some(error),
            }
            None
        });
        let refused = refused.collect();
        if !records.is_empty() {
            self.append(stream, &records).await?;
        }
        Ok(refused)
    }

    /// Says that nothing more will come: what is there is decided to the end, and the stream is over.
    ///
    /// # Errors
    /// `NotFound` where the stream is not known; `Unsupported` where its media says when it ends; else as
    /// [`accept`](Self::accept).
    pub async fn end(&self, stream: &StreamId) -> Result<()> {
        let known = self.0.registry.find(stream).ok_or_else(|| unknown(stream))?;
        if !known.settings.inputs.is_empty() {
            return Err(Error::new(ErrorKind::Unsupported, format!("{stream} ends when its media does"))
                .with_hint("stop what publishes it, or stop the stream without ending it"));
        }
        if known.state == StreamState::Ended {
            return Ok(());
        }
        self.append(stream, &[Record::Arrival(Arrival::end(stream, self.0.time.wall()))]).await
    }

    async fn append(&self, stream: &StreamId, records: &[Record]) -> Result<()> {
        if self.0.mode == HostMode::Front {
            self.announce(stream, None).await?;
            let partition = partition_of(stream, self.0.inbox.partitions());
            return self.0.inbox.append(partition, records).await.map(drop);
        }
        let live = match self.enter(stream) {
            Some(live) => live,
            None => self.start(stream, None).await?,
        };
        let partition = partition_of(stream, self.0.inbox.partitions());
        let done = self.0.inbox.append(partition, records).await;
        if let Ok(first) = done {
            live.appended(first + records.len() as u64);
        }
        live.leave(&*self.0.time);
        done.map(drop)
    }

    /// The live stream, which does not become idle until it is [left](Live::leave).
    fn enter(&self, stream: &StreamId) -> Option<Arc<Live>> {
        let lives = self.lives();
        let live = lives.get(stream).filter(|live| !live.stop.is_cancelled())?;
        live.entered.fetch_add(1, Ordering::SeqCst);
        Some(live.clone())
    }

    /// Starts a stream, or gives it other settings; where it runs with others, it is stopped and starts with these.
    ///
    /// # Errors
    /// `Unavailable` where too many streams are live or known; `Conflict` where it has ended; `Config` where
    /// the settings make no stream.
    pub async fn put(&self, stream: &StreamId, settings: StreamSettings) -> Result<StreamStatus> {
        if self.0.mode == HostMode::Front {
            self.announce(stream, Some(settings)).await?;
            return self.known(stream);
        }
        // What cannot be built is refused now, not found out by a supervisor later; but a recording that runs cannot be opened
        // a second time to try.
        let records = self.status(stream).is_some_and(|s| s.stats.is_some() && !s.settings.inputs.is_empty());
        if !records {
            (self.0.factory)(stream, &self.effective(&settings))?;
        }
        let live = self.start(stream, Some(settings)).await?;
        live.leave(&*self.0.time);
        self.known(stream)
    }

    /// Sees to it that the stream is kept as a live one, with these settings where there are some; gives what it was
    /// and is. The caller holds `changing`.
    async fn keep(
        &self,
        changing: &Changing,
        stream: &StreamId,
        settings: Option<StreamSettings>,
    ) -> Result<(Option<Known>, Known)> {
        if changing.draining {
            return Err(Error::new(ErrorKind::Unavailable, "this server is stopping")
                .with_hint("send it again in a moment"));
        }
        if changing.resting.contains(stream) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("the stream {stream} is being erased from"),
            )
            .with_hint("send it again in a moment"));
        }
        let before = self.0.registry.find(stream);
        if before.as_ref().is_some_and(|known| known.state == StreamState::Ended) {
            return Err(Error::new(ErrorKind::Conflict, format!("the stream {stream} has ended"))
                .with_hint("give what comes now another stream id"));
        }
        if !self.lives().contains_key(stream) {
            self.has_room(before.is_none())?;
        }
        let settings = settings.or_else(|| before.as_ref().map(|k| k.settings.clone())).unwrap_or_default();
        let recorded_at = match self.0.mode {
            HostMode::Front => before.as_ref().and_then(|k| k.recorded_at.clone()),
            _ => self.recorded_at(&settings),
        };
        let now = Known { settings, state: StreamState::Live, recorded_at };
        if before.as_ref() != Some(&now) {
            self.0.registry.save(stream, now.clone()).await?;
        }
        Ok((before, now))
    }

    /// Where others find what this process records of a stream.
    fn recorded_at(&self, settings: &StreamSettings) -> Option<String> {
        self.0.recorded_at.clone().filter(|_| !settings.inputs.is_empty())
    }

    /// Sees to it that others know where the stream is recorded: somebody may have kept what he knew before.
    async fn say_recorded(&self, stream: &StreamId, known: Known) {
        let recorded_at = self.recorded_at(&known.settings);
        if known.recorded_at == recorded_at {
            return;
        }
        let _changing = self.0.changing.lock().await;
        if let Err(error) = self.0.registry.save(stream, Known { recorded_at, ..known }).await {
            tracing::warn!(%stream, "others are not told where it is recorded, trying again: {error}");
        }
    }

    /// Tells workers of the stream.
    async fn announce(&self, stream: &StreamId, settings: Option<StreamSettings>) -> Result<()> {
        let changing = self.0.changing.lock().await;
        self.keep(&changing, stream, settings).await.map(drop)
    }

    /// Starts the stream where it is not live; it is entered.
    async fn start(&self, stream: &StreamId, settings: Option<StreamSettings>) -> Result<Arc<Live>> {
        let changing = self.0.changing.lock().await;
        let entered = self.enter(stream);
        let (before, now) = match self.keep(&changing, stream, settings).await {
            Ok(kept) => kept,
            Err(error) => {
                entered.inspect(|live| live.leave(&*self.0.time));
                return Err(error);
            }
        };
        if let Some(live) = entered {
            if before.is_some_and(|known| known.settings != now.settings) {
                live.restart();
            }
            return Ok(live);
        }
        let live = Arc::new(Live::new(&*self.0.time));
        live.entered.fetch_add(1, Ordering::SeqCst);
        self.lives().insert(stream.clone(), live.clone());
        self.0.tasks.spawn(supervise::supervise(self.clone(), stream.clone(), live.clone()));
        Ok(live)
    }

    /// Something has come for the stream: whether it is live. Then it does not become idle now.
    fn touch(&self, stream: &StreamId) -> bool {
        self.lives().get(stream).inspect(|live| live.touch(&*self.0.time)).is_some()
    }

    /// Whether the stream is live or could be, before anything is made for it: a key, for example.
    fn has_place(&self, stream: &StreamId) -> Result<()> {
        if self.lives().contains_key(stream) {
            return Ok(());
        }
        self.has_room(self.0.registry.find(stream).is_none())
    }

    fn has_room(&self, new: bool) -> Result<()> {
        let config = &self.0.config;
        if self.lives().len() >= config.max_streams {
            let text = format!("{} streams are live, as many as may be", config.max_streams);
            return Err(Error::new(ErrorKind::Unavailable, text)
                .with_hint("end streams that are over, or raise host.max_streams"));
        }
        if new && self.0.registry.len() >= config.max_known {
            let text = format!("{} streams are known, as many as may be", config.max_known);
            return Err(Error::new(ErrorKind::Unavailable, text)
                .with_retryable(false)
                .with_hint("raise host.max_known, or use another folder for the data"));
        }
        Ok(())
    }

    fn consent_of(&self, stream: &StreamId) -> Consent {
        self.0.registry.consent(stream).unwrap_or(self.0.edge.consent)
    }

    fn effective(&self, settings: &StreamSettings) -> StreamSettings {
        StreamSettings { consent: Some(settings.consent.unwrap_or(self.0.edge.consent)), ..settings.clone() }
    }

    /// Stops every stream in good order: what is taken in and decided is finished, and nothing is ended. What comes
    /// after is refused. Streams that were live start again with the next [`open`](Self::open).
    pub async fn drain(&self) {
        self.0.changing.lock().await.draining = true;
        self.0.over.cancel();
        for live in self.lives().values() {
            live.stop.cancel();
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Keeps the logs from being trimmed past what the stream needs, before it or any other of its partition runs.
    fn hold(&self, stream: &StreamId) {
        self.log_of(stream);
        self.inbox_of(stream);
    }

    /// A stream's own view of the log that all share.
    fn log_of(&self, stream: &StreamId) -> Arc<SharedLog> {
        self.0.log_shared.of(stream)
    }

    fn inbox_of(&self, stream: &StreamId) -> Arc<SharedLog> {
        self.0.inbox_shared.of(stream)
    }
}

fn unknown(stream: &StreamId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no stream {stream}"))
        .with_hint("it begins with its first event")
}
