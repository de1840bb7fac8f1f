//! Events in, by request.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::Instrument;

use super::access::Caller;
use super::app::{App, State};
use super::body::{Entry, events_of};
use super::extract::{Params, Stream, page_of};
use super::guard::RequestKey;
use super::hooks::verify_hook;
use super::problem::{self, Problem};
use crate::catalog::{Answer, Recalled};
use crate::event::Incoming;
use crate::ids::stable_id;
use crate::trace::span;
use crate::{Error, Result, StreamId};

/// So many refused events are told one by one.
const MAX_TOLD: usize = 100;
/// Records of the log that are looked at for one page.
const LOOK_AT: usize = 5000;

/// What became of the events of a request.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    /// Events that are durably taken in.
    pub(super) accepted: usize,
    /// Events that were refused.
    pub(super) refused: usize,
    /// The first of them, with their place and the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<Refused>,
}

#[derive(Debug, Serialize)]
pub(super) struct Refused {
    /// The place in the body, from 1; in lines the number of the line.
    line: usize,
    error: problem::Body,
}

impl Refused {
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Counts places from `begin` on.
    pub(super) fn move_back(&mut self, begin: usize) {
        self.line -= begin;
    }
}

/// Hands events to the host. `key` makes ids for those that have none, so that the same request gives the same ones.
pub(super) async fn take(
    app: &App,
    stream: &StreamId,
    entries: Vec<Entry>,
    trace: Option<&str>,
    key: Option<&str>,
) -> Result<Taken> {
    let mut errors = Vec::new();
    let (mut places, mut events) = (Vec::new(), Vec::new());
    for (place, event) in entries {
        match event {
            Err(error) => errors.push((place, error)),
            Ok(event) => {
                let event = event.with_default_trace(trace);
                events.push(match key {
                    Some(key) => event.with_default_id(|| stable_id(&[key.as_bytes(), &place.to_be_bytes()])),
                    None => event,
                });
                places.push(place);
            }
        }
    }
    let mut accepted = 0;
    if !events.is_empty() {
        let trace = trace.or_else(|| events.first().and_then(Incoming::trace));
        let span = span!("ingest", trace, %stream, events = events.len());
        let taken = app.host.accept(stream, events).instrument(span).await?;
        for (place, refused) in places.into_iter().zip(taken) {
            match refused {
                None => accepted += 1,
                Some(error) => errors.push((place, error)),
            }
        }
    }
    errors.sort_by_key(|(place, _)| *place);
    app.metrics.accepted.inc_by(accepted as u64);
    app.metrics.refused.inc_by(errors.len() as u64);
    let refused = errors.len();
    let told = errors.into_iter().take(MAX_TOLD);
    let errors =
        told.map(|(line, error)| Refused { line, error: Problem::from(error).into_body() }).collect();
    Ok(Taken { accepted, refused, errors })
}

fn answer(taken: Taken) -> Result<Response, Problem> {
    if taken.accepted == 0 && taken.refused > 0 {
        let text = match taken.refused {
            1 => "the event was refused".to_owned(),
            n => format!("all {n} events were refused"),
        };
        let refused = serde_json::to_value(&taken.errors).unwrap_or_default();
        return Err(Problem::with(StatusCode::BAD_REQUEST, text, "").refusing(refused));
    }
    Ok((StatusCode::ACCEPTED, Json(taken)).into_response())
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `POST /v1/streams/{id}/events`
pub(super) async fn post(
    Shared(app): State,
    Stream(stream): Stream,
    key: Option<Extension<RequestKey>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let entries = events_of(text(&headers, header::CONTENT_TYPE), &body, &app.kinds)?;
    let key = key.as_ref().map(|key| key.0.0.as_str());
    answer(take(&app, &stream, entries, text(&headers, "traceparent"), key).await?)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Marker {
    label: Option<String>,
    by: Option<String>,
    at: Option<f64>,
    time: Option<String>,
    id: Option<String>,
}

/// `POST /v1/streams/{id}/markers`: somebody pressed "clip that".
pub(super) async fn mark(
    Shared(app): State,
    Stream(stream): Stream,
    Extension(caller): Extension<Arc<Caller>>,
    key: Option<Extension<RequestKey>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let marker: Marker =
        if body.trim_ascii().is_empty() { Marker::default() } else { super::extract::json(&body)? };
    let mut event = json!({
        "type": "marker",
        "source": format!("gateway:{}", caller.name),
        "data": {"label": marker.label, "by": marker.by.as_deref().unwrap_or(&caller.name)},
    });
    let members = [
        ("at", marker.at.map(Into::into)),
        ("time", marker.time.map(Into::into)),
        ("id", marker.id.map(serde_json::Value::from)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            event[name] = value;
        }
    }
    let entries = vec![(1, app.kinds.parse(event.to_string().as_bytes()))];
    let key = key.as_ref().map(|key| key.0.0.as_str());
    answer(take(&app, &stream, entries, text(&headers, "traceparent"), key).await?)
}

/// `POST /hooks/events/{id}`: a signed message. It is marked as taken only once its events are durable; where a crash comes
/// between, it is sent again, and its events carry the ids they had.
pub(super) async fn hook(
    Shared(app): State,
    Stream(stream): Stream,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let header = |name: &'static str| {
        text(&headers, name).ok_or_else(|| {
            Problem::with(
                StatusCode::UNAUTHORIZED,
                format!("the header {name} is missing"),
                "sign it as Standard Webhooks 1.0 says",
            )
        })
    };
    let (id, at, signatures) =
        (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    if app.config.hook_secrets.is_empty() {
        let error = Error::new(crate::ErrorKind::NotFound, "no webhooks are taken here")
            .with_hint("set gateway.hook_secrets");
        return Err(error.into());
    }
    let now = app.time.wall();
    verify_hook(&app.config.hook_secrets, id, at, signatures, &body, now)
        .map_err(|error| Problem::new(StatusCode::UNAUTHORIZED, &error))?;
    let key = stable_id(&[b"hook", stream.as_str().as_bytes(), id.as_bytes()]);
    if let Recalled::Same(_) = app.catalog.recall(key.clone(), String::new()).await? {
        return Ok(StatusCode::OK.into_response());
    }
    let entries = events_of(text(&headers, header::CONTENT_TYPE), &body, &app.kinds)?;
    let taken = take(&app, &stream, entries, text(&headers, "traceparent"), Some(&key)).await?;
    let kept = Answer { status: 200, body: String::new() };
    app.catalog.keep_answer(key, String::new(), kept, now, app.config.keep_answers).await?;
    answer(taken)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    #[serde(default)]
    cursor: u64,
    #[serde(default = "hundred")]
    limit: usize,
    r#type: Option<String>,
    #[allow(dead_code)] // read where the caller is identified
    ticket: Option<String>,
}

fn hundred() -> usize {
    100
}

#[derive(Debug, Serialize)]
struct Logged {
    items: Vec<Box<RawValue>>,
    next: String,
}

/// `GET /v1/streams/{id}/events`: what the log holds, in its order.
pub(super) async fn list(
    Shared(app): State,
    Stream(stream): Stream,
    Params(listing): Params<Listing>,
) -> Result<Response, Problem> {
    let limit = page_of(listing.limit)?;
    app.host.known(&stream)?;
    let (events, mut next) = app.host.events(&stream, listing.cursor, LOOK_AT).await?;
    let mut items = Vec::new();
    for (offset, event) in events {
        if listing.r#type.as_deref().is_some_and(|kind| kind != event.kind()) {
            continue;
        }
        items.push(RawValue::from_string(event.to_json()?).map_err(Error::from)?);
        if items.len() == limit {
            next = offset + 1;
            break;
        }
    }
    Ok(Json(Logged { items, next: next.to_string() }).into_response())
}
