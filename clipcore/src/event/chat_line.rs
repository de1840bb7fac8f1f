use std::fmt;
use std::sync::Arc;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::parts::Text;
use super::wire::{MAX_TEXT, Seconds};
use super::{ChatMessage, Event};
use crate::{Timestamp, WallTime};

/// A `chat.message` as it usually comes: whole, on one line, `type` and `id` before `data`, nothing escaped in its names.
#[derive(Debug)]
pub(super) struct ChatLine<'a> {
    pub(super) id: &'a str,
    pub(super) source: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    pub(super) at: Timestamp,
    pub(super) time: Option<WallTime>,
    pub(super) data: ChatData<'a>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatData<'a> {
    #[serde(borrow)]
    pub(super) user: Text<'a>,
    #[serde(borrow, default)]
    pub(super) text: Option<Text<'a>>,
    #[serde(default)]
    pub(super) emotes: Arc<[Arc<str>]>,
    #[serde(default)]
    pub(super) badges: Arc<[Arc<str>]>,
}

impl<'a> ChatLine<'a> {
    /// The line, where it is a usual one; everything else is for [`Envelope`](super::wire::Envelope).
    pub(super) fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str::<Usual<'a>>(json).ok().map(|usual| usual.0)
    }
}

struct Usual<'a>(ChatLine<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Usual<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(Members).map(Self)
    }
}

struct Members;

/// The value of a member that was not there yet.
fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    seen: &Option<T>,
    map: &mut A,
) -> Result<Option<T>, A::Error> {
    if seen.is_some() {
        return Err(A::Error::custom("twice"));
    }
    map.next_value().map(Some)
}

impl<'de> Visitor<'de> for Members {
    type Value = ChatLine<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chat message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ChatLine<'de>, A::Error> {
        let unusual = || A::Error::custom("unusual");
        let (mut version, mut kind, mut id, mut source) =
            (None::<&str>, None::<&str>, None::<&str>, None::<&str>);
        let (mut subject, mut stream) = (None::<&str>, None::<&str>);
        let (mut at, mut time, mut data) = (None::<Seconds>, None::<WallTime>, None::<ChatData<'de>>);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "type" => {
                    kind = once(&kind, &mut map)?;
                    // Other kinds are given up on before they cost anything.
                    if kind != Some(ChatMessage::KIND) {
                        return Err(unusual());
                    }
                }
                "stream" => stream = once(&stream, &mut map)?,
                "subject" => subject = once(&subject, &mut map)?,
                "id" => id = once(&id, &mut map)?,
                "at" => at = once(&at, &mut map)?,
                "data" if kind.is_some() && id.is_some() => data = once(&data, &mut map)?,
                "source" => source = once(&source, &mut map)?,
                "specversion" => version = once(&version, &mut map)?,
                "time" => time = once(&time, &mut map)?,
                "data" | "camera" | "traceparent" => return Err(unusual()),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (Some(id), Some(at), Some(data), Some(_)) = (id, at, data, kind) else { return Err(unusual()) };
        let fits = |text: Option<&str>| text.is_none_or(|t| t.len() <= MAX_TEXT);
        if id.is_empty() || !fits(Some(id)) || !fits(source) || version.is_some_and(|v| v != "1.0") {
            return Err(unusual());
        }
        let at = at.timestamp().map_err(|_| unusual())?;
        Ok(ChatLine { id, source, stream: stream.or(subject), at, time, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{EventReader, Kinds};
    use super::*;
    use crate::{Consent, StreamId};

    /// The same line in both ways: what came out, as JSON, or the error's text.
    fn both(json: &str, consent: Consent) -> (String, String) {
        let default = StreamId::new("d").unwrap();
        let told = |result: crate::Result<Option<super::super::AnyEvent>>| match result {
            Ok(event) => event.map_or_else(|| "withheld".to_owned(), |e| e.to_json().unwrap()),
            Err(error) => error.to_string(),
        };
        let general = Kinds::builtin()
            .parse(json.as_bytes())
            .and_then(|incoming| incoming.with_default_stream(&default).resolve(&mut |_| None))
            .map(|event| consent.redact(event));
        let mut reader =
            EventReader::new(Kinds::builtin()).with_consent(consent).with_default_stream(default);
        // The second reading has names that it knows.
        let first = told(reader.read(json.as_bytes(), &mut |_, _| None));
        assert_eq!(first, told(reader.read(json.as_bytes(), &mut |_, _| None)));
        (first, told(general))
    }

    #[test]
    fn usual_lines_are_read_in_one_pass_and_unusual_ones_are_not() {
        for (usual, json) in [
            (
                true,
                r#"{"type":"chat.message","stream":"s","id":"1","at":1.5,"data":{"user":"u","text":"a\n"}}"#,
            ),
            (
                true,
                r#"{"specversion":"1.0","id":"1","source":"x","type":"chat.message","subject":"s","time":"2026-11-23T01:02:03Z","at":"2","data":{"user":"u","emotes":["A"],"badges":["b"],"new":[1]},"ext":{}}"#,
            ),
            (false, r#"{"type":"chat.message","stream":"s","at":1.5,"data":{"user":"u"}}"#),
            (
                false,
                r#"{"type":"chat.message","id":"1","stream":"s","time":"2026-11-23T01:02:03Z","data":{"user":"u"}}"#,
            ),
            (false, r#"{"data":{"user":"u"},"type":"chat.message","stream":"s","id":"1","at":1}"#),
            (false, r#"{"type":"marker","stream":"s","id":"1","at":1,"data":{}}"#),
            (
                false,
                r#"{"type":"chat.message","stream":"s","id":"1","at":1,"camera":"c","data":{"user":"u"}}"#,
            ),
        ] {
            assert_eq!(ChatLine::parse(json).is_some(), usual, "{json}");
            for consent in [Consent::NONE, Consent::ALL] {
                let (fast, general) = both(json, consent);
                assert_eq!(fast, general, "{json}");
            }
        }
    }

    proptest! {
        /// Members in any order, absent, doubled, of wrong types, cut anywhere: both ways say the same.
        #[test]
        fn both_ways_say_the_same(
            members in prop::collection::vec(prop::sample::select(vec![
                r#""type":"chat.message""#, r#""type":"chat.message""#, r#""type":"chat.message""#, r#""type":"marker""#,
                r#""stream":"s""#, r#""stream":"s2""#, r#""stream":"../s""#, r#""subject":"t""#, r#""stream":null"#,
                r#""id":"1""#, r#""id":"2""#, r#""id":"""#, r#""id":7"#, r#""id":"a\u0041""#,
                r#""at":1.25"#, r#""at":"3""#, r#""at":"x""#, r#""at":1e300"#, r#""at":null"#,
                r#""time":"2026-11-23T01:02:03Z""#, r#""time":"noon""#, r#""source":"me""#, r#""source":null"#,
                r#""specversion":"1.0""#, r#""specversion":"0.3""#, r#""camera":"c""#, r#""ext":[1,{"a":2}]"#,
                r#""data":{"user":"u","text":"hi \"you\" é"}"#, r#""data":{"user":"u","emotes":["K"],"badges":["m"]}"#,
                r#""data":{"user":"u","text":null}"#, r#""data":{"text":"no user"}"#, r#""data":{"user":7}"#,
                r#""data":{"user":"u","user":"v"}"#, r#""data":null"#, r#""data":{"user":"u","x":{"y":[]}}"#,
            ]), 0..9),
            usual in any::<bool>(),
            cut in 0usize..400,
            consent in prop::sample::select(vec![Consent::NONE, Consent::ALL]),
        ) {
            let start = if usual { r#"{"type":"chat.message","id":"9","at":4,"# } else { "{" };
            let mut json = format!("{start}{}}}", members.join(","));
            if let Some((end, _)) = json.char_indices().nth(cut).filter(|_| cut % 7 == 0) {
                json.truncate(end);
            }
            let (fast, general) = both(&json, consent);
            prop_assert_eq!(fast, general, "{}", json);
        }
    }
}
