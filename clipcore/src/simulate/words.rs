//! Who writes in a simulated chat, and what.

use std::sync::Arc;

use super::chat::Cause;
use super::highlights::{Highlight, KINDS};
use crate::event::ChatMessage;
use crate::rng::Rng;

const TALK: [&str; 16] = [
    "hello chat",
    "what game is this",
    "how long is the stream today",
    "first time here",
    "nice",
    "I think he should go left",
    "any mods here",
    "what rank is he",
    "the sound is fine for me",
    "same",
    "who is casting",
    "brb",
    "that was last week",
    "ok",
    "is this live",
    "good morning from here",
];

/// In the order of `KINDS`.
const ANSWERS: [[&str; 6]; KINDS.len()] = [
    ["LETS GOOO", "POGGERS", "insane!!", "WOW", "clip it", "PogChamp PogChamp"],
    ["LUL", "KEKW", "hahaha", "OMEGALUL", "lmao", "I can't breathe lol"],
    ["WHAT", "no way", "monkaS", "omg", "???", "D:"],
    ["BibleThump", "nooo", "sadge", "rip", "F", "so close :("],
];

const ADS: [&str; 4] = ["ads", "not now", "ResidentSleeper", "an ad again"];

const RAID: [&str; 4] = ["raid hype", "hello from the raid", "we are here", "RAID RAID RAID"];

/// Writers a usual message comes from, for each message a second: chats with more traffic have more people.
const PEOPLE_PER_RATE: f64 = 150.0;

pub(super) struct Writers {
    people: usize,
    rng: Rng,
}

impl Writers {
    pub(super) fn new(rate: f64, seed: u64) -> Self {
        Self { people: (rate * PEOPLE_PER_RATE).ceil().max(20.0) as usize, rng: Rng::fork(seed, "words") }
    }

    pub(super) fn message(&mut self, cause: Cause, highlights: &[Highlight]) -> ChatMessage {
        let rng = &mut self.rng;
        // Squaring a uniform number makes a few people write most of the messages, as they do.
        let someone = (self.people as f64 * rng.unit().powi(2)) as usize;
        let (user, text): (String, Arc<str>) = match cause {
            Cause::Talk => (format!("u{someone}"), TALK[rng.below(TALK.len())].into()),
            Cause::Highlight(i) => {
                let answers = &ANSWERS[highlights[i].kind];
                // Highlights wake those who otherwise only watch.
                (format!("u{}", rng.below(3 * self.people)), answers[rng.below(answers.len())].into())
            }
            Cause::Raid(i) => (format!("raid{i}-{}", rng.below(200)), RAID[rng.below(RAID.len())].into()),
            Cause::Ad => (format!("u{}", rng.below(3 * self.people)), ADS[rng.below(ADS.len())].into()),
            Cause::Spam(i) => (
                format!("bot{i}-{}", rng.below(3)),
                format!("BUY FOLLOWERS CHEAP offer {i} BUY FOLLOWERS CHEAP").into(),
            ),
        };
        ChatMessage { user: user.into(), text: Some(text), emotes: [].into(), badges: [].into() }
    }
}
