//! What is observed on a stream: typed payloads, their stamp, and the erased form that travels.
//!
//! A payload is a plain type that implements [`Event`]; [`Stamped`] adds where and when. The shipped
//! payloads are in [`builtin`]; [`media`] holds windows of sound and pictures, which are events to a
//! detector but have no wire form. Integrators add their own:
//!
//! ```
//! use clipcore::event::{AnyEvent, Event, Header, Kinds, Wire};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! struct HeartRate { bpm: u16 }
//! impl Event for HeartRate { const KIND: &'static str = "com.example.heart_rate"; }
//!
//! let mut kinds = Kinds::builtin();
//! kinds.register::<HeartRate>();
//! let line = br#"{"type":"com.example.heart_rate","stream":"s1","at":3.5,"data":{"bpm":171}}"#;
//! let event: AnyEvent = kinds.parse(line)?.resolve(&mut |_| None)?;
//! assert_eq!(event.payload::<HeartRate>().map(|h| h.bpm), Some(171));
//! # Ok::<(), clipcore::Error>(())
//! ```

pub mod builtin;
mod chat_line;
mod erased;
mod incoming;
mod kinds;
pub mod media;
mod parts;
mod reader;
mod redact;
mod wire;
mod write;

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

pub use builtin::*;
pub use erased::{AnyEvent, Unknown, Wire};
pub use kinds::{Incoming, Kinds};
pub use reader::EventReader;
use serde::{Deserialize, Serialize};
pub(crate) use wire::OWN;
pub(crate) use write::{Members, text_of};

use crate::{CameraId, StreamId, Timestamp, WallTime};

/// The payload of something observed on a stream.
///
/// # Contract
/// `KIND` is unique among the payloads of a program and does not change: logs carry it. Cloning is
/// cheap (use `Arc<str>` and `Arc<[T]>`), since every detector that asks for the event gets a clone.
pub trait Event: Clone + Debug + Send + Sync + 'static {
    /// The CloudEvents `type`, for example `chat.message`.
    const KIND: &'static str;
}

/// Where and when something was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Unique together with `source`; events that agree in both are the same event.
    pub id: Arc<str>,
    /// Who observed it, as a URI reference, for example `twitch:eventsub/12345`.
    pub source: Arc<str>,
    /// The stream it was observed on.
    pub stream: StreamId,
    /// The camera, where the event belongs to one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub camera: Option<CameraId>,
    /// When, on the stream's timeline.
    pub at: Timestamp,
    /// When, in civil time, where the producer said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<WallTime>,
    /// W3C `traceparent` of the producer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<Arc<str>>,
}

impl Header {
    /// A header for an event made inside this process.
    pub fn new(
        stream: StreamId,
        at: Timestamp,
        source: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
    ) -> Self {
        Self { id: id.into(), source: source.into(), stream, camera: None, at, time: None, trace: None }
    }
}

/// A payload with its [`Header`], to which it dereferences.
#[derive(Debug, Clone)]
pub struct Stamped<E> {
    /// Where and when.
    pub header: Arc<Header>,
    /// What.
    pub data: E,
}

impl<E> Stamped<E> {
    /// Puts a stamp on a payload.
    pub fn new(header: Header, data: E) -> Self {
        Self { header: Arc::new(header), data }
    }
}

impl<E> Deref for Stamped<E> {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.header
    }
}

/// What a detector takes in: one payload type, or an enum of several (see [`events!`](crate::events)).
pub trait FromEvents: Clone + Send + Sync + 'static {
    /// The kinds that the detector is to be given.
    fn kinds() -> Vec<&'static str>;
    /// The payload, where the event is of one of those kinds.
    fn from_event(event: &AnyEvent) -> Option<Self>;
}

impl<E: Event> FromEvents for E {
    fn kinds() -> Vec<&'static str> {
        vec![E::KIND]
    }

    fn from_event(event: &AnyEvent) -> Option<Self> {
        event.payload::<E>().cloned()
    }
}

/// Declares an enum of several event payloads as a detector's input.
///
/// ```
/// clipcore::events! {
///     /// What the burst detector listens to.
///     pub enum ChatInput {
///         /// Somebody wrote.
///         Message(clipcore::event::ChatMessage),
///         /// The platform did something that makes chat loud.
///         Platform(clipcore::event::PlatformEvent),
///     }
/// }
/// ```
#[macro_export]
macro_rules! events {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident($payload:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        $vis enum $name { $($(#[$vdoc])* $variant($payload)),+ }

        impl $crate::event::FromEvents for $name {
            fn kinds() -> ::std::vec::Vec<&'static str> {
                ::std::vec![$(<$payload as $crate::event::Event>::KIND),+]
            }

            fn from_event(event: &$crate::event::AnyEvent) -> ::core::option::Option<Self> {
                $(if let ::core::option::Option::Some(data) = event.payload::<$payload>() {
                    return ::core::option::Option::Some(Self::$variant(data.clone()));
                })+
                ::core::option::Option::None
            }
        }
    };
}
