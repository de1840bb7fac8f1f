//! Any bytes as the body of a request that brings events: an answer or an error; what was taken in can be written and read
//! again.
#![no_main]

use std::sync::LazyLock;

use clipcore::event::Kinds;
use clipcore::gateway::{MAX_EVENTS, events_of};
use libfuzzer_sys::fuzz_target;

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::builtin);

const TYPES: [Option<&str>; 5] = [
    None,
    Some("application/json; charset=utf-8"),
    Some("application/x-ndjson"),
    Some("application/cloudevents+json"),
    Some("application/cloudevents-batch+json"),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, body)) = bytes.split_first() else { return };
    let Ok(entries) = events_of(TYPES[usize::from(*first) % TYPES.len()], body, &KINDS) else { return };
    assert!(!entries.is_empty() && entries.len() <= MAX_EVENTS);
    assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0), "places rise");
    for event in entries.into_iter().filter_map(|(_, event)| event.ok()) {
        let json = event.to_json().expect("an event that was read can be written");
        let again = KINDS.parse(json.as_bytes()).expect("and read again");
        assert_eq!(again.to_json().expect("and written again"), json);
    }
});
