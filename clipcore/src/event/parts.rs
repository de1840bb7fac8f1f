use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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

/// The members of an event, checked, lying in the input where they can.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    pub(super) kind: Cow<'a, str>,
    /// JSON text.
    pub(super) data: &'a str,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) stream: Option<StreamId>,
    pub(super) camera: Option<CameraId>,
    pub(super) at: Option<Timestamp>,
    pub(super) time: Option<WallTime>,
    pub(super) trace: Option<Cow<'a, str>>,
}

impl Parts<'_> {
    /// Places the event on the timeline and gives it an id where it has none.
    pub(super) fn resolve(
        self,
        kinds: &Kinds,
        to_stream_time: &mut dyn FnMut(&StreamId, WallTime) -> Option<Timestamp>,
    ) -> Result<AnyEvent> {
        let stream = self.stream.ok_or_else(|| {
            Error::invalid(format!("this {} event names no stream", self.kind))
                .with_hint(r#"add "stream" (or the CloudEvents "subject")"#)
        })?;
        let at = match (self.at, self.time) {
            (Some(at), _) => at,
            (None, Some(time)) => to_stream_time(&stream, time).ok_or_else(|| {
                Error::invalid(format!("the time {time} cannot be placed on the timeline of {stream}"))
                    .with_hint("the stream has no clock yet: give \"at\" in stream seconds, or start the media first")
            })?,
            (None, None) => {
                return Err(Error::invalid(format!("this {} event has neither \"at\" nor \"time\"", self.kind))
                    .with_hint("add \"at\" (stream seconds) or \"time\" (RFC 3339)"));
            }
        };
        let source = self.source.as_deref().unwrap_or("unknown");
        let id: Arc<str> = match self.id.as_deref() {
            Some(id) => id.into(),
            None => {
                let when = self.time.map_or(at.as_micros(), WallTime::as_unix_micros);
                // The text may be spaced and ordered in many ways, the value in one.
                let data = serde_json::to_vec(&serde_json::from_str::<Value>(self.data)?)?;
                let (stream, kind) = (stream.as_str().as_bytes(), self.kind.as_bytes());
                stable_id(&[stream, source.as_bytes(), kind, &when.to_be_bytes(), &data]).into()
            }
        };
        let header = Header {
            id,
            source: source.into(),
            stream,
            camera: self.camera,
            at,
            time: self.time,
            trace: self.trace.as_deref().map(Arc::from),
        };
        kinds.build(header, &self.kind, self.data)
    }
}
