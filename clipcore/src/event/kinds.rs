use std::any::TypeId;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::parts::{Data, Parts, Str};
use super::wire::Envelope;
use super::{AnyEvent, ChatMessage, Event, Header, Stamped, Unknown};
use crate::ids::shorten;
use crate::{Error, Result, StreamId, Timestamp, WallTime};

/// Makes an event of a header and the JSON text of its `data`.
type Build = fn(Header, &str) -> Result<AnyEvent>;

/// The event kinds that a program knows how to read.
///
/// Kinds that nobody registered are kept whole as [`Unknown`] and routed to detectors that ask for them.
///
/// Cloning is cheap: clones share one table until one of them registers more.
#[derive(Clone, Default)]
pub struct Kinds {
    table: Arc<Table>,
}

#[derive(Clone, Copy)]
struct Entry {
    build: Build,
    /// The payload type is the crate's own: what is written of it reads the same.
    own: bool,
}

#[derive(Clone, Default)]
struct Table {
    build: HashMap<&'static str, Entry>,
    /// Whether messages of chat are read as the shipped payload.
    chat: bool,
    aliases: Vec<(&'static str, &'static str)>,
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<_> = self.table.build.keys().collect();
        kinds.sort();
        f.debug_tuple("Kinds").field(&kinds).finish()
    }
}

impl Kinds {
    /// No kinds at all; see [`Kinds::builtin`] for the shipped ones.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Makes a payload type readable from the wire.
    pub fn register<E: Event + Serialize + DeserializeOwned>(&mut self) {
        self.enter::<E>(false);
    }

    /// Makes a payload type of the crate's own readable.
    pub(super) fn register_own<E: Event + Serialize + DeserializeOwned>(&mut self) {
        self.enter::<E>(true);
    }

    fn enter<E: Event + Serialize + DeserializeOwned>(&mut self, own: bool) {
        let table = Arc::make_mut(&mut self.table);
        if E::KIND == ChatMessage::KIND {
            table.chat = TypeId::of::<E>() == TypeId::of::<ChatMessage>();
        }
        let build: Build = |header, data| {
            let data: E = serde_json::from_str(data).map_err(|e| {
                Error::invalid(format!("the data of this {} event is not as it should be", E::KIND))
                    .with_context("id", shorten(&header.id))
                    .with_source(e)
            })?;
            Ok(AnyEvent::wire(Stamped::new(header, data)))
        };
        table.build.insert(E::KIND, Entry { build, own });
    }

    /// Takes `old` for `kind` in what is read.
    pub fn alias(&mut self, old: &'static str, kind: &'static str) {
        let aliases = &mut Arc::make_mut(&mut self.table).aliases;
        aliases.retain(|(name, _)| *name != old);
        aliases.push((old, kind));
        if old == ChatMessage::KIND {
            Arc::make_mut(&mut self.table).chat = false;
        }
    }

    /// Whether `kind` (or an alias of it) has a registered payload type.
    pub fn knows(&self, kind: &str) -> bool {
        self.table.build.contains_key(self.canonical(kind))
    }

    /// Whether `chat.message` is read as the shipped payload.
    pub(super) fn reads_chat(&self) -> bool {
        self.table.chat
    }

    fn canonical<'a>(&self, kind: &'a str) -> &'a str {
        // A handful of names: comparing lengths first is quicker than hashing.
        let aliases = &self.table.aliases;
        aliases.iter().find(|(old, _)| *old == kind).map_or(kind, |(_, canonical)| canonical)
    }

    /// Reads one JSON event: canonical CloudEvents 1.0 or the short form.
    ///
    /// # Errors
    /// `InvalidInput` that names the member that is missing or wrong.
    pub fn parse(&self, json: &[u8]) -> Result<Incoming> {
        let (parts, data) = parts(json)?;
        Ok(Incoming::new(parts, Data::Json(Cow::Borrowed(data)), self))
    }

    pub(super) fn build(&self, header: Header, kind: &str, data: &str) -> Result<AnyEvent> {
        let entry = self.table.build.get(self.canonical(kind));
        // Payloads of the crate's own keep nothing that is nested.
        if entry.is_none_or(|entry| !entry.own) && is_deep(data) {
            return Err(Error::invalid(format!(
                "the data of this {} event is nested more than {MAX_DEPTH} deep",
                shorten(kind)
            ))
            .with_context("id", shorten(&header.id)));
        }
        match entry {
            Some(Entry { build, own }) => {
                let mut event = build(header, data)?;
                event.reads_back = *own;
                Ok(event)
            }
            None => {
                let data = serde_json::from_str(data)?;
                Ok(AnyEvent::unknown(header, Unknown { kind: kind.into(), data }))
            }
        }
    }
}

/// How deep data may be nested: whoever reads a record whole, as erasing it takes, must be able to, and readers of JSON stop at
/// 128.
const MAX_DEPTH: usize = 64;

/// Whether JSON is nested deeper than [`MAX_DEPTH`].
fn is_deep(json: &str) -> bool {
    // Few have so many brackets at all.
    if memchr::memchr2_iter(b'[', b'{', json.as_bytes()).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > MAX_DEPTH
}

pub(super) fn parts(json: &[u8]) -> Result<(Parts<'_>, &RawValue)> {
    let envelope: Envelope<'_> = serde_json::from_slice(json).map_err(|e| {
        Error::invalid("this is not an event")
            .with_source(e)
            .with_context("text", shorten(&String::from_utf8_lossy(json)))
            .with_hint(
                r#"an event is a JSON object such as {"type":"marker","stream":"s1","at":12.3,"data":{}}"#,
            )
    })?;
    envelope.into_parts()
}

/// An event as it came in: perhaps without a stream-time instant yet.
#[derive(Debug, Clone)]
pub struct Incoming {
    kinds: Kinds,
    pub(super) parts: Parts<'static>,
    pub(super) data: Data<'static>,
}

impl Incoming {
    pub(super) fn new(parts: Parts<'_>, data: Data<'_>, kinds: &Kinds) -> Self {
        let own = |text: Option<Str<'_>>| text.map(|t| Str::Shared(t.into_shared()));
        let kind = match kinds.table.build.get_key_value(&*parts.kind) {
            Some((kind, _)) => Str::Lent(Cow::Borrowed(*kind)),
            None => Str::Shared(parts.kind.into_shared()),
        };
        Self {
            kinds: kinds.clone(),
            data: match data {
                Data::Json(json) => Data::Json(Cow::Owned(json.into_owned())),
                Data::Payload(payload) => Data::Payload(payload),
            },
            parts: Parts {
                kind,
                id: own(parts.id),
                source: own(parts.source),
                stream: parts.stream,
                camera: parts.camera,
                at: parts.at,
                time: parts.time,
                trace: own(parts.trace),
            },
        }
    }

    /// The CloudEvents `type` as it came.
    pub fn kind(&self) -> &str {
        &self.parts.kind
    }

    /// The stream it names, where it names one.
    pub fn stream(&self) -> Option<&StreamId> {
        self.parts.stream.as_ref()
    }

    /// Stream time, where the event carries it.
    pub fn at(&self) -> Option<Timestamp> {
        self.parts.at
    }

    /// Civil time, where the event carries it.
    pub fn time(&self) -> Option<WallTime> {
        self.parts.time
    }

    /// Files the event under `stream` where it names none itself.
    #[must_use]
    pub fn with_default_stream(mut self, stream: &StreamId) -> Self {
        self.parts.stream.get_or_insert_with(|| stream.clone());
        self
    }

    /// Places the event on the timeline and gives it an id where it has none.
    ///
    /// An event with `at` keeps it; one with only `time` is resolved by `to_stream_time`, once.
    ///
    /// # Errors
    /// `InvalidInput` where stream or time is missing or `to_stream_time` does not know, or where `data`
    /// does not fit the kind.
    pub fn resolve(self, to_stream_time: &mut dyn FnMut(WallTime) -> Option<Timestamp>) -> Result<AnyEvent> {
        let Self { kinds, parts, data } = self;
        parts.resolve(&kinds, &data, &mut |_, wall| to_stream_time(wall))
    }
}
