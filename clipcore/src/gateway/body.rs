//! Events in the forms in which producers send them: one JSON event, an array, lines, CloudEvents alone or in a batch.

use serde_json::value::RawValue;

use crate::event::{Incoming, Kinds};
use crate::{Error, Result};

/// A body of more events than this is refused whole.
pub const MAX_EVENTS: usize = 10_000;

/// One event of a body: its place (from 1; in lines the number of the line) and what it is, or why it is none.
pub type Entry = (usize, Result<Incoming>);

/// Reads a body. `media_type` is the `Content-Type`; where it is absent or unknown the text itself says what it is: an
/// array begins with `[`, and where the whole is no JSON value each line is one.
///
/// ```
/// use clipcore::event::Kinds;
/// use clipcore::gateway::events_of;
///
/// let lines = b"{\"type\":\"marker\",\"at\":1,\"data\":{}}\nnonsense\n";
/// let entries = events_of(Some("application/x-ndjson"), lines, &Kinds::builtin())?;
/// assert!(entries[0].1.is_ok() && entries[1].1.is_err());
/// # Ok::<(), clipcore::Error>(())
/// ```
///
/// # Errors
/// `InvalidInput` where the body is no such text, is empty, or holds more than [`MAX_EVENTS`] events.
pub fn events_of(media_type: Option<&str>, body: &[u8], kinds: &Kinds) -> Result<Vec<Entry>> {
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let text = std::str::from_utf8(body)
        .map_err(|e| Error::invalid("the body is not UTF-8").with_source(e))?
        .trim_start_matches('\u{feff}');
    let entries = match &*essence.to_ascii_lowercase() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            lines(text, kinds)?
        }
        "application/cloudevents+json" => vec![(1, kinds.parse(text.trim().as_bytes()))],
        _ if text.trim_start().starts_with('[') => array(text, kinds)?,
        "application/cloudevents-batch+json" => {
            return Err(Error::invalid("a batch of CloudEvents is a JSON array"));
        }
        _ => match kinds.parse(text.trim().as_bytes()) {
            Ok(event) => vec![(1, Ok(event))],
            // A single value that is no event, or more behind it.
            Err(error) if serde_json::from_str::<&RawValue>(text).is_ok() => vec![(1, Err(error))],
            Err(_) => lines(text, kinds)?,
        },
    };
    if entries.is_empty() {
        return Err(Error::invalid("the body holds no event").with_hint(
            r#"send a JSON object such as {"type":"marker","data":{"label":"ace"}}, an array of them, or one a line"#,
        ));
    }
    Ok(entries)
}

fn lines(text: &str, kinds: &Kinds) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if entries.len() == MAX_EVENTS {
            return Err(too_many());
        }
        entries.push((index + 1, kinds.parse(line.as_bytes())));
    }
    Ok(entries)
}

fn array(text: &str, kinds: &Kinds) -> Result<Vec<Entry>> {
    let all: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|e| Error::invalid("the body is not a whole JSON array").with_source(e))?;
    if all.len() > MAX_EVENTS {
        return Err(too_many());
    }
    Ok(all.iter().enumerate().map(|(index, one)| (index + 1, kinds.parse(one.get().as_bytes()))).collect())
}

fn too_many() -> Error {
    Error::invalid(format!("more than {MAX_EVENTS} events at once"))
        .with_hint("send them in several requests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: &str, body: &str) -> Result<Vec<(usize, bool)>> {
        let media_type = Some(media_type).filter(|t| !t.is_empty());
        let entries = events_of(media_type, body.as_bytes(), &Kinds::builtin())?;
        Ok(entries.into_iter().map(|(n, event)| (n, event.is_ok())).collect())
    }

    const ONE: &str = r#"{"type":"marker","data":{}}"#;

    #[test]
    fn every_form_is_read() {
        let cloud = r#"{"specversion":"1.0","id":"1","source":"x","type":"marker","data":{}}"#;
        for (media_type, body, expected) in [
            ("application/json", ONE.to_owned(), vec![(1, true)]),
            ("", format!("\n {ONE} \n"), vec![(1, true)]),
            (
                "application/json; charset=utf-8",
                format!("[{ONE}, 7, {ONE}]"),
                vec![(1, true), (2, false), (3, true)],
            ),
            (
                "application/x-ndjson",
                format!("{ONE}\n\nnonsense\r\n{ONE}"),
                vec![(1, true), (3, false), (4, true)],
            ),
            ("text/plain", format!("{ONE}\n{ONE}\n"), vec![(1, true), (2, true)]),
            ("application/cloudevents+json", cloud.to_owned(), vec![(1, true)]),
            ("application/cloudevents-batch+json", format!("[{cloud}]"), vec![(1, true)]),
            ("", "nonsense".to_owned(), vec![(1, false)]),
        ] {
            assert_eq!(read(media_type, &body).unwrap(), expected, "{media_type} {body}");
        }
    }

    #[test]
    fn what_is_no_list_of_events_is_refused_whole() {
        for (media_type, body, says) in [
            ("", "", "no event"),
            ("application/json", "[]", "no event"),
            ("application/json", "[{}", "whole JSON array"),
            ("application/cloudevents-batch+json", ONE, "a JSON array"),
        ] {
            let error = read(media_type, body).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let many = format!("[{}]", vec![ONE; MAX_EVENTS + 1].join(","));
        assert!(read("", &many).unwrap_err().to_string().contains("more than"));
    }
}
