//! CloudEvents 1.0 JSON, and the short form that a `curl` can type.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::AnyEvent;
use super::parts::{Parts, Str, Text};
use super::write::text_of;
use crate::ids::shorten;
use crate::{CameraId, Error, Result, StreamId, Timestamp, WallTime};

/// Ids, sources and kinds longer than this are refused.
pub(super) const MAX_TEXT: usize = 512;

/// What the types of a log's own records begin with.
pub(crate) const OWN: &str = "clipcore.";

/// The members of an event as they stand in JSON; unknown members are ignored, as CloudEvents asks.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    specversion: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<IdText<'a>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow)]
    r#type: Option<Text<'a>>,
    #[serde(borrow)]
    subject: Option<Text<'a>>,
    #[serde(borrow)]
    stream: Option<Text<'a>>,
    time: Option<WallTime>,
    at: Option<Seconds>,
    camera: Option<CameraId>,
    #[serde(borrow)]
    traceparent: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// CloudEvents says string; producers send numbers too.
#[derive(Debug)]
struct IdText<'a>(Cow<'a, str>);

/// CloudEvents extensions are strings; the short form has a number.
#[derive(Debug)]
pub(super) enum Seconds {
    Number(f64),
    Text(String),
}

/// A number or a text, without the copy that serde's untagged enums take first.
struct TextOrNumber;

enum Either<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
}

impl<'de> Visitor<'de> for TextOrNumber {
    type Value = Either<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }
    fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Either<'de>, E> {
        Ok(Either::Text(Cow::Borrowed(v)))
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Either<'de>, E> {
        Ok(Either::Text(Cow::Owned(v.to_owned())))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Either<'de>, E> {
        Ok(Either::Int(v))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Either<'de>, E> {
        Ok(i64::try_from(v).map_or(Either::Float(v as f64), Either::Int))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Either<'de>, E> {
        Ok(Either::Float(v))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for IdText<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match d.deserialize_any(TextOrNumber)? {
            Either::Text(text) => Ok(Self(text)),
            Either::Int(n) => Ok(Self(Cow::Owned(n.to_string()))),
            Either::Float(n) => {
                Err(de::Error::custom(format!("the id {n} is neither a string nor an integer")))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(match d.deserialize_any(TextOrNumber)? {
            Either::Text(text) => Self::Text(text.into_owned()),
            Either::Int(n) => Self::Number(n as f64),
            Either::Float(n) => Self::Number(n),
        })
    }
}

impl Seconds {
    pub(super) fn timestamp(self) -> Result<Timestamp> {
        let secs = match self {
            Self::Number(n) => n,
            Self::Text(s) => s.parse().map_err(|_| {
                Error::invalid(format!("\"at\" is {:?}, not a number of seconds", shorten(&s)))
            })?,
        };
        Timestamp::try_from_secs_f64(secs)
    }
}

impl<'a> Envelope<'a> {
    /// Checks the members; gives them and the JSON text of the data.
    pub(super) fn into_parts(self) -> Result<(Parts<'a>, &'a RawValue)> {
        let text = |t: Option<Text<'a>>| t.map(|t| t.0);
        if let Some(version) = text(self.specversion).filter(|v| v != "1.0") {
            return Err(Error::invalid(format!("CloudEvents {:?} is not supported", shorten(&version)))
                .with_hint("send specversion 1.0"));
        }
        let kind = text(self.r#type).filter(|t| !t.is_empty()).ok_or_else(|| {
            Error::invalid("the event has no \"type\"").with_hint("add it, for example \"chat.message\"")
        })?;
        if kind.starts_with(OWN) {
            return Err(Error::invalid(format!(
                "{:?} is a record of clipcore's own, not an event",
                shorten(&kind)
            ))
            .with_hint(format!("event types cannot begin with {OWN:?}")));
        }
        let (id, source) = (self.id.map(|id| id.0), text(self.source));
        for (name, text) in [("type", Some(&kind)), ("id", id.as_ref()), ("source", source.as_ref())] {
            if text.is_some_and(|t| t.len() > MAX_TEXT) {
                return Err(Error::invalid(format!("\"{name}\" is longer than {MAX_TEXT} bytes")));
            }
        }
        let stream = text(self.stream.or(self.subject)).map(StreamId::new).transpose()?;
        let parts = Parts {
            kind: Str::Lent(kind),
            id: id.filter(|id| !id.is_empty()).map(Str::Lent),
            source: source.map(Str::Lent),
            stream,
            camera: self.camera,
            at: self.at.map(Seconds::timestamp).transpose()?,
            time: self.time,
            trace: text(self.traceparent).map(Str::Lent),
        };
        Ok((parts, self.data.unwrap_or(RawValue::NULL)))
    }
}

impl AnyEvent {
    /// The canonical form: CloudEvents 1.0 JSON on one line, without the line end.
    ///
    /// # Errors
    /// `Unsupported` for payloads that have no wire form (sound, pictures).
    pub fn to_json(&self) -> Result<String> {
        text_of(|out| self.write_json(out))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChatMessage, Kinds, Unknown};
    use super::*;

    fn parse(json: &str) -> Result<AnyEvent> {
        Kinds::builtin().parse(json.as_bytes())?.resolve(&mut |_| None)
    }

    #[test]
    fn short_and_canonical_forms_say_the_same() {
        let short =
            parse(r#"{"type":"chat.message","stream":"s1","id":"a","at":12.345,"data":{"user":"u"}}"#)
                .unwrap();
        let canonical = short.to_json().unwrap();
        let back = parse(&canonical).unwrap();
        assert_eq!(back.header(), short.header());
        assert_eq!(back.payload::<ChatMessage>(), short.payload::<ChatMessage>());
        assert_eq!(back.to_json().unwrap(), canonical);
    }

    #[test]
    fn a_missing_id_is_derived_from_content() {
        let json = r#"{"type":"marker","stream":"s1","at":1,"data":{}}"#;
        let (a, b) = (parse(json).unwrap(), parse(json).unwrap());
        assert_eq!(a.header().id, b.header().id);
        let other = parse(r#"{"type":"marker","stream":"s1","at":2,"data":{}}"#).unwrap();
        assert_ne!(a.header().id, other.header().id);
    }

    #[test]
    fn older_names_are_taken() {
        let event = parse(r#"{"type":"chat_spike","stream":"s","at":1,"data":{"rate":9}}"#).unwrap();
        assert_eq!(event.kind(), "chat.spike");
    }

    #[test]
    fn unknown_kinds_are_kept_whole() {
        let event = parse(r#"{"type":"x.y","stream":"s","at":1,"data":{"deep":[1,2]}}"#).unwrap();
        assert_eq!(event.payload::<Unknown>().unwrap().data, serde_json::json!({"deep": [1, 2]}));
        assert!(event.to_json().unwrap().contains(r#""data":{"deep":[1,2]}"#));
    }

    #[test]
    fn messages_name_what_is_wrong() {
        for (json, says) in [
            ("nonsense", "this is not an event"),
            (r#"{"stream":"s","at":1}"#, "no \"type\""),
            (r#"{"type":"clipcore.moment","stream":"s","at":1,"data":{}}"#, "clipcore's own"),
            (r#"{"type":"marker","at":1,"data":{}}"#, "names no stream"),
            (r#"{"type":"marker","stream":"s","data":{}}"#, "neither \"at\" nor \"time\""),
            (r#"{"type":"marker","stream":"../s","at":1,"data":{}}"#, "is not a stream id"),
            (r#"{"type":"marker","stream":"s","at":"soon","data":{}}"#, "not a number of seconds"),
            (r#"{"type":"marker","stream":"s","at":1e300,"data":{}}"#, "is not a time in seconds"),
            (r#"{"type":"chat.message","stream":"s","at":1,"data":{"user":7}}"#, "chat.message event is not"),
            (r#"{"type":"marker","stream":"s","time":"noon","data":{}}"#, "RFC 3339"),
            (r#"{"specversion":"0.3","type":"marker","stream":"s","at":1,"data":{}}"#, "CloudEvents \"0.3\""),
        ] {
            let err = parse(json).unwrap_err().to_string();
            assert!(err.contains(says), "{json} gave {err:?}, which lacks {says:?}");
        }
    }
}
