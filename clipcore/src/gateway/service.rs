//! What operators and browsers ask: is it up, how does it fare, what can be asked, a ticket.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::json;

use super::access::{Caller, TICKET};
use super::app::State;
use super::metrics;
use super::problem::Problem;
use crate::catalog::FeedKind;

/// The description of the interface, written by hand; a test holds it and the routes together.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /healthz`: the process answers.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: it takes events in.
pub(super) async fn ready(Shared(app): State) -> Result<&'static str, Problem> {
    if app.closing.is_cancelled() {
        return Err(Problem::with(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping", ""));
    }
    app.catalog.find(FeedKind::Moment, "").await?;
    Ok("ready\n")
}

/// `GET /metrics`: as OpenMetrics, with exemplars, for a scraper that says it reads that.
pub(super) async fn measures(Shared(app): State, headers: HeaderMap) -> Response {
    let text = metrics::text(&app);
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, text) = match accepts.contains("application/openmetrics-text") {
        true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        false => ("text/plain; version=0.0.4; charset=utf-8", metrics::classic(&text)),
    };
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
}

/// `GET /openapi.json`
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

/// `POST /v1/tickets`
pub(super) async fn ticket(
    Shared(app): State,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, Problem> {
    let ticket = app.tickets.issue(&caller, &*app.time)?;
    Ok((StatusCode::CREATED, Json(json!({"ticket": ticket, "expires_in": TICKET.as_secs()}))).into_response())
}
