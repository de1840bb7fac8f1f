use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::erased::Payload;
use super::{AnyEvent, Header, Kinds};
use crate::ids::stable_id;
use crate::{CameraId, Error, Result, StreamId, Timestamp, WallTime};

/// A text that lies in the input wherever it has no escapes.
#[derive(Debug, Clone)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        d.deserialize_str(Borrow)
    }
}

/// A shared text, made straight from the input; serde's own way copies it twice.
pub(super) fn arc_str<'de, D: Deserializer<'de>>(d: D) -> Result<Arc<str>, D::Error> {
    Text::deserialize(d).map(|text| text.0.into())
}

/// As [`arc_str`], for a text that may be null.
pub(super) fn optional_arc_str<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Arc<str>>, D::Error> {
    Option::<Text<'de>>::deserialize(d).map(|text| text.map(|t| t.0.into()))
}

/// A text that lies in the input, or is shared with whoever has it, too.
#[derive(Debug, Clone)]
pub(super) enum Str<'a> {
    Lent(Cow<'a, str>),
    Shared(Arc<str>),
}

impl Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Lent(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl Str<'_> {
    pub(super) fn into_shared(self) -> Arc<str> {
        match self {
            Self::Lent(text) => text.into(),
            Self::Shared(text) => text,
        }
    }
}

/// What an event says, as text or already read.
#[derive(Debug, Clone)]
pub(super) enum Data<'a> {
    Json(Cow<'a, RawValue>),
    /// Of a type of the crate's own.
    Payload(Arc<dyn Payload>),
}

impl Data<'_> {
    fn value(&self) -> Result<Value> {
        match self {
            Self::Json(json) => Ok(serde_json::from_str(json.get())?),
            Self::Payload(payload) => payload.json().unwrap_or(Ok(Value::Null)),
        }
    }
}

/// The members of an event, checked, lying in the input where they can.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    pub(super) kind: Str<'a>,
    pub(super) id: Option<Str<'a>>,
    pub(super) source: Option<Str<'a>>,
    pub(super) stream: Option<StreamId>,
    pub(super) camera: Option<CameraId>,
    pub(super) at: Option<Timestamp>,
    pub(super) time: Option<WallTime>,
    pub(super) trace: Option<Str<'a>>,
}

impl Parts<'_> {
    /// Places the event on the timeline and gives it an id where it has none.
    pub(super) fn resolve(
        self,
        kinds: &Kinds,
        data: &Data<'_>,
        to_stream_time: &mut dyn FnMut(&StreamId, WallTime) -> Option<Timestamp>,
    ) -> Result<AnyEvent> {
        let stream = self.stream.ok_or_else(|| {
            Error::invalid(format!("this {} event names no stream", &*self.kind))
                .with_hint(r#"add "stream" (or the CloudEvents "subject")"#)
        })?;
        let at = match (self.at, self.time) {
            (Some(at), _) => at,
            (None, Some(time)) => to_stream_time(&stream, time).ok_or_else(|| {
                Error::invalid(format!("the time {time} cannot be placed on the timeline of {stream}"))
                    .with_hint("the stream has no clock yet: give \"at\" in stream seconds, or start the media first")
            })?,
            (None, None) => {
                return Err(Error::invalid(format!("this {} event has neither \"at\" nor \"time\"", &*self.kind))
                    .with_hint("add \"at\" (stream seconds) or \"time\" (RFC 3339)"));
            }
        };
        let source = self.source.unwrap_or(Str::Lent(Cow::Borrowed("unknown")));
        let id: Arc<str> = match self.id {
            Some(id) => id.into_shared(),
            None => {
                let when = self.time.map_or(at.as_micros(), WallTime::as_unix_micros);
                // The text may be spaced and ordered in many ways, the value in one.
                let data = serde_json::to_vec(&data.value()?)?;
                let (stream, kind) = (stream.as_str().as_bytes(), self.kind.as_bytes());
                stable_id(&[stream, source.as_bytes(), kind, &when.to_be_bytes(), &data]).into()
            }
        };
        let header = Header {
            id,
            source: source.into_shared(),
            stream,
            camera: self.camera,
            at,
            time: self.time,
            trace: self.trace.map(Str::into_shared),
        };
        match data {
            Data::Json(json) => kinds.build(header, &self.kind, json.get()),
            Data::Payload(payload) => {
                Ok(AnyEvent { header: Arc::new(header), payload: payload.clone(), reads_back: true })
            }
        }
    }
}
