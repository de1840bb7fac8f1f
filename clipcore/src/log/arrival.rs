use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::detector::Signal;
use crate::event::{Incoming, Kinds, Members};
use crate::{CameraId, Error, Result, StreamId, Timestamp, WallTime};

/// Something that was taken in for a stream and is not on its timeline yet: a record of an *inbox*, a log of its own
/// between whoever takes events in (a gateway) and the pipeline that places them.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The stream.
    pub stream: StreamId,
    /// When it was taken in.
    pub received: WallTime,
    /// What it is.
    pub what: Arrived,
}

/// What an [`Arrival`] says.
#[derive(Debug, Clone)]
pub enum Arrived {
    /// An event, as it came.
    Event(Incoming),
    /// What a detector of another process found in the stream's sound or pictures.
    Signal(Signal),
    /// How far detectors of another process have come.
    Looked(Looked),
    /// Nothing more will come: the input has ended.
    End,
}

/// Detectors of another process have looked at a camera's sound and pictures up to `at`: everything they will say about
/// earlier instants has been said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// The pool that they belong to.
    pub pool: String,
    /// The camera.
    pub camera: CameraId,
    /// How far they have come.
    pub at: Timestamp,
    /// Whether that is the end of what is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
}

#[derive(Deserialize)]
struct Read<'a> {
    received: WallTime,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(default)]
    signal: Option<Signal>,
    #[serde(default)]
    looked: Option<Looked>,
}

impl Arrival {
    /// An event for `stream`, which it is filed under where it names none.
    pub fn event(stream: &StreamId, received: WallTime, event: Incoming) -> Self {
        let what = Arrived::Event(event.with_default_stream(stream));
        Self { stream: stream.clone(), received, what }
    }

    /// What a detector of another process found.
    pub fn signal(received: WallTime, signal: Signal) -> Self {
        Self { stream: signal.stream.clone(), received, what: Arrived::Signal(signal) }
    }

    /// How far detectors of another process have come.
    pub fn looked(stream: &StreamId, received: WallTime, looked: Looked) -> Self {
        Self { stream: stream.clone(), received, what: Arrived::Looked(looked) }
    }

    /// The end of the stream's input.
    pub fn end(stream: &StreamId, received: WallTime) -> Self {
        Self { stream: stream.clone(), received, what: Arrived::End }
    }

    /// What tells it apart from other arrivals of its stream.
    pub(super) fn id(&self) -> Cow<'_, str> {
        match &self.what {
            Arrived::Event(event) => event.id().unwrap_or_default().into(),
            Arrived::Signal(signal) => Cow::Borrowed(&*signal.id),
            Arrived::Looked(Looked { pool, camera, at, .. }) => {
                format!("looked-{pool}-{camera}-{}", at.as_micros()).into()
            }
            Arrived::End => "end".into(),
        }
    }

    /// Appends the `data` member of its record.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut members = Members::begin(out);
        members.shown("received", Some(self.received));
        match &self.what {
            Arrived::Event(event) => event.write_json(members.value("event"))?,
            Arrived::Signal(signal) => serde_json::to_writer(members.value("signal"), signal)?,
            Arrived::Looked(looked) => serde_json::to_writer(members.value("looked"), looked)?,
            Arrived::End => {}
        }
        members.end();
        Ok(())
    }

    /// Reads the `data` member of a record about `stream`.
    pub(super) fn read(stream: StreamId, data: &RawValue, kinds: &Kinds) -> Result<Self> {
        let read: Read<'_> = serde_json::from_str(data.get())?;
        let received = read.received;
        let what = match read {
            Read { event: Some(event), .. } => Arrived::Event(kinds.parse(event.get().as_bytes())?),
            Read { signal: Some(signal), .. } => Arrived::Signal(signal),
            Read { looked: Some(looked), .. } => Arrived::Looked(looked),
            Read { .. } => Arrived::End,
        };
        let named = match &what {
            Arrived::Event(event) => event.stream(),
            Arrived::Signal(signal) => Some(&signal.stream),
            Arrived::Looked(_) | Arrived::End => Some(&stream),
        };
        if named != Some(&stream) {
            return Err(Error::invalid("an arrival and what it brings name different streams"));
        }
        Ok(Self { stream, received, what })
    }
}
