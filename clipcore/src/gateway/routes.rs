//! Every route, with who may use it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, State as Shared};
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::access::Scope;
use super::app::{App, State};
use super::guard::Door;
use super::problem::Problem;
use super::{erase, events, feed, guard, items, pictures, service, socket, streams, trim};

type Route = (&'static str, MethodRouter<Arc<App>>);

/// Routes for those that may send.
fn ingest() -> Vec<Route> {
    vec![
        ("/v1/streams/{id}/events", post(events::post)),
        ("/v1/streams/{id}/markers", post(events::mark)),
        ("/v1/streams/{id}/frames", post(pictures::post)),
        ("/v1/streams/{id}/ws", get(socket::ingest)),
    ]
}

/// Routes for those that may read.
fn read() -> Vec<Route> {
    vec![
        ("/v1/streams/{id}/events", get(events::list)),
        ("/v1/streams", get(streams::list)),
        ("/v1/streams/{id}", get(streams::show)),
        ("/v1/streams/{id}/signals", get(streams::signals)),
        ("/v1/moments", get(items::moments)),
        ("/v1/moments/{id}", get(items::moment)),
        ("/v1/moments/{id}/feedback", post(items::judge_moment)),
        ("/v1/clips", get(items::clips)),
        ("/v1/clips/{id}", get(items::clip)),
        ("/v1/clips/{id}/media", get(items::media)),
        ("/v1/clips/{id}/thumbnail", get(items::thumbnail)),
        ("/v1/clips/{id}/preview", get(items::preview)),
        ("/v1/clips/{id}/feedback", post(items::judge_clip)),
        ("/v1/feed", get(feed::events)),
        ("/v1/feed/ws", get(feed::socket)),
        ("/v1/tickets", post(service::ticket)),
        ("/metrics", get(service::measures)),
    ]
}

/// Routes for those that may change what runs.
fn admin() -> Vec<Route> {
    vec![
        ("/v1/clips/{id}", patch(trim::clip)),
        ("/v1/streams/{id}", put(streams::put).delete(erase::stream)),
        ("/v1/streams/{id}/end", post(streams::end)),
        ("/v1/subjects/{platform}/{user}", delete(erase::viewer)),
    ]
}

/// Routes for everybody. What a webhook says is signed.
fn public() -> Vec<Route> {
    vec![
        ("/healthz", get(service::health)),
        ("/readyz", get(service::ready)),
        ("/openapi.json", get(service::openapi)),
        ("/hooks/events/{id}", post(events::hook)),
    ]
}

/// Every path.
#[cfg(test)]
pub(super) fn paths() -> Vec<&'static str> {
    [ingest(), read(), admin(), public()].into_iter().flatten().map(|(path, _)| path).collect()
}

pub(super) fn router(app: Arc<App>) -> Router {
    let group = |routes: Vec<Route>, scope: Option<Scope>| {
        routes.into_iter().fold(Router::new(), |router, (path, methods)| {
            let door = Door { app: app.clone(), scope, route: path };
            router.route(path, methods.route_layer(from_fn_with_state(door, guard::pass)))
        })
    };
    Router::new()
        .merge(group(ingest(), Some(Scope::Ingest)))
        .merge(group(read(), Some(Scope::Read)))
        .merge(group(admin(), Some(Scope::Admin)))
        .merge(group(public(), None))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .with_state(app)
}

async fn nothing(Shared(app): State, method: Method) -> Response {
    let problem = Problem::with(StatusCode::NOT_FOUND, "there is nothing here", "see /openapi.json");
    guard::leave(&app, &method, "none".into(), app.time.elapsed(), None, problem.into_response())
}

async fn not_so(Shared(app): State, method: Method, path: MatchedPath) -> Response {
    let problem =
        Problem::with(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here", "see /openapi.json");
    let route = path.as_str().to_owned().into();
    guard::leave(&app, &method, route, app.time.elapsed(), None, problem.into_response())
}
