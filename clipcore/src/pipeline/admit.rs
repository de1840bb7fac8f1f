//! The gate between sources and the log: events are placed on the timeline, stripped of what the
//! stream's consent does not cover, and refused where they are none.

use std::time::Duration;

use crate::consent::Consent;
use crate::detector::Signal;
use crate::event::{AnyEvent, Clock, EpochStart, Event, Incoming, OWN};
use crate::privacy::{Pseudonymizer, redact};
use crate::{Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

/// The gate of one stream.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) stream: StreamId,
    pub(super) consent: Consent,
    pub(super) pseudonyms: Option<Pseudonymizer>,
    /// How far ahead of the clock an event may lie.
    pub(super) max_ahead: Duration,
    /// The latest clock record.
    pub(super) clock: Option<Timestamp>,
    /// Civil time minus stream time in microseconds, from the latest clock record that knew.
    pub(super) wall_offset: Option<i64>,
}

impl Gate {
    pub(super) fn new(stream: StreamId, consent: Consent, max_ahead: Duration) -> Self {
        Self { stream, consent, pseudonyms: None, max_ahead, clock: None, wall_offset: None }
    }

    /// Notes a clock record.
    pub(super) fn clock_at(&mut self, at: Timestamp, wall: Option<WallTime>) {
        self.clock = Some(self.clock.map_or(at, |clock| clock.max(at)));
        if let Some(wall) = wall {
            self.wall_offset = Some(wall.as_unix_micros().saturating_sub(at.as_micros()));
        }
    }

    /// Places an event on the timeline by the latest clock record.
    ///
    /// # Errors
    /// As [`event`](Self::event), and `InvalidInput` where it cannot be placed.
    pub(super) fn incoming(&self, incoming: Incoming) -> Result<AnyEvent> {
        let event = incoming.with_default_stream(&self.stream).resolve(&mut |wall| {
            let offset = self.wall_offset?;
            Some(Timestamp::from_micros(wall.as_unix_micros().saturating_sub(offset)))
        })?;
        self.event(event)
    }

    /// Lets an event through, without what consent does not cover.
    ///
    /// # Errors
    /// `InvalidInput` for events of other streams, of the edge's own kinds, or absurdly far ahead; `Unsupported`
    /// for payloads without a wire form; `ConsentRequired` where nothing of it may be kept.
    pub(super) fn event(&self, event: AnyEvent) -> Result<AnyEvent> {
        self.owned(event.stream(), event.kind())?;
        if [Clock::KIND, EpochStart::KIND].contains(&event.kind()) || event.kind().starts_with(OWN) {
            return Err(Error::invalid(format!("{} records are written by clipcore itself", event.kind()))
                .with_hint("leave them out of what you send"));
        }
        self.near(event.at(), event.kind())?;
        if !event.reads_back() {
            event.data_json().ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, format!("{} events cannot be logged", event.kind()))
                    .with_hint("run a detector of sound or pictures at the source and send its signals")
            })??;
        }
        redact(&event, self.consent, self.pseudonyms.as_ref()).ok_or_else(|| {
            let what =
                format!("{} events are not kept: the stream's consent does not cover them", event.kind());
            Error::new(ErrorKind::ConsentRequired, what)
                .with_hint("where the people concerned agreed, add --consent chat_text or --consent face")
        })
    }

    /// Lets a signal through.
    ///
    /// # Errors
    /// `InvalidInput` for signals of other streams, with a score that is no number, or absurdly far ahead.
    pub(super) fn signal(&self, signal: Signal) -> Result<Signal> {
        self.owned(&signal.stream, &signal.detector)?;
        self.near(signal.at, &signal.detector)?;
        if !signal.score.is_finite() {
            return Err(Error::invalid(format!(
                "a signal of {} at {} has the score {}",
                signal.detector, signal.at, signal.score
            )));
        }
        Ok(signal)
    }

    fn owned(&self, stream: &StreamId, what: &str) -> Result<()> {
        if *stream == self.stream {
            return Ok(());
        }
        Err(Error::invalid(format!("this {what} is of stream {stream}, not of {}", self.stream))
            .with_hint("leave the stream out, or send it to its own stream"))
    }

    fn near(&self, at: Timestamp, what: &str) -> Result<()> {
        let Some(clock) = self.clock.filter(|clock| at > *clock + self.max_ahead) else { return Ok(()) };
        Err(Error::invalid(format!(
            "this {what} at {at} lies {:.0} s ahead of the stream, which is at {clock}",
            at.secs_since(clock)
        ))
        .with_hint("\"at\" is seconds on the stream's timeline; give civil time as \"time\""))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Header, Kinds, Unknown};

    fn gate(consent: Consent) -> Gate {
        Gate::new(StreamId::new("s").unwrap(), consent, Duration::from_secs(3600))
    }

    fn incoming(kind: &str, at: f64, data: serde_json::Value) -> Incoming {
        let line = json!({"type": kind, "at": at, "data": data}).to_string();
        Kinds::builtin().parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn words_and_faces_pass_only_with_consent() {
        let chat = || incoming("chat.message", 1.0, json!({"user": "u", "text": "hi", "emotes": ["Kappa"]}));
        let bare = gate(Consent::NONE).incoming(chat()).unwrap().to_json().unwrap();
        assert!(!bare.contains("hi") && !bare.contains("Kappa") && bare.contains("\"u\""), "{bare}");
        let kept = gate(Consent::ALL).incoming(chat()).unwrap().to_json().unwrap();
        assert!(kept.contains("hi") && kept.contains("Kappa"));
        let face = || incoming("face.expression", 1.0, json!({"scores": {"joy": 0.9}}));
        let refused = gate(Consent::NONE).incoming(face()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConsentRequired, "{refused}");
        assert!(gate(Consent::ALL).incoming(face()).unwrap().to_json().unwrap().contains("joy"));
    }

    #[test]
    fn users_are_replaced_where_a_key_is_given() {
        let mut gate = gate(Consent::ALL);
        gate.pseudonyms = Some(Pseudonymizer::from_key([7; 32]));
        let chat = incoming("chat.message", 1.0, json!({"user": "ann"}));
        assert!(!gate.incoming(chat).unwrap().to_json().unwrap().contains("ann"));
    }

    #[test]
    fn civil_time_is_placed_by_the_latest_clock() {
        let mut gate = gate(Consent::NONE);
        let line = br#"{"type":"marker","time":"1970-01-01T00:01:40Z","data":{}}"#;
        let parse = || Kinds::builtin().parse(line).unwrap();
        assert!(gate.incoming(parse()).unwrap_err().to_string().contains("no clock yet"));
        gate.clock_at(Timestamp::from_secs(7), Some(WallTime::from_unix_micros(90_000_000)));
        assert_eq!(gate.incoming(parse()).unwrap().at(), Timestamp::from_secs(17));
    }

    #[test]
    fn forged_and_misdirected_events_are_refused_with_the_reason() {
        let mut gate = gate(Consent::ALL);
        gate.clock_at(Timestamp::from_secs(10), None);
        let other = Kinds::builtin().parse(br#"{"type":"marker","stream":"t","at":1,"data":{}}"#).unwrap();
        for (event, says) in [
            (incoming("clock", 1.0, json!({"end": true})), "written by clipcore itself"),
            (incoming("marker", 9e8, json!({})), "ahead of the stream"),
            (other, "is of stream t, not of s"),
        ] {
            let error = gate.incoming(event).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let header = Header::new(StreamId::new("s").unwrap(), Timestamp::ZERO, "a program", "1");
        let unknown = Unknown { kind: "clipcore.moment".into(), data: json!({}) };
        let forged = gate.event(AnyEvent::unknown(header, unknown)).unwrap_err().to_string();
        assert!(forged.contains("written by clipcore itself"), "{forged}");
    }
}
