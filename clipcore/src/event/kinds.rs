use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::Envelope;
use super::{AnyEvent, Event, Header, Stamped, Unknown};
use crate::ids::{shorten, stable_id};
use crate::{Error, Result, StreamId, Timestamp, WallTime};

/// Makes an event of a header and the JSON text of its `data`.
type Build = fn(Header, &str) -> Result<AnyEvent>;

/// The event kinds that a program knows how to read.
///
/// Kinds that nobody registered are kept whole as [`Unknown`] and routed to detectors that ask for them.
///
/// Cloning is cheap: clones share one table until one of them registers more.
#[derive(Clone, Default)]
pub struct Kinds {
    table: Arc<Table>,
}

#[derive(Clone, Default)]
struct Table {
    build: HashMap<&'static str, Build>,
    aliases: HashMap<&'static str, &'static str>,
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<_> = self.table.build.keys().collect();
        kinds.sort();
        f.debug_tuple("Kinds").field(&kinds).finish()
    }
}

impl Kinds {
    /// No kinds at all; see [`Kinds::builtin`] for the shipped ones.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Makes a payload type readable from the wire.
    pub fn register<E: Event + Serialize + DeserializeOwned>(&mut self) {
        Arc::make_mut(&mut self.table).build.insert(E::KIND, |header, data| {
            let data: E = serde_json::from_str(data).map_err(|e| {
                Error::invalid(format!("the data of this {} event is not as it should be", E::KIND))
                    .with_context("id", shorten(&header.id))
                    .with_source(e)
            })?;
            Ok(AnyEvent::wire(Stamped::new(header, data)))
        });
    }

    /// Takes `old` for `kind` in what is read.
    pub fn alias(&mut self, old: &'static str, kind: &'static str) {
        Arc::make_mut(&mut self.table).aliases.insert(old, kind);
    }

    /// Whether `kind` (or an alias of it) has a registered payload type.
    pub fn knows(&self, kind: &str) -> bool {
        self.table.build.contains_key(self.canonical(kind))
    }

    fn canonical<'a>(&self, kind: &'a str) -> &'a str {
        self.table.aliases.get(kind).copied().unwrap_or(kind)
    }

    /// Reads one JSON event: canonical CloudEvents 1.0 or the short form.
    ///
    /// # Errors
    /// `InvalidInput` that names the member that is missing or wrong.
    pub fn parse(&self, json: &[u8]) -> Result<Incoming> {
        let envelope: Envelope<'_> = serde_json::from_slice(json).map_err(|e| {
            Error::invalid("this is not an event")
                .with_source(e)
                .with_context("text", shorten(&String::from_utf8_lossy(json)))
                .with_hint(r#"an event is a JSON object such as {"type":"marker","stream":"s1","at":12.3,"data":{}}"#)
        })?;
        envelope.into_incoming(self)
    }

    pub(super) fn build(&self, header: Header, kind: &str, data: &str) -> Result<AnyEvent> {
        match self.table.build.get(self.canonical(kind)) {
            Some(build) => build(header, data),
            None => {
                let data = serde_json::from_str(data)?;
                Ok(AnyEvent::unknown(header, Unknown { kind: kind.into(), data }))
            }
        }
    }
}

/// An event as it came in: perhaps without a stream-time instant yet.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub(super) kinds: Kinds,
    pub(super) kind: String,
    /// Kept as text, so that it is read once, straight into its payload type.
    pub(super) data: Option<Box<RawValue>>,
    pub(super) id: Option<String>,
    pub(super) source: Option<String>,
    pub(super) stream: Option<StreamId>,
    pub(super) camera: Option<crate::CameraId>,
    pub(super) at: Option<Timestamp>,
    pub(super) time: Option<WallTime>,
    pub(super) trace: Option<String>,
}

impl Incoming {
    /// The CloudEvents `type` as it came.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The stream it names, where it names one.
    pub fn stream(&self) -> Option<&StreamId> {
        self.stream.as_ref()
    }

    /// Stream time, where the event carries it.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Civil time, where the event carries it.
    pub fn time(&self) -> Option<WallTime> {
        self.time
    }

    /// Files the event under `stream` where it names none itself.
    #[must_use]
    pub fn with_default_stream(mut self, stream: &StreamId) -> Self {
        self.stream.get_or_insert_with(|| stream.clone());
        self
    }

    /// Places the event on the timeline and gives it an id where it has none.
    ///
    /// An event with `at` keeps it; one with only `time` is resolved by `to_stream_time`, once.
    ///
    /// # Errors
    /// `InvalidInput` where stream or time is missing or `to_stream_time` does not know, or where `data`
    /// does not fit the kind.
    pub fn resolve(self, to_stream_time: &mut dyn FnMut(WallTime) -> Option<Timestamp>) -> Result<AnyEvent> {
        let stream = self.stream.ok_or_else(|| {
            Error::invalid(format!("this {} event names no stream", self.kind))
                .with_hint(r#"add "stream" (or the CloudEvents "subject")"#)
        })?;
        let at = match (self.at, self.time) {
            (Some(at), _) => at,
            (None, Some(time)) => to_stream_time(time).ok_or_else(|| {
                Error::invalid(format!("the time {time} cannot be placed on the timeline of {stream}"))
                    .with_hint("the stream has no clock yet: give \"at\" in stream seconds, or start the media first")
            })?,
            (None, None) => {
                return Err(Error::invalid(format!("this {} event has neither \"at\" nor \"time\"", self.kind))
                    .with_hint("add \"at\" (stream seconds) or \"time\" (RFC 3339)"));
            }
        };
        let source = self.source.unwrap_or_else(|| "unknown".to_owned());
        let data = self.data.as_ref().map_or("null", |data| data.get());
        let id = match self.id {
            Some(id) => id,
            None => {
                let when = self.time.map_or(at.as_micros(), WallTime::as_unix_micros);
                // The text may be spaced and ordered in many ways, the value in one.
                let data = serde_json::to_vec(&serde_json::from_str::<Value>(data)?)?;
                stable_id(&[
                    stream.as_str().as_bytes(),
                    source.as_bytes(),
                    self.kind.as_bytes(),
                    &when.to_be_bytes(),
                    &data,
                ])
            }
        };
        let header = Header {
            id: Arc::from(id),
            source: Arc::from(source),
            stream,
            camera: self.camera,
            at,
            time: self.time,
            trace: self.trace.map(Arc::from),
        };
        self.kinds.build(header, &self.kind, data)
    }
}
