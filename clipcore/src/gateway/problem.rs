//! Errors as RFC 9457 problem details, made in one place.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::{Error, ErrorKind};

/// The answer to a request that was refused or failed.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    retry_after: Option<u64>,
    body: Box<Body>,
}

/// The members of `application/problem+json`.
#[derive(Debug, Serialize)]
pub(super) struct Body {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<serde_json::Value>,
}

impl Problem {
    /// An error as HTTP says it.
    pub(super) fn new(status: StatusCode, error: &Error) -> Self {
        let internal = status.is_server_error() && !error.is_retryable();
        if internal {
            tracing::error!(%status, "{error}");
        }
        let detail = if internal {
            // Paths and the words of libraries are for the log, not for whoever asks.
            error.message().to_owned()
        } else {
            let mut text = error.message().to_owned();
            for (key, value) in error.context() {
                text.push_str(&format!(" ({key}: {value})"));
            }
            if let Some(source) = std::error::Error::source(error) {
                text.push_str(&format!(": {source}"));
            }
            text
        };
        let retry_after = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        };
        Self {
            status,
            retry_after,
            body: Box::new(Body {
                r#type: format!("urn:clipcore:error:{}", error.kind().as_str().replace([' ', '/'], "-")),
                title: status.canonical_reason().unwrap_or("error"),
                status: status.as_u16(),
                detail,
                hint: error.hint().map(str::to_owned),
                retryable: error.is_retryable(),
                refused: None,
                recorded: None,
            }),
        }
    }

    /// Of something that the server was to do: what it cannot do is not implemented.
    pub(super) fn undone(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Unsupported => Self::new(StatusCode::NOT_IMPLEMENTED, error),
            _ => Self::new(status_of(error), error),
        }
    }

    /// Of an error whose kind does not say the status.
    pub(super) fn with(status: StatusCode, text: impl Into<String>, hint: &'static str) -> Self {
        let kind = if status.is_server_error() { ErrorKind::Unavailable } else { ErrorKind::InvalidInput };
        let error = Error::new(kind, text.into());
        Self::new(status, &if hint.is_empty() { error } else { error.with_hint(hint) })
    }

    /// Says when to come again.
    pub(super) fn after(mut self, secs: u64) -> Self {
        (self.retry_after, self.body.retryable) = (Some(secs), true);
        self
    }

    /// Lists what was refused.
    pub(super) fn refusing(mut self, refused: serde_json::Value) -> Self {
        self.body.refused = Some(refused);
        self
    }

    /// Lists what there is instead.
    pub(super) fn recorded(mut self, stretches: serde_json::Value) -> Self {
        self.body.recorded = Some(stretches);
        self
    }

    /// The members, to be part of another answer.
    pub(super) fn into_body(self) -> Body {
        *self.body
    }
}

/// The status of an error's kind.
pub(super) fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Config | ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::ConsentRequired => StatusCode::FORBIDDEN,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Io | ErrorKind::Media | ErrorKind::Corrupt | ErrorKind::Internal => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// What is begun is finished, whether or not the asker waits for the answer.
pub(super) async fn finished<T: Send + 'static, E: From<Error> + Send + 'static>(
    what: &str,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, format!("{what} has panicked")).with_source(error).into())
    })
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(status_of(&error), &error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body).unwrap_or_default();
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, json, body).into_response();
        if let Some(secs) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"clipcore\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
