use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::write::Members;
use super::{Event, Header, Stamped};
use crate::{Error, ErrorKind, Result, StreamId, Timestamp};

/// An event whose payload type is known only at run time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AnyEvent {
    pub(super) header: Arc<Header>,
    pub(super) payload: Arc<dyn Payload>,
    /// It was read by a type of the crate's own, so that what is written of it reads the same.
    pub(super) reads_back: bool,
}

/// Marks payloads that may be written: implemented by [`Wire`] for all that serialise.
pub(super) trait Payload: Any + Debug + Send + Sync {
    fn kind(&self) -> &str;
    fn as_any(&self) -> &dyn Any;
    fn json(&self) -> Option<Result<Value>>;
    /// Appends the JSON text; `None` where there is no wire form.
    fn write(&self, out: &mut Vec<u8>) -> Option<Result<()>>;
}

fn write(value: &impl Serialize, out: &mut Vec<u8>) -> Option<Result<()>> {
    Some(serde_json::to_writer(out, value).map_err(Error::from))
}

/// Wraps a payload that has a wire form.
#[derive(Debug, Clone)]
pub struct Wire<E>(pub E);

impl<E: Event + Serialize> Payload for Wire<E> {
    fn kind(&self) -> &str {
        E::KIND
    }
    fn as_any(&self) -> &dyn Any {
        &self.0
    }
    fn json(&self) -> Option<Result<Value>> {
        Some(serde_json::to_value(&self.0).map_err(Error::from))
    }
    fn write(&self, out: &mut Vec<u8>) -> Option<Result<()>> {
        write(&self.0, out)
    }
}

#[derive(Debug)]
struct Local<E>(E);

impl<E: Event> Payload for Local<E> {
    fn kind(&self) -> &str {
        E::KIND
    }
    fn as_any(&self) -> &dyn Any {
        &self.0
    }
    fn json(&self) -> Option<Result<Value>> {
        None
    }
    fn write(&self, _out: &mut Vec<u8>) -> Option<Result<()>> {
        None
    }
}

/// The payload of a kind that nobody registered: kept whole and passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    /// The CloudEvents `type`.
    pub kind: Arc<str>,
    /// The `data` member as it came.
    pub data: Value,
}

impl Payload for Unknown {
    fn kind(&self) -> &str {
        &self.kind
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn json(&self) -> Option<Result<Value>> {
        Some(Ok(self.data.clone()))
    }
    fn write(&self, out: &mut Vec<u8>) -> Option<Result<()>> {
        write(&self.data, out)
    }
}

impl AnyEvent {
    /// Erases an event that can be written to a log.
    pub fn wire<E: Event + Serialize>(event: Stamped<E>) -> Self {
        Self { header: event.header, payload: Arc::new(Wire(event.data)), reads_back: false }
    }

    /// Erases an event that exists only inside the process, such as a window of sound: it can be
    /// detected on, never written.
    pub fn local<E: Event>(event: Stamped<E>) -> Self {
        Self { header: event.header, payload: Arc::new(Local(event.data)), reads_back: false }
    }

    /// An event of a kind that nobody registered.
    pub fn unknown(header: Header, unknown: Unknown) -> Self {
        Self { header: Arc::new(header), payload: Arc::new(unknown), reads_back: false }
    }

    /// Where and when.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header, shared.
    pub fn shared_header(&self) -> Arc<Header> {
        self.header.clone()
    }

    /// The CloudEvents `type`.
    pub fn kind(&self) -> &str {
        self.payload.kind()
    }

    /// The instant on the stream's timeline.
    pub fn at(&self) -> Timestamp {
        self.header.at
    }

    /// The stream.
    pub fn stream(&self) -> &StreamId {
        &self.header.stream
    }

    /// The payload, where it is an `E`.
    pub fn payload<E: 'static>(&self) -> Option<&E> {
        self.payload.as_any().downcast_ref()
    }

    /// The event with its payload type, where it is an `E`.
    pub fn typed<E: Event>(&self) -> Option<Stamped<E>> {
        self.payload::<E>().map(|data| Stamped { header: self.header.clone(), data: data.clone() })
    }

    /// The `data` member of the wire form; `None` for payloads that have none.
    pub fn data_json(&self) -> Option<Result<Value>> {
        self.payload.json()
    }

    /// The same payload under another header.
    #[must_use]
    pub fn with_header(&self, header: Header) -> Self {
        Self { header: Arc::new(header), payload: self.payload.clone(), reads_back: false }
    }

    /// The event with another payload of the type that it has.
    #[must_use]
    pub(crate) fn with_data<E: Event + Serialize>(&self, data: E) -> Self {
        Self { payload: Arc::new(Wire(data)), ..self.clone() }
    }

    /// Whether what is written of it is known to be read again: it was read itself, and is where it was or nearby.
    pub(crate) fn reads_back(&self) -> bool {
        self.reads_back && Timestamp::try_from_secs_f64(self.at().as_secs_f64()).is_ok()
    }

    /// Appends the canonical form; see [`to_json`](Self::to_json).
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        let header = self.header();
        let mut members = Members::begin(out);
        members.text("specversion", "1.0");
        members.text("id", &header.id);
        members.text("source", &header.source);
        members.text("type", self.kind());
        members.text("subject", header.stream.as_str());
        members.shown("time", header.time);
        members.shown("at", Some(header.at.as_secs_f64()));
        members.optional("camera", header.camera.as_ref().map(crate::CameraId::as_str));
        members.optional("traceparent", header.trace.as_deref());
        self.payload.write(members.value("data")).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("{} events are never written", self.kind()))
        })??;
        members.end();
        Ok(())
    }

    /// The order in which a detector sees events: `(at, kind, source, id)`.
    pub fn sort_key(&self) -> (Timestamp, &str, &str, &str) {
        (self.header.at, self.kind(), &self.header.source, &self.header.id)
    }
}
