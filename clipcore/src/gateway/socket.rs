//! Events in, by socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, State as Shared};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior};

use super::access::Caller;
use super::app::{App, State};
use super::body::events_of;
use super::events::take;
use super::extract::Stream;
use super::feed::crowded;
use super::limit::Place;
use super::pcm::PcmSpec;
use super::problem::Problem;
use super::sound::Sounding;
use crate::{Result, StreamId};

/// Bytes that a socket's buffers begin with.
const BUFFER: usize = 4 << 10;
/// Bytes that may wait to be written to a socket.
const MAX_WRITE: usize = 4 << 20;
/// Messages that are taken in with one append.
const AT_ONCE: usize = 256;

/// An upgrade to a socket; anything else is told so.
pub(super) struct Upgrade<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade<WebSocketUpgrade> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let upgrade = upgrade.map_err(|e: WebSocketUpgradeRejection| {
            Problem::with(StatusCode::UPGRADE_REQUIRED, e.body_text(), "open it as a WebSocket")
        })?;
        // Most sockets say little: by default each would hold a quarter of a megabyte.
        Ok(Self(upgrade.read_buffer_size(BUFFER).write_buffer_size(BUFFER).max_write_buffer_size(MAX_WRITE)))
    }
}

/// When the other side is to be asked whether it is there. What took long is not made up for: it could not answer meanwhile.
pub(super) fn pings(every: Duration) -> Interval {
    let mut pings = tokio::time::interval(every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}

/// Sends a message, unless the other side does not take it in time.
pub(super) async fn send(socket: &mut WebSocket, message: Message, patience: Duration) -> bool {
    matches!(tokio::time::timeout(patience, socket.send(message)).await, Ok(Ok(())))
}

/// `GET /v1/streams/{id}/ws`: text messages hold events, in the forms that a request may hold; each is acknowledged by its
/// number, from 1, once it is durable. Binary messages are sound, once a text message has said what it is.
pub(super) async fn ingest(
    Shared(app): State,
    Stream(stream): Stream,
    Extension(caller): Extension<Arc<Caller>>,
    Upgrade(upgrade): Upgrade<WebSocketUpgrade>,
) -> Result<Response, Problem> {
    let place = app.connections.enter(&caller.name).ok_or_else(crowded)?;
    let limit = app.config.max_body;
    let upgrade = upgrade.max_message_size(limit).max_frame_size(limit).protocols(["cloudevents.json"]);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let session = Session { app, stream, caller, number: 0, sound: None, _place: place };
        session.run(socket).await;
    }))
}

pub(super) struct Session {
    pub(super) app: Arc<App>,
    pub(super) stream: StreamId,
    caller: Arc<Caller>,
    /// Messages so far.
    pub(super) number: u64,
    /// What binary messages are.
    pub(super) sound: Option<Sounding>,
    _place: Place,
}

impl Session {
    async fn run(mut self, mut socket: WebSocket) {
        let patience = self.app.config.patience;
        let mut ping = pings(self.app.config.ping);
        let mut answered = true;
        let mut erased = self.app.erased.subscribe();
        let (code, reason) = loop {
            let first = tokio::select! {
                said = socket.recv() => match said {
                    Some(Ok(message)) => message,
                    Some(Err(_)) | None => return,
                },
                _ = ping.tick() => {
                    if !std::mem::replace(&mut answered, false)
                        || !send(&mut socket, Message::Ping(Default::default()), patience).await {
                        return;
                    }
                    continue;
                }
                gone = erased.recv() => match gone {
                    Ok(gone) if gone != self.stream => continue,
                    _ => break (close_code::POLICY, "the stream was erased"),
                },
                () = self.app.closing.cancelled() => break (close_code::AWAY, "the server is stopping"),
            };
            answered = true;
            let mut texts = Vec::new();
            let mut other = None;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Text(text) if !PcmSpec::is_one(&text) => texts.push(text),
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => {
                        other = Some(message);
                        break;
                    }
                }
                if texts.len() < AT_ONCE {
                    next = socket.recv().now_or_never().flatten().and_then(Result::ok);
                }
            }
            if !texts.is_empty() && !self.messages(&mut socket, &texts).await {
                return;
            }
            let Some(other) = other else { continue };
            if !self.wait_for_turn().await {
                return;
            }
            let answer = match other {
                Message::Text(text) => self.sound_begins(&text).await,
                Message::Binary(bytes) => self.sound(&bytes).await,
                _ => return,
            };
            if !send(&mut socket, Message::text(answer.to_string()), patience).await {
                return;
            }
        };
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let _ = send(&mut socket, close, patience).await;
    }

    /// What comes faster than the token may send waits here, and so does its sender: whether its turn came.
    async fn wait_for_turn(&self) -> bool {
        let now = self.app.time.elapsed();
        while let Err(secs) = self.app.rates.take(&self.caller.name, self.app.time.elapsed()) {
            if self.app.time.elapsed().saturating_sub(now) > self.app.config.patience {
                return false;
            }
            self.app.time.sleep(Duration::from_millis(50 * secs.min(20))).await;
        }
        true
    }

    /// Takes messages in and answers each; whether the socket is still good.
    async fn messages(&mut self, socket: &mut WebSocket, texts: &[axum::extract::ws::Utf8Bytes]) -> bool {
        let patience = self.app.config.patience;
        for _ in texts {
            if !self.wait_for_turn().await {
                return false;
            }
        }
        let (mut entries, mut lengths) = (Vec::new(), Vec::new());
        for text in texts {
            let read = events_of(None, text.as_bytes(), &self.app.kinds);
            let read = read.unwrap_or_else(|error| vec![(1, Err(error))]);
            lengths.push(read.len());
            entries.extend(read.into_iter().map(|(_, event)| event));
        }
        let entries = entries.into_iter().enumerate().map(|(index, event)| (index + 1, event)).collect();
        let taken = take(&self.app, &self.stream, entries, None, None).await;
        let mut answers = Vec::with_capacity(lengths.len());
        match taken {
            Ok(taken) => {
                let mut refused = taken.errors.into_iter().peekable();
                let mut end = 0;
                for length in lengths {
                    let begin = end;
                    end += length;
                    self.number += 1;
                    let mut errors = Vec::new();
                    while let Some(mut error) = refused.next_if(|error| error.line() <= end) {
                        error.move_back(begin);
                        errors.push(error);
                    }
                    let mut answer = json!({"ack": self.number, "accepted": length - errors.len()});
                    if !errors.is_empty() {
                        answer["refused"] = Value::from(errors.len());
                        answer["errors"] = serde_json::to_value(errors).unwrap_or_default();
                    }
                    answers.push(answer);
                }
            }
            Err(error) => {
                // None of them was taken in: the sender may send them again.
                let error = serde_json::to_value(Problem::from(error).into_body()).unwrap_or_default();
                for _ in lengths {
                    self.number += 1;
                    answers.push(json!({"nack": self.number, "error": error}));
                }
            }
        }
        for answer in answers {
            if !send(socket, Message::text(answer.to_string()), patience).await {
                return false;
            }
        }
        true
    }
}
