//! What a worker records, for detectors of other processes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::access::same;
use super::problem::Problem;
use crate::clock::TimeSource;
use crate::durable::blocking;
use crate::recorder::{Recordings, Tail};
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp};

/// Says up to where, in seconds of the timeline, was recorded when the answer began.
pub(crate) const UNTIL: &str = "clipcore-recorded-until";

/// Where nothing is recorded for so long, something is sent that says nothing: readers can tell a pause from a peer that is gone.
const IDLE: Duration = Duration::from_secs(3);
const EMPTY_BOX: &[u8] = b"\0\0\0\x08free";

/// `GET /v1/recordings/{stream}/{camera}?from=SECONDS`: the files of a recording from the one on that holds that instant,
/// one after the other, and what is being recorded as it is written, until the recording ends.
///
/// With a secret, whoever asks says it as a bearer token; without one only what comes from this machine should reach it.
pub fn recordings(all: Recordings, secret: Option<&str>, time: Arc<dyn TimeSource>) -> Router {
    let secret = secret.map(|secret| Sha256::digest(secret.as_bytes()).into());
    let door = Arc::new(Door { all, secret, time });
    Router::new().route("/v1/recordings/{stream}/{camera}", get(follow)).with_state(door)
}

struct Door {
    all: Recordings,
    secret: Option<[u8; 32]>,
    time: Arc<dyn TimeSource>,
}

#[derive(Deserialize)]
struct Asked {
    from: Option<f64>,
}

impl Door {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(secret) = &self.secret else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let given = given.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
        same(secret, &Sha256::digest(given.as_bytes()).into())
    }
}

async fn follow(
    State(door): State<Arc<Door>>,
    Path((stream, camera)): Path<(String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !door.admits(&headers) {
        let hint = "it is shared.recordings.secret of both processes";
        return Err(Problem::with(StatusCode::UNAUTHORIZED, "this needs the secret of recordings", hint));
    }
    let (stream, camera) = (StreamId::new(stream)?, CameraId::new(camera)?);
    let from = asked.from.map_or(Ok(Timestamp::MIN), Timestamp::try_from_secs_f64)?;
    let recording = door.all.find(&stream, &camera).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{stream} is not recorded here now"))
            .with_context("camera", &camera)
    })?;
    let until = recording.recorded_until();
    let tail = Tail::new(recording, from);
    let time = door.time.clone();
    let bytes = futures::stream::unfold(Some(tail), move |tail| {
        let time = time.clone();
        async move { next(tail?, &*time).await }
    });
    let mut response = Body::from_stream(bytes).into_response();
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("video/mp4"));
    head.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if until > Timestamp::MIN
        && let Ok(until) = header::HeaderValue::from_str(&until.as_secs_f64().to_string())
    {
        head.insert(UNTIL, until);
    }
    Ok(response)
}

/// The next bytes, and who reads on; nothing where the recording is over.
async fn next(mut tail: Tail, time: &dyn TimeSource) -> Option<(Result<Bytes>, Option<Tail>)> {
    let began = time.elapsed();
    loop {
        // Asked before: what was written by then is read.
        let over = tail.is_over();
        let read = blocking(move || Ok((tail.read(), tail))).await;
        let (read, back) = match read {
            Ok(read) => read,
            Err(error) => return Some((Err(error), None)),
        };
        tail = back;
        match read {
            Ok(Some(bytes)) => return Some((Ok(bytes), Some(tail))),
            Ok(None) if over => return None,
            // Whole boxes were sent so far.
            Ok(None) if time.elapsed() >= began + IDLE => {
                return Some((Ok(Bytes::from_static(EMPTY_BOX)), Some(tail)));
            }
            Ok(None) => tail.more().await,
            Err(error) => return Some((Err(error), None)),
        }
    }
}
