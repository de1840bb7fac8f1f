use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::arrival::Arrival;
use crate::cutter::Clip;
use crate::detector::Signal;
use crate::event::{AnyEvent, Kinds, OWN};
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
        let (kind, id, data) = match self {
            Self::Event(event) => return event.to_json(),
            Self::Signal(s) => ("clipcore.signal", s.id.to_string(), raw(s)?),
            Self::Late(l) => ("clipcore.late", l.id.to_string(), raw(l)?),
            Self::Moment(m) => ("clipcore.moment", format!("{}-{}", m.id, m.rev), raw(m)?),
            Self::Clip(c) => ("clipcore.clip", c.id.to_string(), raw(c)?),
            Self::Receipt(r) => ("clipcore.receipt", format!("{}-{}-{}", r.item, r.rev, r.sink), raw(r)?),
            Self::Arrival(a) => ("clipcore.arrival", a.id(), a.data()?),
        };
        Ok(serde_json::to_string(&Written {
            specversion: "1.0",
            id: &id,
            source: "clipcore",
            r#type: kind,
            subject: self.stream(),
            data: &data,
        })?)
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
            r#type: std::borrow::Cow<'a, str>,
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

/// A record of clipcore's own as a CloudEvents line.
#[derive(Serialize)]
struct Written<'a> {
    data: &'a RawValue,
    id: &'a str,
    source: &'static str,
    specversion: &'static str,
    subject: &'a StreamId,
    r#type: &'static str,
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    Ok(serde_json::value::to_raw_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WallTime;

    #[test]
    fn an_arrival_keeps_what_came_and_when() {
        let (kinds, stream) = (Kinds::builtin(), StreamId::new("s").unwrap());
        let received = WallTime::parse("2026-11-23T01:02:03.456789Z").unwrap();
        let event = kinds.parse(br#"{"type":"marker","id":"7","data":{"label":"a\u00e9 \"b\""}}"#).unwrap();
        for arrival in [Arrival::event(&stream, received, event), Arrival::end(&stream, received)] {
            let json = Record::Arrival(arrival).to_json().unwrap();
            let back = Record::from_json(json.as_bytes(), &kinds).unwrap();
            assert_eq!(back.to_json().unwrap(), json);
            assert_eq!(back.stream(), &stream);
            assert!(matches!(back, Record::Arrival(a) if a.received == received), "{json}");
        }
    }

    #[test]
    fn an_arrival_of_two_streams_is_refused() {
        let json = r#"{"specversion":"1.0","type":"clipcore.arrival","id":"","source":"clipcore","subject":"s",
            "data":{"received":"2026-11-23T01:02:03Z","event":{"type":"marker","stream":"t","data":{}}}}"#;
        let error = Record::from_json(json.as_bytes(), &Kinds::builtin()).unwrap_err();
        assert!(error.to_string().contains("different streams"), "{error}");
    }
}
