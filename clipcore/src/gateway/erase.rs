//! Erasure on request.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use super::access::Caller;
use super::app::{App, State};
use super::extract::{Params, Stream};
use super::problem::{Problem, finished};
use crate::Result;
use crate::durable::blocking;
use crate::privacy::{AuditNote, DataFolder, Erased, audit};

/// The longest name of a platform or viewer, and reason, in characters.
const MAX_NAME: usize = 256;
const MAX_WHY: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// For the list of what was done.
    #[serde(default)]
    why: String,
}

/// What is to be noted of it.
struct Asked {
    who: String,
    subject: String,
    why: String,
}

impl Asked {
    fn new(caller: &Caller, subject: String, why: Why) -> Result<Self, Problem> {
        if why.why.chars().count() > MAX_WHY {
            let text = format!("the reason is longer than {MAX_WHY} characters");
            return Err(Problem::with(StatusCode::BAD_REQUEST, text, ""));
        }
        Ok(Self { who: caller.name.clone(), subject, why: why.why })
    }

    /// Notes in the list what came of it.
    async fn note(self, app: &App, erased: &Result<Erased>) -> Result<()> {
        let outcome = match erased {
            Ok(erased) => serde_json::to_string(erased)?,
            Err(error) => format!("not finished: {}", error.kind().as_str()),
        };
        let (path, now) = (DataFolder::audit_path(app.catalog.dir()), app.time.wall());
        blocking(move || {
            let Self { who, subject, why } = &self;
            audit(&path, &AuditNote { who, what: "erase", subject, why, outcome: &outcome }, now)
        })
        .await
    }
}

/// `DELETE /v1/streams/{id}`
pub(super) async fn stream(
    Shared(app): State,
    Stream(stream): Stream,
    Params(why): Params<Why>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Erased>, Problem> {
    let asked = Asked::new(&caller, format!("stream {stream}"), why)?;
    to_the_end(app.clone(), asked, async move {
        // Whoever sends or reads it is let go before it goes, and whoever came back meanwhile afterwards.
        let _changing = app.changing.lock().await;
        let _ = app.erased.send(stream.clone());
        let erased = app.host.erase_stream(&stream).await;
        let _ = app.erased.send(stream);
        erased
    })
    .await
}

/// `DELETE /v1/subjects/{platform}/{user}`
pub(super) async fn viewer(
    Shared(app): State,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    Params(why): Params<Why>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Erased>, Problem> {
    let wrong = |text: String| Problem::with(StatusCode::BAD_REQUEST, text, "");
    let Path((platform, name)) = path.map_err(|e| wrong(e.body_text()))?;
    if [&platform, &name].iter().any(|part| part.chars().count() > MAX_NAME) {
        return Err(wrong(format!("a name has at most {MAX_NAME} characters")));
    }
    // The list holds no names of viewers.
    let asked = Asked::new(&caller, "a viewer".to_owned(), why)?;
    to_the_end(app.clone(), asked, async move { app.host.erase_viewer(&platform, &name).await }).await
}

/// Erases to the end, and notes it.
async fn to_the_end(
    app: Arc<App>,
    asked: Asked,
    erase: impl Future<Output = Result<Erased>> + Send + 'static,
) -> Result<Json<Erased>, Problem> {
    let erased = finished("erasing", async move {
        let erased = erase.await;
        asked.note(&app, &erased).await?;
        erased
    });
    erased.await.map(Json).map_err(|error| Problem::undone(&error))
}
