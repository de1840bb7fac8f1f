//! Moments and clips as they change: an event stream that resumes exactly, and the same over a socket.
//!
//! A reader is never pushed into a queue of its own: it reads the catalog from where it is, at its own pace, so a slow one costs
//! its connection and no memory, and misses nothing.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State as Shared;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::unfold;
use serde::Deserialize;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};

use super::access::Caller;
use super::app::{App, State};
use super::extract::Params;
use super::limit::Place;
use super::problem::Problem;
use super::socket::{Upgrade, pings, send};
use crate::catalog::FeedItem;
use crate::{Result, StreamId};

/// Transitions that are read at a time.
const CHUNK: usize = 100;
/// How long a browser waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    stream: Option<StreamId>,
    /// The number after which to begin; `Last-Event-ID` goes before it.
    after: Option<i64>,
    #[allow(dead_code)] // read where the caller is identified
    ticket: Option<String>,
}

/// A place in the feed.
struct Reader {
    app: Arc<App>,
    stream: Option<StreamId>,
    after: i64,
    latest: watch::Receiver<i64>,
    erased: broadcast::Receiver<StreamId>,
    ready: VecDeque<FeedItem>,
    _place: Place,
}

impl Reader {
    fn new(app: Arc<App>, caller: &Caller, which: Which, last: Option<i64>) -> Result<Self, Problem> {
        let place = app.connections.enter(&caller.name).ok_or_else(crowded)?;
        let (latest, erased) = (app.catalog.watch(), app.erased.subscribe());
        // Without a place to go on from, a reader begins with what comes next.
        let after = last.or(which.after).unwrap_or_else(|| *latest.borrow());
        let ready = VecDeque::new();
        Ok(Self { app, stream: which.stream, after, latest, erased, ready, _place: place })
    }

    /// The next transition; nothing once the server closes, or the stream is erased.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    async fn next(&mut self) -> Option<Result<FeedItem>> {
        loop {
            match self.erased.try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(gone) if self.stream.as_ref().is_some_and(|stream| *stream != gone) => continue,
                Ok(_) if self.stream.is_none() => {
                    // What was read of it before is not told afterwards.
                    self.after = self.ready.front().map_or(self.after, |item| item.seq - 1);
                    self.ready.clear();
                    continue;
                }
                _ => return None,
            }
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            let latest = *self.latest.borrow_and_update();
            if latest > self.after {
                match self.app.catalog.feed(self.after, self.stream.clone(), CHUNK).await {
                    Err(error) => return Some(Err(error)),
                    Ok(items) => {
                        // What is of other streams is behind this reader, too.
                        self.after = items.last().map_or(latest, |item| item.seq);
                        self.ready = items.into();
                        continue;
                    }
                }
            }
            let closing = self.app.closing.clone();
            tokio::select! {
                changed = self.latest.changed() => changed.ok()?,
                gone = self.erased.recv() => match gone {
                    Ok(gone) if self.stream.as_ref().is_none_or(|stream| *stream != gone) => {}
                    _ => return None,
                },
                () = closing.cancelled() => return None,
            }
        }
    }
}

pub(super) fn crowded() -> Problem {
    let hint = "close some, or raise gateway.connections";
    Problem::with(StatusCode::TOO_MANY_REQUESTS, "too many connections of this token are open", hint).after(5)
}

/// `GET /v1/feed`
pub(super) async fn events(
    Shared(app): State,
    Extension(caller): Extension<Arc<Caller>>,
    Params(which): Params<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => Some(id.to_str().ok().and_then(|id| id.parse().ok()).ok_or_else(|| {
            Problem::with(StatusCode::BAD_REQUEST, "Last-Event-ID is none that this feed gave", "")
        })?),
    };
    let ping = app.config.ping;
    let reader = Reader::new(app, &caller, which, last)?;
    let retry = Event::default().retry(RETRY).comment("clipcore feed");
    let events = unfold((reader, Some(retry)), |(mut reader, first)| async move {
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(first), (reader, None)));
        }
        match reader.next().await? {
            Ok(FeedItem { seq, kind, item }) => {
                let event = Event::default().id(seq.to_string()).event(kind.as_str()).data(item.get());
                Some((Ok(event), (reader, None)))
            }
            Err(error) => {
                tracing::warn!("a feed ended: {error}");
                None
            }
        }
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(ping)).into_response();
    // A proxy that collects answers would hold moments back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// `GET /v1/feed/ws`: the same, each transition a message `{"seq","kind","item"}`.
pub(super) async fn socket(
    Shared(app): State,
    Extension(caller): Extension<Arc<Caller>>,
    Params(which): Params<Which>,
    Upgrade(upgrade): Upgrade<WebSocketUpgrade>,
) -> Result<Response, Problem> {
    let reader = Reader::new(app, &caller, which, None)?;
    Ok(upgrade.max_message_size(4096).on_upgrade(move |socket| talk(socket, reader)))
}

async fn talk(mut socket: WebSocket, mut reader: Reader) {
    let patience = reader.app.config.patience;
    let mut ping = pings(reader.app.config.ping);
    let mut answered = true;
    loop {
        let message = tokio::select! {
            item = reader.next() => match item {
                Some(Ok(item)) => Message::text(serde_json::to_string(&item).unwrap_or_default()),
                _ => break,
            },
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    answered = true;
                    continue;
                }
            },
            _ = ping.tick() => {
                if !std::mem::replace(&mut answered, false) {
                    return;
                }
                Message::Ping(Default::default())
            }
        };
        if !send(&mut socket, message, patience).await {
            return;
        }
    }
    let _ = send(&mut socket, Message::Close(None), patience).await;
}
