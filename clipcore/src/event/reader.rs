use std::borrow::Cow;
use std::sync::Arc;

use super::chat_line::ChatLine;
use super::kinds::parts;
use super::parts::Data;
use super::{AnyEvent, ChatMessage, Header, Kinds, Stamped};
use crate::consent::Consent;
use crate::{Result, StreamId, Timestamp, WallTime};

/// Reads many events, one JSON text after another: [`Kinds::parse`], [`Incoming::resolve`](super::Incoming::resolve)
/// and [`Consent::redact`] in one step, without the copies in between.
///
/// Names that repeat from event to event are kept, and the words of chat are not even copied where consent does not
/// cover them.
///
/// ```
/// use clipcore::Consent;
/// use clipcore::event::{ChatMessage, EventReader, Kinds};
///
/// let mut reader = EventReader::new(Kinds::builtin()).with_consent(Consent::NONE);
/// let line = br#"{"type":"chat.message","stream":"s1","id":"7","at":3.5,"data":{"user":"u1","text":"secret"}}"#;
/// let event = reader.read(line, &mut |_, _| None)?.expect("it may be counted");
/// assert_eq!(event.payload::<ChatMessage>().map(|m| m.text.is_none()), Some(true));
/// # Ok::<(), clipcore::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventReader {
    kinds: Kinds,
    consent: Consent,
    stream: Option<StreamId>,
    last_stream: Option<StreamId>,
    last_source: Option<Arc<str>>,
}

impl EventReader {
    /// A reader of these kinds, with every consent.
    pub fn new(kinds: Kinds) -> Self {
        Self { kinds, consent: Consent::ALL, stream: None, last_stream: None, last_source: None }
    }

    /// Reads events of these kinds.
    #[must_use]
    pub fn with_kinds(mut self, kinds: Kinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// Says what may be processed of the events.
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.consent = consent;
        self
    }

    /// Files events that name no stream under this one.
    #[must_use]
    pub fn with_default_stream(mut self, stream: StreamId) -> Self {
        self.stream = Some(stream);
        self
    }

    /// The kinds that it reads.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// What may be processed of the events.
    pub fn consent(&self) -> Consent {
        self.consent
    }

    /// Reads one JSON event: canonical CloudEvents 1.0 or the short form. An event with `at` keeps it; one with only
    /// `time` is placed by `to_stream_time`, once. `None` where consent lets nothing of it be processed.
    ///
    /// # Errors
    /// `InvalidInput` that names the member that is missing or wrong.
    pub fn read(
        &mut self,
        json: &[u8],
        to_stream_time: &mut dyn FnMut(&StreamId, WallTime) -> Option<Timestamp>,
    ) -> Result<Option<AnyEvent>> {
        if let Some(event) = self.chat(json) {
            return Ok(Some(event));
        }
        let (mut parts, data) = parts(json)?;
        if parts.stream.is_none() {
            parts.stream = self.stream.clone();
        }
        Ok(self.consent.redact(parts.resolve(
            &self.kinds,
            &Data::Json(Cow::Borrowed(data)),
            to_stream_time,
        )?))
    }

    /// Nearly all events are messages in their usual form, which are read in one pass. What is missing, wrong or only
    /// unusual is left to the general way, and so are its errors.
    fn chat(&mut self, json: &[u8]) -> Option<AnyEvent> {
        if !self.kinds.reads_chat() {
            return None;
        }
        let line = ChatLine::parse(std::str::from_utf8(json).ok()?)?;
        let stream = self.stream_of(line.stream)?;
        let source = self.source_of(line.source.unwrap_or("unknown"));
        let heard = self.consent.chat_text;
        let data = ChatMessage {
            user: line.data.user.0.into(),
            text: line.data.text.filter(|_| heard).map(|text| text.0.into()),
            emotes: if heard { line.data.emotes } else { Arc::default() },
            badges: line.data.badges,
        };
        let header = Arc::new(Header {
            id: line.id.into(),
            source,
            stream,
            camera: None,
            at: line.at,
            time: line.time,
            trace: None,
        });
        Some(AnyEvent::wire(Stamped { header, data }))
    }

    fn stream_of(&mut self, name: Option<&str>) -> Option<StreamId> {
        let Some(name) = name else { return self.stream.clone() };
        if self.last_stream.as_ref().is_none_or(|last| last.as_str() != name) {
            self.last_stream = Some(StreamId::new(name).ok()?);
        }
        self.last_stream.clone()
    }

    fn source_of(&mut self, name: &str) -> Arc<str> {
        match &self.last_source {
            Some(last) if **last == *name => last.clone(),
            _ => self.last_source.insert(name.into()).clone(),
        }
    }
}
