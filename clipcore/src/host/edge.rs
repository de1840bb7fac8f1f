//! What an event must be before it is written anywhere: of its stream, of no kind of the edge's own, readable, and without what
//! the stream's consent does not cover.

use crate::consent::Consent;
use crate::event::{Clock, EpochStart, Event, Incoming, Kinds, OWN};
use crate::privacy::{Pseudonymizer, redact};
use crate::{Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

pub(super) struct Edge {
    pub(super) consent: Consent,
    pub(super) pseudonyms: Option<Pseudonymizer>,
    pub(super) kinds: Kinds,
}

impl Edge {
    /// The event as it may be kept: with an id, redacted, and with the time it was received where it says none.
    ///
    /// # Errors
    /// `InvalidInput` for events of other streams, of the edge's own kinds, or whose data does not fit their kind;
    /// `ConsentRequired` where nothing of it may be kept.
    pub(super) fn seal(
        &self,
        stream: &StreamId,
        consent: Consent,
        event: Incoming,
        received: WallTime,
    ) -> Result<Incoming> {
        if let Some(other) = event.stream().filter(|s| *s != stream) {
            return Err(Error::invalid(format!(
                "this {} is of stream {other}, not of {stream}",
                event.kind()
            ))
            .with_hint("leave the stream out, or send it to its own stream"));
        }
        if [Clock::KIND, EpochStart::KIND].contains(&event.kind()) || event.kind().starts_with(OWN) {
            return Err(Error::invalid(format!("{} records are written by clipcore itself", event.kind()))
                .with_hint("leave them out of what you send"));
        }
        let event = event.with_default_stream(stream).with_default_time(received);
        let placed = event.at().is_some();
        let event = event.resolve(&mut |_| Some(Timestamp::ZERO))?;
        let redacted = redact(&event, consent, self.pseudonyms.as_ref()).ok_or_else(|| {
            let what =
                format!("{} events are not kept: the stream's consent does not cover them", event.kind());
            Error::new(ErrorKind::ConsentRequired, what)
                .with_hint("where the people concerned agreed, say so in the stream's \"consent\"")
        })?;
        Incoming::from_event(&redacted, placed, &self.kinds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(consent: Consent, json: &str) -> Result<Incoming> {
        let edge =
            Edge { consent, pseudonyms: Some(Pseudonymizer::from_key([7; 32])), kinds: Kinds::builtin() };
        let event = edge.kinds.parse(json.as_bytes())?;
        edge.seal(&StreamId::new("s").unwrap(), consent, event, WallTime::from_unix_micros(5_000_000))
    }

    #[test]
    fn words_and_names_are_gone_before_anything_is_written() {
        let chat = r#"{"type":"chat.message","data":{"user":"ann","text":"secret"}}"#;
        let bare = seal(Consent::NONE, chat).unwrap();
        assert_eq!((bare.time(), bare.at()), (Some(WallTime::from_unix_micros(5_000_000)), None));
        let bare = bare.to_json().unwrap();
        assert!(!bare.contains("secret") && !bare.contains("ann"), "{bare}");
        assert!(seal(Consent::ALL, chat).unwrap().to_json().unwrap().contains("secret"));
        let face = r#"{"type":"face.expression","at":1,"data":{"scores":{"joy":0.9}}}"#;
        assert_eq!(seal(Consent::NONE, face).unwrap_err().kind(), ErrorKind::ConsentRequired);
    }

    #[test]
    fn what_is_no_event_of_the_stream_is_refused_with_the_reason() {
        for (json, says) in [
            (r#"{"type":"marker","stream":"t","data":{}}"#, "is of stream t, not of s"),
            (r#"{"type":"clock","at":1,"data":{}}"#, "written by clipcore itself"),
            (r#"{"type":"chat.message","at":1,"data":{"user":7}}"#, "not as it should be"),
        ] {
            let error = seal(Consent::ALL, json).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
