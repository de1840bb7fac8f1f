//! Extractors whose refusals are problem details.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::StreamId;

/// The `{id}` of a route that names a stream.
pub(super) struct Stream(pub(super) StreamId);

impl<S: Send + Sync> FromRequestParts<S> for Stream {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(StreamId::new(segment(parts, state).await?)?))
    }
}

/// The `{id}` of a route that names a moment or a clip.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = segment(parts, state).await?;
        if id.len() > 128 || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Problem::with(StatusCode::NOT_FOUND, "there is nothing with such an id", ""));
        }
        Ok(Self(id))
    }
}

async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(id)| id).map_err(|e| Problem::with(StatusCode::BAD_REQUEST, e.body_text(), ""))
}

/// The query, with every parameter known.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|e| Problem::with(StatusCode::BAD_REQUEST, e.body_text(), "see /openapi.json"))?;
        Ok(Self(params))
    }
}

/// The longest page.
const MAX_PAGE: usize = 1000;

/// How many items a page is to have.
pub(super) fn page_of(limit: usize) -> Result<usize, Problem> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::with(StatusCode::BAD_REQUEST, format!("limit is {limit}, not from 1 to {MAX_PAGE}"), ""))
}

/// A JSON body, whatever its `Content-Type` says.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| {
        Problem::with(
            StatusCode::BAD_REQUEST,
            format!("the body is not as it should be: {e}"),
            "see /openapi.json",
        )
    })
}
