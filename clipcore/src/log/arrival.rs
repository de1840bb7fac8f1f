use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{Incoming, Kinds};
use crate::{Error, Result, StreamId, WallTime};

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
    /// Nothing more will come: the input has ended.
    End,
}

#[derive(Serialize)]
struct Written<'a> {
    received: WallTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Read<'a> {
    received: WallTime,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
}

impl Arrival {
    /// An event for `stream`, which it is filed under where it names none.
    pub fn event(stream: &StreamId, received: WallTime, event: Incoming) -> Self {
        let what = Arrived::Event(event.with_default_stream(stream));
        Self { stream: stream.clone(), received, what }
    }

    /// The end of the stream's input.
    pub fn end(stream: &StreamId, received: WallTime) -> Self {
        Self { stream: stream.clone(), received, what: Arrived::End }
    }

    /// What tells it apart from other arrivals of its stream.
    pub(super) fn id(&self) -> String {
        match &self.what {
            Arrived::Event(event) => event.id().unwrap_or_default().to_owned(),
            Arrived::End => "end".to_owned(),
        }
    }

    /// The `data` member of its record.
    pub(super) fn data(&self) -> Result<Box<RawValue>> {
        let event = match &self.what {
            Arrived::Event(event) => Some(RawValue::from_string(event.to_json()?)?),
            Arrived::End => None,
        };
        Ok(serde_json::value::to_raw_value(&Written { received: self.received, event: event.as_deref() })?)
    }

    /// Reads the `data` member of a record about `stream`.
    pub(super) fn read(stream: StreamId, data: &RawValue, kinds: &Kinds) -> Result<Self> {
        let read: Read<'_> = serde_json::from_str(data.get())?;
        let what = match read.event {
            None => Arrived::End,
            Some(event) => Arrived::Event(kinds.parse(event.get().as_bytes())?),
        };
        if let Arrived::Event(event) = &what
            && event.stream() != Some(&stream)
        {
            return Err(Error::invalid("an arrival and its event name different streams"));
        }
        Ok(Self { stream, received: read.received, what })
    }
}
