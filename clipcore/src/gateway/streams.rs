//! Streams: what runs, what is to run, what is over.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::app::State;
use super::extract::{Params, Stream, json};
use super::problem::Problem;
use crate::detector::Signal;
use crate::host::{StreamSettings, StreamState, StreamStatus};
use crate::{ErrorKind, Timestamp};

#[derive(Debug, Serialize)]
pub(super) struct Items<T> {
    items: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<StreamState>,
    #[allow(dead_code)] // read where the caller is identified
    ticket: Option<String>,
}

/// `GET /v1/streams`
pub(super) async fn list(Shared(app): State, Params(which): Params<Which>) -> Json<Items<StreamStatus>> {
    let mut items = app.host.streams();
    items.retain(|stream| which.state.is_none_or(|state| stream.state == state));
    Json(Items { items })
}

/// `GET /v1/streams/{id}`
pub(super) async fn show(Shared(app): State, Stream(stream): Stream) -> Result<Json<StreamStatus>, Problem> {
    Ok(Json(app.host.known(&stream)?))
}

/// `PUT /v1/streams/{id}`: starts it, or changes what it is.
pub(super) async fn put(
    Shared(app): State,
    Stream(stream): Stream,
    body: Bytes,
) -> Result<Json<StreamStatus>, Problem> {
    let settings: StreamSettings =
        if body.trim_ascii().is_empty() { StreamSettings::default() } else { json(&body)? };
    let put = app.host.put(&stream, settings).await.map_err(|error| match error.kind() {
        // What was asked for cannot be read here: the asker's inputs are to blame, not the server.
        ErrorKind::Io | ErrorKind::NotFound | ErrorKind::Media => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &error)
        }
        _ => error.into(),
    })?;
    Ok(Json(put))
}

/// `POST /v1/streams/{id}/end`: nothing more will come.
pub(super) async fn end(Shared(app): State, Stream(stream): Stream) -> Result<StatusCode, Problem> {
    app.host.end(&stream).await?;
    Ok(StatusCode::ACCEPTED)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Seconds on the stream's timeline.
    since: Option<f64>,
    detector: Option<String>,
    #[allow(dead_code)] // read where the caller is identified
    ticket: Option<String>,
}

/// `GET /v1/streams/{id}/signals`: the latest ones of a live stream.
pub(super) async fn signals(
    Shared(app): State,
    Stream(stream): Stream,
    Params(since): Params<Since>,
) -> Result<Json<Items<Signal>>, Problem> {
    let from = since.since.map(Timestamp::try_from_secs_f64).transpose()?;
    app.host.known(&stream)?;
    let mut items = app.host.signals(&stream);
    items.retain(|signal| {
        from.is_none_or(|from| signal.at >= from)
            && since.detector.as_deref().is_none_or(|name| *signal.detector == *name)
    });
    Ok(Json(Items { items }))
}
