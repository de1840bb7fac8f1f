use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{Event, Header, Stamped};
use crate::{Error, Result, StreamId, Timestamp};

/// An event whose payload type is known only at run time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AnyEvent {
    pub(super) header: Arc<Header>,
    payload: Arc<dyn Payload>,
}

/// Marks payloads that may be written: implemented by [`Wire`] for all that serialise.
trait Payload: Any + Debug + Send + Sync {
    fn kind(&self) -> &str;
    fn as_any(&self) -> &dyn Any;
    fn json(&self) -> Option<Result<Value>>;
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
}

impl AnyEvent {
    /// Erases an event that can be written to a log.
    pub fn wire<E: Event + Serialize>(event: Stamped<E>) -> Self {
        Self { header: event.header, payload: Arc::new(Wire(event.data)) }
    }

    /// Erases an event that exists only inside the process, such as a window of sound: it can be
    /// detected on, never written.
    pub fn local<E: Event>(event: Stamped<E>) -> Self {
        Self { header: event.header, payload: Arc::new(Local(event.data)) }
    }

    /// An event of a kind that nobody registered.
    pub fn unknown(header: Header, unknown: Unknown) -> Self {
        Self { header: Arc::new(header), payload: Arc::new(unknown) }
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
        Self { header: Arc::new(header), payload: self.payload.clone() }
    }

    /// The order in which a detector sees events: `(at, kind, source, id)`.
    pub fn sort_key(&self) -> (Timestamp, &str, &str, &str) {
        (self.header.at, self.kind(), &self.header.source, &self.header.id)
    }
}
