//! What every request passes: measuring, who is asking, how often, and the body whole and once.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use sha2::{Digest, Sha256};

use super::access::{Caller, Scope};
use super::app::App;
use super::problem::Problem;
use crate::catalog::{Answer, Recalled};
use crate::ids::hex;

/// The longest `Idempotency-Key`.
const MAX_KEY: usize = 255;
/// Longer answers are not kept; none of those that are is nearly as long.
const MAX_ANSWER: usize = 1 << 20;

/// The `Idempotency-Key` of a request, made unlike those of other callers and routes.
#[derive(Debug, Clone)]
pub(super) struct RequestKey(pub(super) String);

/// A route, for whoever may use it.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: Arc<App>,
    /// What a caller must be allowed to do; with none, everybody is let in.
    pub(super) scope: Option<Scope>,
    /// The pattern of its path.
    pub(super) route: &'static str,
}

/// The one layer around every route: each further one would cost all requests a copy of what is below it.
pub(super) async fn pass(
    axum::extract::State(door): axum::extract::State<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    let Door { app, scope, route } = door;
    let (method, began) = (request.method().clone(), app.time.elapsed());
    let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let trace = trace.and_then(crate::trace::trace_id).map(str::to_owned);
    // How long a body may be is looked at where it is taken in.
    DefaultBodyLimit::disable().apply(&mut request);
    let answered = async {
        if let Some(scope) = scope {
            admit(&app, scope, &mut request)?;
        }
        take_in(&app, request, next).await
    };
    let response = match AssertUnwindSafe(answered).catch_unwind().await {
        Ok(answered) => answered.unwrap_or_else(IntoResponse::into_response),
        Err(_) => {
            let error = crate::Error::new(crate::ErrorKind::Internal, "this is a bug in clipcore");
            Problem::from(error).into_response()
        }
    };
    leave(&app, &method, route.into(), began, trace.as_deref(), response)
}

/// Counts and times an answer. What users have sent is not to be taken for a page.
pub(super) fn leave(
    app: &App,
    method: &Method,
    route: Cow<'static, str>,
    began: Duration,
    trace: Option<&str>,
    mut response: Response,
) -> Response {
    let took = app.time.elapsed().saturating_sub(began);
    app.metrics.answered(method.as_str(), route, response.status().as_u16(), took, trace);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Lets in who may do what `scope` says, as often as they may.
fn admit(app: &App, scope: Scope, request: &mut Request) -> Result<(), Problem> {
    let caller = identify(app, request.uri(), request.headers())?;
    if !caller.scopes.contains(&scope) && !caller.scopes.contains(&Scope::Admin) {
        let text = format!("the token {:?} does not allow this: it lacks the scope {scope:?}", caller.name);
        return Err(Problem::with(StatusCode::FORBIDDEN, text.to_lowercase(), ""));
    }
    app.rates.take(&caller.name, app.time.elapsed()).map_err(|secs| {
        let hint = "send several events in one request, or raise gateway.rate";
        Problem::with(StatusCode::TOO_MANY_REQUESTS, "too many requests", hint).after(secs)
    })?;
    request.extensions_mut().insert(caller);
    Ok(())
}

fn identify(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
    if app.tokens.is_empty() {
        // Without tokens only this machine is let in, and not the pages of other sites that its browsers show.
        return if is_local(headers) {
            Ok(app.local.clone())
        } else {
            let text = "without tokens only programs on this machine are let in";
            Err(Problem::with(
                StatusCode::FORBIDDEN,
                text,
                "make a token: clipcore serve token NAME --scope read",
            ))
        };
    }
    let unknown = |text| Problem::with(StatusCode::UNAUTHORIZED, text, "");
    if let Some(given) = headers.get(header::AUTHORIZATION) {
        let secret = given.to_str().ok().and_then(|v| v.split_once(' '));
        return match secret {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
                app.tokens.find(secret.trim()).ok_or_else(|| unknown("this token is not known"))
            }
            _ => Err(unknown("the Authorization header holds no bearer token")),
        };
    }
    let ticket = uri.query().and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("ticket=")));
    match ticket {
        Some(ticket) => app
            .tickets
            .find(ticket, &*app.time)
            .ok_or_else(|| unknown("this ticket is not known, or its minute is over")),
        None => Err(Problem::with(
            StatusCode::UNAUTHORIZED,
            "this needs a token",
            "send it in the header Authorization: Bearer TOKEN",
        )),
    }
}

/// Whether the server was asked for by a name of this machine, and by no page of another site.
fn is_local(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let Some(host) = text(header::HOST) else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let same_site = match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => {
            origin.to_str().ok().and_then(|o| o.split_once("://")).is_some_and(|(_, o)| o == host)
        }
    };
    same_site && (name == "localhost" || name == "[::1]" || name.starts_with("127."))
}

/// Takes the body in whole, and answers a request once that is sent several times with one `Idempotency-Key`.
async fn take_in(app: &App, request: Request, next: Next) -> Result<Response, Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let body = read(app, &parts.headers, body).await?;
    let Some(key) = parts.headers.get("idempotency-key") else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let plain = |k: &&str| (1..=MAX_KEY).contains(&k.len()) && k.bytes().all(|b| b.is_ascii_graphic());
    let key = key.to_str().ok().filter(plain).ok_or_else(|| {
        let text = "Idempotency-Key is not 1 to 255 characters of ASCII without blanks";
        Problem::with(StatusCode::BAD_REQUEST, text, "")
    })?;
    let key = scoped(key, &parts);
    let digest = digest_of(&body, &parts);
    let Some(_answering) = Answering::begin(app, &key) else {
        let text = "a request with this Idempotency-Key is being answered";
        return Err(Problem::with(StatusCode::CONFLICT, text, "wait for its answer").after(1));
    };
    match app.catalog.recall(key.clone(), digest.clone()).await? {
        Recalled::Same(answer) => return Ok(repeated(answer)),
        Recalled::Other => {
            let text = "another request had this Idempotency-Key";
            return Err(Problem::with(
                StatusCode::UNPROCESSABLE_ENTITY,
                text,
                "take a new key for a new request",
            ));
        }
        Recalled::New => {}
    }
    parts.extensions.insert(RequestKey(key.clone()));
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    // What went wrong on this side, or came too often, may go well the next time.
    if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ANSWER).await.unwrap_or_default();
    let answer = Answer { status: parts.status.as_u16(), body: String::from_utf8_lossy(&body).into_owned() };
    app.catalog.keep_answer(key, digest, answer, app.time.wall(), app.config.keep_answers).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn scoped(key: &str, parts: &Parts) -> String {
    let caller = parts.extensions.get::<Arc<Caller>>().map_or("", |c| &c.name);
    crate::ids::stable_id(&[
        caller.as_bytes(),
        parts.method.as_str().as_bytes(),
        parts.uri.path().as_bytes(),
        key.as_bytes(),
    ])
}

/// What tells a request from another with the same key: body and query, whatever ticket it came with.
fn digest_of(body: &[u8], parts: &Parts) -> String {
    let mut digest = Sha256::new_with_prefix(body);
    let query = parts.uri.query().unwrap_or_default();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("ticket=")) {
        digest.update(b"&");
        digest.update(pair.as_bytes());
    }
    hex(&digest.finalize())
}

fn repeated(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let kind = if status.is_success() { "application/json" } else { "application/problem+json" };
    let mut response = (status, [(header::CONTENT_TYPE, kind)], answer.body).into_response();
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Problem::with(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "packed bodies are not taken",
            "send it without Content-Encoding",
        ));
    }
    let limit = app.config.max_body;
    let too_long = || {
        let text = format!("the body is longer than {limit} bytes");
        Problem::with(
            StatusCode::PAYLOAD_TOO_LARGE,
            text,
            "send it in several requests, or raise gateway.max_body",
        )
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    match tokio::time::timeout(app.config.patience, to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                if error.to_string().contains("length limit exceeded") {
                    return Err(too_long());
                }
                cause = error.source();
            }
            Err(Problem::with(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"), ""))
        }
        Err(_) => Err(Problem::with(StatusCode::REQUEST_TIMEOUT, "the body did not come in time", "")),
    }
}

/// A key whose request is being answered, for as long as it is.
struct Answering<'a> {
    app: &'a App,
    key: String,
}

impl<'a> Answering<'a> {
    fn begin(app: &'a App, key: &str) -> Option<Self> {
        let mut all = app.answering.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.insert(key.to_owned()).then(|| Self { app, key: key.to_owned() })
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.app.answering.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.key);
    }
}
