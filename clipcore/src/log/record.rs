use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
        }
    }

    /// One line of CloudEvents JSON, without the line end.
    ///
    /// # Errors
    /// `Unsupported` for events that have no wire form.
    pub fn to_json(&self) -> Result<String> {
        let (kind, id, data) = match self {
            Self::Event(event) => return event.to_json(),
            Self::Signal(s) => ("clipcore.signal", s.id.to_string(), serde_json::to_value(s)?),
            Self::Late(l) => ("clipcore.late", l.id.to_string(), serde_json::to_value(l)?),
            Self::Moment(m) => ("clipcore.moment", format!("{}-{}", m.id, m.rev), serde_json::to_value(m)?),
            Self::Clip(c) => ("clipcore.clip", c.id.to_string(), serde_json::to_value(c)?),
            Self::Receipt(r) => {
                ("clipcore.receipt", format!("{}-{}-{}", r.item, r.rev, r.sink), serde_json::to_value(r)?)
            }
        };
        let line = json!({
            "specversion": "1.0",
            "id": id,
            "source": "clipcore",
            "type": kind,
            "subject": self.stream(),
            "data": data,
        });
        Ok(line.to_string())
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
        struct Body {
            data: Value,
        }
        let own = serde_json::from_slice::<Head<'_>>(line)
            .ok()
            .and_then(|head| head.r#type.strip_prefix(OWN).map(str::to_owned));
        let Some(own) = own else {
            return Ok(Self::Event(kinds.parse(line)?.resolve(&mut |_| None)?));
        };
        let body: Body = serde_json::from_slice(line)?;
        Ok(match own.as_str() {
            "signal" => Self::Signal(Signal::deserialize(body.data)?),
            "late" => Self::Late(Late::deserialize(body.data)?),
            "moment" => Self::Moment(Moment::deserialize(body.data)?),
            "clip" => Self::Clip(Clip::deserialize(body.data)?),
            "receipt" => Self::Receipt(Receipt::deserialize(body.data)?),
            other => {
                return Err(Error::invalid(format!("unknown record type \"clipcore.{other}\""))
                    .with_hint("it may come from a newer clipcore"));
            }
        })
    }
}
