//! Clips with other bounds.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use serde::Deserialize;

use super::app::{App, State};
use super::extract::{Id, json};
use super::items::{find, found_clip};
use super::problem::{Problem, finished};
use crate::catalog::FeedKind;
use crate::cutter::{Clip, ClipState, Span};
use crate::fusion::Moment;
use crate::{Error, ErrorKind, Result, Timestamp};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    /// Seconds on the stream's timeline; what it is where absent.
    start: Option<f64>,
    end: Option<f64>,
}

/// `PATCH /v1/clips/{id}`: cuts it anew, out of what the recording still holds.
pub(super) async fn clip(Shared(app): State, Id(id): Id, body: Bytes) -> Result<Json<Clip>, Problem> {
    let bounds: Bounds = json(&body)?;
    let instant = |secs: Option<f64>| secs.map(Timestamp::try_from_secs_f64).transpose();
    let (start, end) = (instant(bounds.start)?, instant(bounds.end)?);
    if start.is_none() && end.is_none() {
        let hint = r#"send {"start":SECONDS,"end":SECONDS}, or one of them"#;
        return Err(Problem::with(StatusCode::BAD_REQUEST, "neither start nor end is given", hint));
    }
    finished("cutting", async move { trim(&app, &id, start, end).await }).await
}

async fn trim(
    app: &Arc<App>,
    id: &str,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> Result<Json<Clip>, Problem> {
    // One at a time: each is numbered after the one before.
    let _changing = app.changing.lock().await;
    let clip = found_clip(app, id).await?;
    if clip.state == ClipState::Pending {
        return Err(Error::new(ErrorKind::Conflict, "this clip is not ready yet")
            .with_hint("ask again once it is ready")
            .into());
    }
    let span = Span { start: start.unwrap_or(clip.asked.start), end: end.unwrap_or(clip.asked.end) };
    // The moment may have been forgotten; then the picture is taken elsewhere.
    let moment = find(app, FeedKind::Moment, &clip.moment).await.ok();
    let peak = moment.and_then(|found| serde_json::from_str::<Moment>(found.get()).ok()).map(|m| m.peak);
    match recut(app, &clip, span, peak).await {
        Ok(clip) => Ok(Json(clip)),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let recorded = recorded(app, &clip).await?;
            let told: Vec<String> =
                recorded.iter().map(|held| format!("{} to {} s", held.start, held.end)).collect();
            let hint = match told.is_empty() {
                true => "nothing of it is left; recorder.retain says how long recordings are kept".to_owned(),
                false => format!("what is recorded is {}", told.join(", ")),
            };
            let recorded = serde_json::to_value(recorded).map_err(Error::from)?;
            Err(Problem::from(error.with_hint(hint)).recorded(recorded))
        }
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidInput => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &error),
            _ => Problem::undone(&error),
        }),
    }
}

#[cfg(feature = "media")]
async fn recut(app: &App, clip: &Clip, span: Span, peak: Option<Timestamp>) -> Result<Clip> {
    app.host.recut(clip, span, peak).await
}

#[cfg(feature = "media")]
async fn recorded(app: &App, clip: &Clip) -> Result<Vec<Span>> {
    app.host.recorded(&clip.stream, &clip.camera).await
}

#[cfg(not(feature = "media"))]
async fn recut(_: &App, _: &Clip, _: Span, _: Option<Timestamp>) -> Result<Clip> {
    Err(Error::new(ErrorKind::Unsupported, "this server was built without media"))
}

#[cfg(not(feature = "media"))]
async fn recorded(_: &App, _: &Clip) -> Result<Vec<Span>> {
    Ok(Vec::new())
}
