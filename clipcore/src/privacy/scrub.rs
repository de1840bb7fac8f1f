//! What is taken out of one record, however it was written.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::Pseudonymizer;
use crate::event::{ChatDelete, ChatMessage, Event, Transcript};
use crate::{StreamId, WallTime};

/// What is to be erased.
#[derive(Debug)]
pub(super) enum Scrub<'a> {
    /// Everything of a stream.
    Stream(&'a StreamId),
    /// Whatever names a person: words go, the person gets a stand-in that nobody can trace.
    User(&'a Person<'a>),
    /// Words.
    Text,
    /// Words of events that say a time before this, in microseconds since 1970.
    Old(i64),
    /// Words that were taken back.
    Deleted(&'a Deletions),
}

/// What somebody may be called instead of their name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pseudonyms<'a> {
    /// Whatever these keys make of it.
    Of(&'a [Pseudonymizer]),
    /// One of these.
    These(&'a HashSet<String>),
}

impl Pseudonyms<'_> {
    fn contains(self, platform: &str, name: &str, said: &str) -> bool {
        match self {
            Self::Of(keys) => keys.iter().any(|keys| keys.pseudonym(platform, name) == said),
            Self::These(known) => known.contains(said),
        }
    }
}

/// Somebody who is to be found.
#[derive(Debug)]
pub(super) struct Person<'a> {
    /// The platform that named them; any where there is none.
    pub(super) platform: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) pseudonyms: Pseudonyms<'a>,
    pub(super) stand_in: &'a str,
}

/// What `chat.delete` events took back, by stream.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    messages: HashSet<(String, String)>,
    /// Of everything a user had said until an instant, in stream seconds.
    users: HashMap<(String, String), f64>,
}

fn text<'v>(event: &'v Value, keys: [&str; 2]) -> &'v str {
    keys.iter().find_map(|key| event[*key].as_str()).unwrap_or_default()
}

/// `at` is seconds, as a number or as CloudEvents' text.
fn at(event: &Value) -> f64 {
    event["at"].as_f64().or_else(|| event["at"].as_str()?.parse().ok()).unwrap_or(f64::MAX)
}

impl Deletions {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.users.is_empty()
    }

    /// Notes a record that takes something back.
    pub(super) fn note(&mut self, record: &Value) {
        let event = event_of(record);
        if event["type"] != ChatDelete::KIND {
            return;
        }
        let stream = text(event, ["subject", "stream"]).to_owned();
        if let Some(message) = event["data"]["message"].as_str() {
            self.messages.insert((stream.clone(), message.to_owned()));
        }
        if let Some(user) = event["data"]["user"].as_str() {
            let until = self.users.entry((stream, user.to_owned())).or_insert(f64::MIN);
            *until = until.max(at(event));
        }
    }

    fn covers(&self, event: &Value) -> bool {
        let stream = text(event, ["subject", "stream"]).to_owned();
        let user = event["data"]["user"].as_str().unwrap_or_default().to_owned();
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        self.messages.contains(&(stream.clone(), id))
            || self.users.get(&(stream, user)).is_some_and(|until| at(event) <= *until)
    }
}

/// An arrival holds the event; other records are one.
fn event_of(record: &Value) -> &Value {
    let inner = &record["data"]["event"];
    if record["type"] == "clipcore.arrival" && inner.is_object() { inner } else { record }
}

/// What becomes of a record; nothing where it may stay as it is.
pub(super) fn scrub(record: &Value, what: &Scrub<'_>) -> Option<Value> {
    if let Scrub::Stream(stream) = what {
        return (text(record, ["subject", "stream"]) == stream.as_str()).then(tombstone);
    }
    let mut changed = record.clone();
    let arrival = record["type"] == "clipcore.arrival" && record["data"]["event"].is_object();
    let event = if arrival { changed.get_mut("data")?.get_mut("event")? } else { &mut changed };
    let hit = match what {
        Scrub::Stream(_) => false,
        Scrub::Text => wordless(event),
        Scrub::Old(before) => {
            let time = event["time"].as_str().and_then(|time| WallTime::parse(time).ok());
            time.is_some_and(|time| time.as_unix_micros() < *before) && wordless(event)
        }
        Scrub::Deleted(deletions) => {
            event["type"] == ChatMessage::KIND && deletions.covers(event) && wordless(event)
        }
        Scrub::User(person) => nameless(event, person),
    };
    if arrival && hit {
        let id = changed["data"]["event"]["id"].clone();
        changed["id"] = if id.is_null() { "".into() } else { id };
    }
    hit.then_some(changed)
}

/// A record of a stream that nobody has, in place of one that is gone.
fn tombstone() -> Value {
    json!({"type": "erased", "stream": "erased", "id": "-", "at": 0, "data": {}})
}

fn wordless(event: &mut Value) -> bool {
    let kind = event["type"].as_str().unwrap_or_default();
    let (chat, transcript) = (kind == ChatMessage::KIND, kind == Transcript::KIND);
    let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) else { return false };
    if transcript {
        let was = data.insert("text".to_owned(), "".into());
        return was.is_some_and(|was| was != "");
    }
    let had = |value: Option<Value>| {
        value.is_some_and(|v| !v.is_null() && v.as_array().is_none_or(|a| !a.is_empty()))
    };
    chat && had(data.remove("text")) | had(data.remove("emotes"))
}

fn nameless(event: &mut Value, person: &Person<'_>) -> bool {
    let Person { name, pseudonyms, stand_in, .. } = *person;
    let source = text(event, ["source", "source"]).to_owned();
    let platform = source.split_once(':').map_or(&*source, |(platform, _)| platform).to_owned();
    if person.platform.is_some_and(|wanted| wanted != platform) {
        return false;
    }
    let is_them = |said: &str| said == name || pseudonyms.contains(&platform, name, said);
    let mut hit = false;
    for key in ["user", "by"] {
        if event["data"][key].as_str().is_some_and(is_them) {
            event["data"][key] = stand_in.into();
            hit = true;
        }
    }
    if !hit {
        return false;
    }
    wordless(event);
    if let Some(data) = event.get_mut("data").and_then(Value::as_object_mut) {
        data.remove("badges");
        data.remove("label");
    }
    // A platform's id leads back to the message. It stays unique, since it is looked up by nobody any more.
    if let Some(id) = event["id"].as_str() {
        event["id"] = crate::stable_id(&[stand_in.as_bytes(), id.as_bytes()]).into();
    }
    true
}

/// The same for a checkpoint's state, where events that wait lie as texts; nothing where none is concerned.
pub(super) fn scrub_state(state: &Value, what: &Scrub<'_>) -> Option<Value> {
    match state {
        Value::String(line) if line.starts_with('{') => {
            let record = serde_json::from_str::<Value>(line).ok()?;
            scrub(&record, what).map(|changed| changed.to_string().into())
        }
        Value::Array(list) => {
            let parts: Vec<_> = list.iter().map(|item| scrub_state(item, what)).collect();
            parts.iter().any(Option::is_some).then(|| {
                list.iter().zip(parts).map(|(old, new)| new.unwrap_or_else(|| old.clone())).collect()
            })
        }
        Value::Object(map) => {
            let parts: Vec<_> = map.values().map(|item| scrub_state(item, what)).collect();
            parts.iter().any(Option::is_some).then(|| {
                let pairs = map.iter().zip(parts);
                Value::Object(
                    pairs
                        .map(|((key, old), new)| (key.clone(), new.unwrap_or_else(|| old.clone())))
                        .collect(),
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Value {
        json!({"type": "chat.message", "subject": "s", "id": "m1", "source": "twitch:irc", "at": "5",
            "time": "2026-11-23T01:02:03Z", "data": {"user": "ann", "text": "hush", "emotes": ["Hush"], "badges": ["vip"]}})
    }

    #[test]
    fn words_go_when_they_are_old_or_taken_back() {
        let bare = scrub(&message(), &Scrub::Text).unwrap();
        assert!(!bare.to_string().to_lowercase().contains("hush") && bare["data"]["user"] == "ann", "{bare}");
        assert!(scrub(&bare, &Scrub::Text).is_none(), "there is nothing left to erase");

        for (data, at, hits) in [
            (json!({"message": "m1"}), 9, true),
            (json!({"message": "m2"}), 9, false),
            (json!({"user": "ann"}), 9, true),
            (json!({"user": "ann"}), 4, false),
            (json!({"user": "bob"}), 9, false),
        ] {
            let mut deletions = Deletions::default();
            deletions.note(&json!({"type": "chat.delete", "subject": "s", "at": at, "data": data}));
            assert_eq!(scrub(&message(), &Scrub::Deleted(&deletions)).is_some(), hits, "{deletions:?}");
        }
    }

    #[test]
    fn a_person_is_found_by_name_and_pseudonym_in_records_arrivals_and_states() {
        let keys = [Pseudonymizer::from_key([7; 32])];
        let pseudonyms = Pseudonyms::Of(&keys);
        let them = Person { platform: None, name: "ann", pseudonyms, stand_in: "0123456789abcdef" };
        let what = Scrub::User(&them);
        let mut known = message();
        known["data"]["user"] = keys[0].pseudonym("twitch", "ann").into();
        for said in [message(), known] {
            let who = said["data"]["user"].as_str().unwrap().to_owned();
            let arrival =
                json!({"type": "clipcore.arrival", "subject": "s", "data": {"received": "x", "event": said}});
            let state = json!({"engine": {"events": [said.to_string(), "x"]}});
            for gone in [scrub(&said, &what), scrub(&arrival, &what), scrub_state(&state, &what)] {
                let gone = gone.unwrap().to_string();
                for word in [&*who, "hush", "vip", "m1"] {
                    assert!(!gone.contains(word), "{word} in {gone}");
                }
            }
        }
        let mut other = message();
        other["data"]["user"] = "bob".into();
        assert!(scrub(&other, &what).is_none());
        for (platform, hits) in [("twitch", true), ("kick", false), ("", false)] {
            let of = Person { platform: Some(platform), ..them };
            assert_eq!(scrub(&message(), &Scrub::User(&of)).is_some(), hits, "{platform}");
        }
    }
}
