//! What was found: moments, clips, their files, and what people say of them.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::access::Caller;
use super::app::{App, State};
use super::extract::{Id, Params, json, page_of};
use super::problem::Problem;
use crate::catalog::{ClipQuery, FeedKind, Found, MomentQuery, Page, Said};
use crate::cutter::{Clip, ClipState};
use crate::fusion::MomentState;
use crate::tune::Verdict;
use crate::{CameraId, Error, ErrorKind, StreamId, Timestamp};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MomentFilter {
    stream: Option<StreamId>,
    state: Option<MomentState>,
    label: Option<String>,
    min_score: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    cursor: Option<u32>,
    #[serde(default = "fifty")]
    limit: usize,
    #[allow(dead_code)] // read where the caller is identified
    ticket: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClipFilter {
    stream: Option<StreamId>,
    state: Option<ClipState>,
    moment: Option<String>,
    camera: Option<CameraId>,
    from: Option<f64>,
    to: Option<f64>,
    cursor: Option<u32>,
    #[serde(default = "fifty")]
    limit: usize,
    #[allow(dead_code)] // read where the caller is identified
    ticket: Option<String>,
}

fn fifty() -> usize {
    50
}

fn instant(secs: Option<f64>) -> Result<Option<Timestamp>, Problem> {
    Ok(secs.map(Timestamp::try_from_secs_f64).transpose()?)
}

/// `GET /v1/moments`
pub(super) async fn moments(
    Shared(app): State,
    Params(filter): Params<MomentFilter>,
) -> Result<Json<Page>, Problem> {
    let (from, to) = (instant(filter.from)?, instant(filter.to)?);
    let limit = page_of(filter.limit)?;
    let MomentFilter { stream, state, label, min_score, .. } = filter;
    let cursor = filter.cursor.map(i64::from);
    Ok(Json(
        app.catalog.moments(MomentQuery { stream, state, label, min_score, from, to, cursor, limit }).await?,
    ))
}

/// `GET /v1/clips`
pub(super) async fn clips(
    Shared(app): State,
    Params(filter): Params<ClipFilter>,
) -> Result<Json<Page>, Problem> {
    let (from, to) = (instant(filter.from)?, instant(filter.to)?);
    let limit = page_of(filter.limit)?;
    let ClipFilter { stream, state, moment, camera, .. } = filter;
    let cursor = filter.cursor.map(i64::from);
    Ok(Json(app.catalog.clips(ClipQuery { stream, state, moment, camera, from, to, cursor, limit }).await?))
}

#[derive(Debug, Serialize)]
pub(super) struct MomentView {
    moment: Found,
    clips: Vec<Found>,
    feedback: Vec<Said>,
}

/// `GET /v1/moments/{id}`: with its clips, and what was said of it.
pub(super) async fn moment(Shared(app): State, Id(id): Id) -> Result<Json<MomentView>, Problem> {
    let moment = find(&app, FeedKind::Moment, &id).await?;
    let query = ClipQuery { moment: Some(id.clone()), limit: 100, ..ClipQuery::default() };
    let clips = app.catalog.clips(query).await?.items;
    Ok(Json(MomentView { moment, clips, feedback: app.catalog.said(&id).await? }))
}

/// `GET /v1/clips/{id}`
pub(super) async fn clip(Shared(app): State, Id(id): Id) -> Result<Json<Found>, Problem> {
    Ok(Json(find(&app, FeedKind::Clip, &id).await?))
}

pub(super) async fn find(app: &App, kind: FeedKind, id: &str) -> Result<Found, Problem> {
    let none = || Error::new(ErrorKind::NotFound, format!("there is no {} {id}", kind.as_str()));
    Ok(app.catalog.find(kind, id).await?.ok_or_else(none)?)
}

pub(super) async fn found_clip(app: &App, id: &str) -> Result<Clip, Problem> {
    let found = find(app, FeedKind::Clip, id).await?;
    Ok(serde_json::from_str(found.get()).map_err(Error::from)?)
}

/// `GET /v1/clips/{id}/media`: the file, whole or in ranges.
pub(super) async fn media(Shared(app): State, Id(id): Id, request: Request) -> Result<Response, Problem> {
    let clip = found_clip(&app, &id).await?;
    let text = match clip.state {
        ClipState::Ready => None,
        ClipState::Pending => Some("this clip is not ready yet".to_owned()),
        ClipState::Failed => Some(format!("there is no file of this clip: {}", clip.reasons.join("; "))),
    };
    if let Some(text) = text {
        return Err(Error::new(ErrorKind::Conflict, text).into());
    }
    file(&app, clip.path.as_deref(), clip.sha256.as_deref(), request).await
}

/// `GET /v1/clips/{id}/thumbnail`
pub(super) async fn thumbnail(Shared(app): State, Id(id): Id, request: Request) -> Result<Response, Problem> {
    let clip = found_clip(&app, &id).await?;
    file(&app, clip.thumbnail.as_deref(), None, request).await
}

/// `GET /v1/clips/{id}/preview`
pub(super) async fn preview(Shared(app): State, Id(id): Id, request: Request) -> Result<Response, Problem> {
    let clip = found_clip(&app, &id).await?;
    file(&app, clip.preview.as_deref(), None, request).await
}

async fn file(
    app: &App,
    path: Option<&Path>,
    tag: Option<&str>,
    mut request: Request,
) -> Result<Response, Problem> {
    // Units that are not known are as if they were not asked for (RFC 9110, 14.2).
    let bytes = |range: &HeaderValue| range.as_bytes().starts_with(b"bytes=");
    if !request.headers().get(header::RANGE).is_some_and(bytes) {
        request.headers_mut().remove(header::RANGE);
    }
    let gone = || Error::new(ErrorKind::NotFound, "there is no such file");
    let path = within(app.catalog.dir(), path.ok_or_else(gone)?).ok_or_else(gone)?;
    // The service's error type says that it cannot fail.
    let response = ServeFile::new(path).oneshot(request).await.unwrap_or_else(|never| match never {});
    if response.status() == StatusCode::NOT_FOUND {
        return Err(gone().with_hint("it was removed from the folder of clips").into());
    }
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let text = "the file does not have these bytes";
        let hint = "ask for bytes=FIRST-LAST inside of it, or for the whole";
        let mut refused = Problem::with(StatusCode::RANGE_NOT_SATISFIABLE, text, hint).into_response();
        if let Some(whole) = response.headers().get(header::CONTENT_RANGE) {
            refused.headers_mut().insert(header::CONTENT_RANGE, whole.clone());
        }
        return Ok(refused);
    }
    let mut response = response.map(Body::new);
    if let Some(tag) = tag.and_then(|sha256| HeaderValue::from_str(&format!("\"{sha256}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response.into_response())
}

/// The file, where its name does not lead out of the folder.
fn within(dir: &Path, path: &Path) -> Option<PathBuf> {
    let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    inside.then(|| dir.join(path))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opinion {
    verdict: Verdict,
    by: Option<Arc<str>>,
    note: Option<String>,
}

/// `POST /v1/moments/{id}/feedback`
pub(super) async fn judge_moment(
    Shared(app): State,
    Id(id): Id,
    Extension(caller): Extension<Arc<Caller>>,
    body: Bytes,
) -> Result<Response, Problem> {
    find(&app, FeedKind::Moment, &id).await?;
    judge(&app, id.into(), None, &caller, &body).await
}

/// `POST /v1/clips/{id}/feedback`: a verdict on a clip is one on its moment.
pub(super) async fn judge_clip(
    Shared(app): State,
    Id(id): Id,
    Extension(caller): Extension<Arc<Caller>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let clip = found_clip(&app, &id).await?;
    judge(&app, clip.moment, Some(clip.id), &caller, &body).await
}

async fn judge(
    app: &App,
    moment: Arc<str>,
    clip: Option<Arc<str>>,
    caller: &Caller,
    body: &[u8],
) -> Result<Response, Problem> {
    let Opinion { verdict, by, note } = json(body)?;
    if note.as_ref().is_some_and(|note| note.chars().count() > 4096)
        || by.as_ref().is_some_and(|by| by.chars().count() > 256)
    {
        return Err(Problem::with(
            StatusCode::BAD_REQUEST,
            "a note has at most 4096 characters, \"by\" at most 256",
            "",
        ));
    }
    let by = Some(by.unwrap_or_else(|| caller.name.as_str().into()));
    let said = Said { moment, clip, verdict, by, note, time: app.time.wall() };
    app.catalog.say(said.clone()).await?;
    Ok((StatusCode::CREATED, Json(said)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let dir = Path::new("/data");
        assert_eq!(within(dir, Path::new("clips/a.mp4")), Some("/data/clips/a.mp4".into()));
        for wrong in ["../etc/passwd", "clips/../../x", "/etc/passwd"] {
            assert_eq!(within(dir, Path::new(wrong)), None, "{wrong}");
        }
    }
}
