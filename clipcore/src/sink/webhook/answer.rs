//! What a receiver's answer, or its silence, means.

use std::error::Error as _;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::config::HookUrl;
use super::guard::Refused;
use crate::{Error, ErrorKind, WallTime};

pub(super) fn private(url: &HookUrl) -> Error {
    Error::config("the webhook's address lies in a private network")
        .with_context("server", url)
        .with_hint("where that is meant, set allow_private = true")
}

/// The error for a request without an answer.
pub(super) fn unreachable(error: reqwest::Error, url: &HookUrl) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<Refused>() {
            return private(url);
        }
        cause = inner.source();
    }
    let found = if error.is_timeout() {
        Error::new(ErrorKind::Timeout, "the webhook did not answer in time")
    } else {
        Error::new(ErrorKind::Unavailable, "the webhook cannot be reached")
    };
    // Its address may hold a secret.
    found.with_source(error.without_url()).with_hint("check the url, and that its server runs")
}

/// The error for an answer that is none of success.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap, now: WallTime) -> Error {
    let text = format!("the webhook answered {status}");
    match status.as_u16() {
        408 | 425 | 429 | 500.. => {
            let error = Error::new(ErrorKind::Unavailable, text);
            let asked = headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
            match asked {
                Some(pause) => error.with_retry_after(pause),
                None => error,
            }
        }
        410 => Error::new(ErrorKind::NotFound, text)
            .with_hint("the receiver wants no more: take the section out of the configuration"),
        401 | 403 => Error::config(text).with_hint("the receiver may have another secret"),
        300..=399 => Error::config(text)
            .with_hint("redirects are not followed: set url to where it leads, if you trust that"),
        _ => Error::invalid(text),
    }
}

/// Seconds or a date, as RFC 9110 §10.2.3 says.
fn retry_after(text: &str, now: WallTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    let wait = at.unix_timestamp_nanos() / 1000 - i128::from(now.as_unix_micros());
    Some(Duration::from_micros(u64::try_from(wait.max(0)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_as_seconds_and_as_dates() {
        let now = WallTime::parse("1994-11-06T08:49:00Z").unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn answers_say_whether_trying_again_can_help() {
        for (status, retryable) in [
            (500, true),
            (503, true),
            (429, true),
            (408, true),
            (404, false),
            (410, false),
            (302, false),
            (401, false),
            (400, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = refused(status, &HeaderMap::new(), WallTime::from_unix_micros(0));
            assert_eq!(error.is_retryable(), retryable, "{error}");
        }
    }
}
