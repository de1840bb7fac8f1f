use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arrival::{Arrival, Arrived};
use crate::cutter::Clip;
use crate::detector::Signal;
use crate::event::{AnyEvent, Kinds, Members, OWN, text_of};
use crate::fusion::Moment;
use crate::{Error, Result, StreamId, Timestamp};

/// A sink's receipt: this item was delivered (or given up on), so it need not be again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Id of the moment or clip.
    pub item: Arc<str>,
    /// Its revision, for moments; 0 for clips.
    pub rev: u32,
    /// The stream.
    pub stream: StreamId,
    /// The sink.
    pub sink: Arc<str>,
    /// What the sink says it stored it as, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether the sink had it already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Whether it was given up on: `location` says where the item was put aside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dead_letter: bool,
}

/// The decision that an input came too late to count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Late {
    /// The input's id.
    pub id: Arc<str>,
    /// The stream.
    pub stream: StreamId,
    /// The input's instant.
    pub at: Timestamp,
    /// The watermark that had passed it.
    pub watermark: Timestamp,
}

/// One entry of an [`EventLog`](super::EventLog). On the wire every record is a CloudEvents line.
#[derive(Debug, Clone)]
pub enum Record {
    /// Something observed, `clock` and `epoch` included.
    Event(AnyEvent),
    /// Something a detector at the edge found in sound or pictures.
    Signal(Signal),
    /// An input that came too late.
    Late(Late),
    /// A moment's transition.
    Moment(Moment),
    /// A clip's transition.
    Clip(Clip),
    /// A delivery.
    Receipt(Receipt),
    /// Something taken in that is not on the timeline yet; only in an inbox.
    Arrival(Arrival),
}

impl Record {
    /// The stream it belongs to.
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::Event(e) => e.stream(),
            Self::Signal(s) => &s.stream,
            Self::Late(l) => &l.stream,
            Self::Moment(m) => &m.stream,
            Self::Clip(c) => &c.stream,
            Self::Receipt(r) => &r.stream,
            Self::Arrival(a) => &a.stream,
        }
    }

    /// One line of CloudEvents JSON, without the line end.
    ///
    /// # Errors
    /// `Unsupported` for events that have no wire form.
    pub fn to_json(&self) -> Result<String> {
        text_of(|out| self.write_json(out))
    }

    /// Appends what [`to_json`](Self::to_json) gives.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) -> Result<()> {
        let (kind, id) = match self {
            Self::Event(event) => return event.write_json(out),
            Self::Signal(s) => ("clipcore.signal", Cow::Borrowed(&*s.id)),
            Self::Late(l) => ("clipcore.late", Cow::Borrowed(&*l.id)),
            Self::Moment(m) => ("clipcore.moment", format!("{}-{}", m.id, m.rev).into()),
            Self::Clip(c) => ("clipcore.clip", format!("{}-{}", c.id, c.transition()).into()),
            Self::Receipt(r) => ("clipcore.receipt", format!("{}-{}-{}", r.item, r.rev, r.sink).into()),
            Self::Arrival(a) => ("clipcore.arrival", a.id()),
        };
        let mut members = Members::begin(out);
        let data = members.value("data");
        match self {
            Self::Event(event) => event.write_json(data)?,
            Self::Signal(s) => serde_json::to_writer(data, s)?,
            Self::Late(l) => serde_json::to_writer(data, l)?,
            Self::Moment(m) => serde_json::to_writer(data, m)?,
            Self::Clip(c) => serde_json::to_writer(data, c)?,
            Self::Receipt(r) => serde_json::to_writer(data, r)?,
            Self::Arrival(a) => a.write(data)?,
        }
        members.text("id", &id);
        members.text("source", "clipcore");
        members.text("specversion", "1.0");
        members.text("subject", self.stream().as_str());
        members.text("type", kind);
        members.end();
        Ok(())
    }

    /// Whether what is written of it is known to be read again: it was read from JSON a moment ago, and there is more of this
    /// than of anything else.
    #[cfg(feature = "runtime")]
    pub(super) fn reads_back(&self) -> bool {
        match self {
            Self::Arrival(arrival) => !matches!(arrival.what, Arrived::Signal(_)),
            Self::Event(event) => event.reads_back(),
            _ => false,
        }
    }

    /// Reads a line that [`to_json`](Self::to_json) wrote, or any event line that carries `at`.
    ///
    /// # Errors
    /// `InvalidInput` that names what is wrong.
    pub fn from_json(line: &[u8], kinds: &Kinds) -> Result<Self> {
        /// Only what is needed to tell records of clipcore's own from events.
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow, default)]
            r#type: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
            #[serde(default)]
            subject: Option<StreamId>,
        }
        let own = serde_json::from_slice::<Head<'_>>(line)
            .ok()
            .and_then(|head| head.r#type.strip_prefix(OWN).map(str::to_owned));
        let Some(own) = own else {
            return Ok(Self::Event(kinds.parse(line)?.resolve(&mut |_| None)?));
        };
        let Body { data, subject } = serde_json::from_slice(line)?;
        Ok(match own.as_str() {
            "signal" => Self::Signal(serde_json::from_str(data.get())?),
            "late" => Self::Late(serde_json::from_str(data.get())?),
            "moment" => Self::Moment(serde_json::from_str(data.get())?),
            "clip" => Self::Clip(serde_json::from_str(data.get())?),
            "receipt" => Self::Receipt(serde_json::from_str(data.get())?),
            "arrival" => {
                let stream = subject.ok_or_else(|| Error::invalid("this arrival names no stream"))?;
                Self::Arrival(Arrival::read(stream, data, kinds)?)
            }
            other => {
                return Err(Error::invalid(format!("unknown record type \"clipcore.{other}\""))
                    .with_hint("it may come from a newer clipcore"));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arrival::Looked;
    use super::*;
    use crate::WallTime;

    #[test]
    fn an_arrival_keeps_what_came_and_when() {
        let (kinds, stream) = (Kinds::builtin(), StreamId::new("s").unwrap());
        let received = WallTime::parse("2026-11-23T01:02:03.456789Z").unwrap();
        let event = kinds.parse(br#"{"type":"marker","id":"7","data":{"label":"a\u00e9 \"b\""}}"#).unwrap();
        let at = Timestamp::from_secs(3);
        let signal = Signal::new(stream.clone(), None, "loudness".into(), 1, "loud", at, at, 2.5);
        let looked = Looked { pool: "gpu".into(), camera: crate::CameraId::main(), at, over: false };
        for arrival in [
            Arrival::event(&stream, received, event),
            Arrival::signal(received, signal),
            Arrival::looked(&stream, received, looked),
            Arrival::end(&stream, received),
        ] {
            let json = Record::Arrival(arrival).to_json().unwrap();
            let back = Record::from_json(json.as_bytes(), &kinds).unwrap();
            assert_eq!(back.to_json().unwrap(), json);
            assert_eq!(back.stream(), &stream);
            assert!(matches!(back, Record::Arrival(a) if a.received == received), "{json}");
        }
    }

    #[test]
    fn what_is_taken_can_be_read_whole_to_be_erased_however_deep_its_data_is() {
        let (kinds, stream) = (Kinds::builtin(), StreamId::new("s").unwrap());
        let event = |depth: usize| {
            let data = format!("{}\"]][[{{\\\"\"{}", "[".repeat(depth), "]".repeat(depth));
            let json = format!(r#"{{"type":"x.y","stream":"s","id":"1","at":1,"data":{data}}}"#);
            kinds.parse(json.as_bytes()).and_then(|incoming| incoming.resolve(&mut |_| None))
        };
        let deepest = (1..200).rev().find(|depth| event(*depth).is_ok()).unwrap();
        let incoming = crate::event::Incoming::from_event(&event(deepest).unwrap(), true, &kinds).unwrap();
        let arrival = Arrival::event(&stream, WallTime::from_unix_micros(5), incoming);
        for record in [Record::Event(event(deepest).unwrap()), Record::Arrival(arrival)] {
            let json = record.to_json().unwrap();
            let whole = serde_json::from_str::<serde_json::Value>(&json);
            assert!(whole.is_ok(), "nested {deepest} deep: {whole:?}");
        }
        let error = event(deepest + 1).unwrap_err().to_string();
        assert!(error.contains("deep"), "{error}");
    }

    #[test]
    fn an_arrival_of_two_streams_is_refused() {
        let json = r#"{"specversion":"1.0","type":"clipcore.arrival","id":"","source":"clipcore","subject":"s",
            "data":{"received":"2026-11-23T01:02:03Z","event":{"type":"marker","stream":"t","data":{}}}}"#;
        let error = Record::from_json(json.as_bytes(), &Kinds::builtin()).unwrap_err();
        assert!(error.to_string().contains("different streams"), "{error}");
    }
}
