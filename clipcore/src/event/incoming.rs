//! What an event may be given before it is placed on the timeline, and its wire form.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::kinds::Incoming;
use super::parts::Parts;
use super::{AnyEvent, Kinds};
use crate::{CameraId, Error, ErrorKind, Result, StreamId, WallTime};

#[derive(Serialize)]
struct Written<'a> {
    specversion: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a StreamId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<WallTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    camera: Option<&'a CameraId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a RawValue,
}

impl Incoming {
    /// The event once more as it came: what a gate did to `event` is kept, its instant only where `placed`.
    ///
    /// # Errors
    /// `Unsupported` for payloads that have no wire form.
    pub fn from_event(event: &AnyEvent, placed: bool, kinds: &Kinds) -> Result<Self> {
        let data = event.data_json().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("{} events are never written", event.kind()))
        })??;
        let header = event.header();
        let parts = Parts {
            kind: Cow::Borrowed(event.kind()),
            data: &data.to_string(),
            id: Some(Cow::Borrowed(&header.id)),
            source: Some(Cow::Borrowed(&header.source)),
            stream: Some(header.stream.clone()),
            camera: header.camera.clone(),
            at: placed.then_some(header.at),
            time: header.time,
            trace: header.trace.as_deref().map(Cow::Borrowed),
        };
        Ok(Self::new(parts, kinds))
    }

    /// The producer's id, where it gave one.
    pub fn id(&self) -> Option<&str> {
        self.parts.id.as_deref()
    }

    /// Who observed it, where the producer says so.
    pub fn source(&self) -> Option<&str> {
        self.parts.source.as_deref()
    }

    /// Gives it an id where it has none.
    #[must_use]
    pub fn with_default_id(mut self, id: impl FnOnce() -> String) -> Self {
        self.parts.id.get_or_insert_with(|| Cow::Owned(id()));
        self
    }

    /// Says that it happened at `time`, where it carries neither civil time nor stream time.
    #[must_use]
    pub fn with_default_time(mut self, time: WallTime) -> Self {
        if self.parts.at.is_none() {
            self.parts.time.get_or_insert(time);
        }
        self
    }

    /// Gives it a W3C `traceparent` where it has none.
    #[must_use]
    pub fn with_default_trace(mut self, trace: Option<&str>) -> Self {
        if let Some(trace) = trace {
            self.parts.trace.get_or_insert_with(|| Cow::Owned(trace.to_owned()));
        }
        self
    }

    /// CloudEvents 1.0 JSON on one line, with the members that it came with and no others.
    ///
    /// # Errors
    /// `Internal` where its data is no JSON, which reading has ruled out.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(&Written {
            specversion: "1.0",
            id: self.parts.id.as_deref(),
            source: self.parts.source.as_deref(),
            r#type: &self.parts.kind,
            subject: self.parts.stream.as_ref(),
            time: self.parts.time,
            at: self.parts.at.map(|at| at.as_secs_f64().to_string()),
            camera: self.parts.camera.as_ref(),
            traceparent: self.parts.trace.as_deref(),
            data: serde_json::from_str(&self.data)?,
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn parse(json: &str) -> Incoming {
        Kinds::builtin().parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_written_reads_the_same_and_nothing_is_made_up() {
        for json in [
            r#"{"type":"marker","data":{"label":"ace"}}"#,
            r#"{"type":"marker","stream":"s","time":"2026-11-23T01:02:03.456Z","data":null}"#,
            r#"{"type":"x.y","stream":"s","at":12.345,"id":7,"source":"a:b","camera":"c","traceparent":"t","data":[1, 2]}"#,
        ] {
            let one = parse(json);
            let written = one.to_json().unwrap();
            let other = parse(&written);
            assert_eq!(other.to_json().unwrap(), written);
            assert_eq!((one.at(), one.time(), one.id()), (other.at(), other.time(), other.id()), "{json}");
        }
        assert!(!parse(r#"{"type":"marker","data":{}}"#).to_json().unwrap().contains("time"));
    }

    #[test]
    fn an_event_goes_back_to_what_came_with_or_without_its_instant() {
        let kinds = Kinds::builtin();
        let json =
            r#"{"type":"marker","stream":"s","time":"2026-11-23T01:02:03.456Z","data":{"label":"ace"}}"#;
        let event = parse(json).resolve(&mut |_| Some(Timestamp::from_secs(5))).unwrap();
        let loose = Incoming::from_event(&event, false, &kinds).unwrap();
        assert_eq!((loose.at(), loose.time()), (None, event.header().time));
        assert_eq!(loose.id(), Some(&*event.header().id));
        let placed = Incoming::from_event(&event, true, &kinds).unwrap();
        assert_eq!(placed.resolve(&mut |_| None).unwrap().to_json().unwrap(), event.to_json().unwrap());
    }
}
