//! One stream that a pool looks at.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{DetectorPool, WARM_UP};
use crate::detector::Signal;
use crate::gateway::UNTIL;
use crate::host::StreamSettings;
use crate::log::{Arrival, Checkpoint, Lease, Looked, Record, partition_of};
use crate::source::media::FollowSource;
use crate::source::{Item, Source, SourceOutput};
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp};

/// How often what was found, and how far it was looked, is told.
const TELL: Duration = Duration::from_millis(500);
/// Things that may wait to be told.
const QUEUE: usize = 256;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A recording that ends so far before the place that was reached is not the one that was looked at.
const ANOTHER: Duration = Duration::from_secs(60);

/// Looks at the cameras of a stream until `stop` is cancelled.
pub(super) async fn look_at(
    pool: Arc<DetectorPool>,
    lease: Lease,
    stream: StreamId,
    settings: StreamSettings,
    recorded_at: String,
    stop: CancellationToken,
) {
    let cameras = (pool.parts.cameras)(&settings).into_iter().map(|camera| {
        let camera = Camera {
            pool: pool.clone(),
            lease: lease.clone(),
            stream: stream.clone(),
            settings: settings.clone(),
            url: format!("{}/v1/recordings/{stream}/{camera}", recorded_at.trim_end_matches('/')),
            consumer: format!("detect-{stream}-{camera}"),
            camera,
            told: None,
        };
        camera.look(&stop)
    });
    join_all(cameras).await;
}

/// What is kept of how far a camera was looked at.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    at: Timestamp,
}

/// A camera that is looked at.
struct Camera {
    pool: Arc<DetectorPool>,
    lease: Lease,
    stream: StreamId,
    settings: StreamSettings,
    url: String,
    consumer: String,
    camera: CameraId,
    /// Everything before it was told.
    told: Option<Timestamp>,
}

impl Camera {
    async fn look(mut self, stop: &CancellationToken) {
        let mut backoff = BACKOFF.0;
        let mut begun = false;
        while !stop.is_cancelled() {
            let looked = async {
                if !begun {
                    self.told = self.place().await?;
                    begun = true;
                }
                self.follow(stop).await
            };
            match looked.await {
                Ok(()) => backoff = BACKOFF.0,
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::warn!(stream = %self.stream, "others look at this stream from here on: {error}");
                    return stop.cancelled().await;
                }
                // It begins in a moment, or has just ended.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    tracing::debug!(stream = %self.stream, "not recorded yet: {error}");
                }
                Err(error) => {
                    tracing::warn!(stream = %self.stream, camera = %self.camera, "not looked at, trying again: {error}");
                    stop.run_until_cancelled(tokio::time::sleep(backoff)).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(BACKOFF.0)).await;
        }
    }

    async fn place(&self) -> Result<Option<Timestamp>> {
        let (places, partition) = (&self.pool.parts.places, self.lease.partition);
        let Some(kept) = places.last_checkpoint(partition, &self.consumer).await? else { return Ok(None) };
        Ok(Some(Place::deserialize(kept.state)?.at))
    }

    /// Looks at the recording until it ends.
    async fn follow(&mut self, stop: &CancellationToken) -> Result<()> {
        let response = self.ask().await?;
        let until = response.headers().get(UNTIL).and_then(|until| until.to_str().ok()?.parse().ok());
        let until = until.and_then(|until| Timestamp::try_from_secs_f64(until).ok());
        if until.zip(self.told).is_some_and(|(until, told)| until + ANOTHER < told) {
            tracing::info!(stream = %self.stream, "another recording: it is looked at from its beginning");
            self.told = None;
            return Ok(());
        }
        let watch = match (self.pool.parts.factory)(&self.stream, &self.camera, &self.settings) {
            Ok(watch) => watch,
            Err(error) => {
                drop(response);
                tracing::error!(stream = %self.stream, "the detectors of this pool cannot be made: {error}");
                // It is tried again with other settings, or by another process.
                stop.cancelled().await;
                return Ok(());
            }
        };
        let broke = |e| Error::new(ErrorKind::Unavailable, "the recording broke off").with_source(e);
        let bytes = response.bytes_stream().map(move |bytes| bytes.map_err(broke)).boxed();
        let source = FollowSource::try_new(bytes, self.camera.clone(), watch, self.pool.parts.media.clone())?;
        let (tx, mut found) = mpsc::channel(QUEUE);
        let out = SourceOutput::new(self.stream.clone(), tx, stop.clone());
        let looking = tokio::spawn(Box::new(source).run(out));
        let mut due = tokio::time::interval(TELL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut news = News { since: self.told, ..News::default() };
        loop {
            tokio::select! {
                item = found.recv(), if news.signals.len() < QUEUE => match item {
                    Some(item) => self.note(item, &mut news),
                    None => break,
                },
                _ = due.tick() => self.tell(&mut news, false).await?,
            }
        }
        let ended = looking.await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Internal, "what looks at the recording has panicked")
                .with_source(error))
        });
        let over = ended.is_ok() && !stop.is_cancelled();
        self.tell(&mut news, over).await?;
        ended
    }

    async fn ask(&self) -> Result<reqwest::Response> {
        // Where nothing was told, all that is there counts.
        let from = self.told.map(|told| format!("?from={}", (told - WARM_UP).as_secs_f64()));
        let mut request = self.pool.http.get(format!("{}{}", self.url, from.unwrap_or_default()));
        if let Some(secret) = &self.pool.parts.secret {
            request = request.bearer_auth(secret);
        }
        let response = request.send().await.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "the recording cannot be had")
                .with_source(e.without_url())
                .with_context("url", &self.url)
                .with_hint("shared.recordings.url of the worker is to be reached from here")
        })?;
        match response.status().as_u16() {
            200 => Ok(response),
            404 => {
                Err(Error::new(ErrorKind::NotFound, "nothing is recorded there")
                    .with_context("url", &self.url))
            }
            status => {
                let said = response.text().await.unwrap_or_default();
                Err(Error::new(ErrorKind::Unavailable, format!("the worker answered {status}"))
                    .with_context("url", &self.url)
                    .with_context("said", said.chars().take(300).collect::<String>()))
            }
        }
    }

    fn note(&self, item: Item, news: &mut News) {
        match item {
            Item::Signal(signal) if news.since.is_none_or(|since| signal.at >= since) => {
                news.signals.push(signal);
            }
            Item::Progress { at, .. } => news.reached = news.reached.max(Some(at)),
            Item::Notice(text) => tracing::info!(stream = %self.stream, camera = %self.camera, "{text}"),
            _ => {}
        }
    }

    /// Puts into the inbox what was found and how far it was looked, then keeps the place.
    async fn tell(&mut self, news: &mut News, over: bool) -> Result<()> {
        let (parts, received) = (&self.pool.parts, self.pool.parts.time.wall());
        let signals = news.signals.drain(..);
        let mut records: Vec<Record> =
            signals.map(|signal| Record::Arrival(Arrival::signal(received, signal))).collect();
        let reached = news.reached.filter(|at| over || self.told.is_none_or(|told| *at > told));
        if let Some(at) = reached {
            let looked = Looked { pool: parts.name.clone(), camera: self.camera.clone(), at, over };
            records.push(Record::Arrival(Arrival::looked(&self.stream, received, looked)));
        }
        if records.is_empty() {
            return Ok(());
        }
        let partition = partition_of(&self.stream, parts.inbox.partitions());
        let mut backoff = BACKOFF.0;
        while let Err(error) = parts.inbox.append(partition, &records).await {
            if !error.is_retryable() {
                return Err(error);
            }
            tracing::warn!(stream = %self.stream, "what was found cannot be told, trying again: {error}");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        let Some(at) = reached else { return Ok(()) };
        self.told = self.told.max(Some(at));
        let checkpoint = Checkpoint { next: 0, state: serde_json::to_value(Place { at })? };
        parts.places.checkpoint(&self.lease, &self.consumer, &checkpoint).await
    }
}

/// What is to be told.
#[derive(Default)]
struct News {
    signals: Vec<Signal>,
    /// What lies before was told already, and is looked at again only to know what is usual.
    since: Option<Timestamp>,
    reached: Option<Timestamp>,
}
