//! What an event may be given before it is placed on the timeline, and its wire form.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::kinds::Incoming;
use super::parts::{Data, Parts, Str};
use super::{AnyEvent, Kinds, Members, text_of};
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

impl Incoming {
    /// The event once more as it came: what a gate did to `event` is kept, its instant only where `placed`.
    ///
    /// # Errors
    /// `Unsupported` for payloads that have no wire form.
    pub fn from_event(event: &AnyEvent, placed: bool, kinds: &Kinds) -> Result<Self> {
        let data = if event.reads_back {
            Data::Payload(event.payload.clone())
        } else {
            let unwritten =
                || Error::new(ErrorKind::Unsupported, format!("{} events are never written", event.kind()));
            let text = text_of(|out| event.payload.write(out).ok_or_else(unwritten)?)?;
            Data::Json(Cow::Owned(RawValue::from_string(text)?))
        };
        let header = event.header();
        let parts = Parts {
            kind: Str::Lent(Cow::Borrowed(event.kind())),
            id: Some(Str::Shared(header.id.clone())),
            source: Some(Str::Shared(header.source.clone())),
            stream: Some(header.stream.clone()),
            camera: header.camera.clone(),
            at: placed.then_some(header.at),
            time: header.time,
            trace: header.trace.clone().map(Str::Shared),
        };
        Ok(Self::new(parts, data, kinds))
    }

    /// The producer's id, where it gave one.
    pub fn id(&self) -> Option<&str> {
        self.parts.id.as_deref()
    }

    /// Who observed it, where the producer says so.
    pub fn source(&self) -> Option<&str> {
        self.parts.source.as_deref()
    }

    /// Its W3C `traceparent`, where it has one.
    pub fn trace(&self) -> Option<&str> {
        self.parts.trace.as_deref()
    }

    /// Gives it an id where it has none.
    #[must_use]
    pub fn with_default_id(mut self, id: impl FnOnce() -> String) -> Self {
        self.parts.id.get_or_insert_with(|| Str::Shared(id().into()));
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
            self.parts.trace.get_or_insert_with(|| Str::Shared(trace.into()));
        }
        self
    }

    /// CloudEvents 1.0 JSON on one line, with the members that it came with and no others.
    ///
    /// # Errors
    /// `Internal` where its data is no JSON, which reading has ruled out.
    pub fn to_json(&self) -> Result<String> {
        text_of(|out| self.write_json(out))
    }

    /// Appends what [`to_json`](Self::to_json) gives.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        let parts = &self.parts;
        let mut members = Members::begin(out);
        members.text("specversion", "1.0");
        members.optional("id", parts.id.as_deref());
        members.optional("source", parts.source.as_deref());
        members.text("type", &parts.kind);
        members.optional("subject", parts.stream.as_ref().map(StreamId::as_str));
        members.shown("time", parts.time);
        members.shown("at", parts.at.map(Timestamp::as_secs_f64));
        members.optional("camera", parts.camera.as_ref().map(CameraId::as_str));
        members.optional("traceparent", parts.trace.as_deref());
        let out = members.value("data");
        match &self.data {
            Data::Payload(payload) => payload.write(out).unwrap_or(Ok(()))?,
            // A line of a log must stay one. Between the values of JSON a line end is a space; within them there is none.
            Data::Json(json) => {
                let (from, text) = (out.len(), json.get().as_bytes());
                out.extend_from_slice(text);
                for at in memchr::memchr2_iter(b'\n', b'\r', text) {
                    out[from + at] = b' ';
                }
            }
        }
        members.end();
        Ok(())
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
    fn data_on_several_lines_is_written_on_one_whatever_it_holds() {
        let deep = format!("{}\n{}", "[".repeat(200), "]".repeat(200));
        for data in ["[1e999,\r\n1]", "[\"\\ud800\",\n1]", "{\"a\":1,\n\"a\":2}", &deep] {
            let event = parse(&format!(r#"{{"type":"x.y","data":{data}}}"#));
            let written = event.to_json().unwrap();
            assert!(!written.contains(['\n', '\r']), "{written}");
            assert_eq!(parse(&written).to_json().unwrap(), written);
        }
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
