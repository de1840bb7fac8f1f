use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::{Incoming, Kinds, Members};
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
    pub(super) fn id(&self) -> &str {
        match &self.what {
            Arrived::Event(event) => event.id().unwrap_or_default(),
            Arrived::End => "end",
        }
    }

    /// Appends the `data` member of its record.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut members = Members::begin(out);
        members.shown("received", Some(self.received));
        if let Arrived::Event(event) = &self.what {
            event.write_json(members.value("event"))?;
        }
        members.end();
        Ok(())
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
