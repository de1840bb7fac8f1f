//! Any bytes as an event: an answer or an error, and the same one from the quick reader; what was taken in can be written
//! and read again.
#![no_main]

use std::sync::LazyLock;

use clipcore::Timestamp;
use clipcore::event::{EventReader, Kinds};
use libfuzzer_sys::fuzz_target;

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::builtin);

fuzz_target!(|bytes: &[u8]| {
    let mut at_zero = |_| Some(Timestamp::ZERO);
    let event = KINDS.parse(bytes).and_then(|incoming| incoming.resolve(&mut at_zero));
    let quick = EventReader::new(KINDS.clone()).read(bytes, &mut |_, _| Some(Timestamp::ZERO));
    let (event, quick) = match (event, quick) {
        (Ok(event), Ok(Some(quick))) => (event, quick),
        (Err(one), Err(other)) => return assert_eq!(one.to_string(), other.to_string()),
        (one, other) => panic!("{one:?} is not {other:?}"),
    };
    assert_eq!(quick.header(), event.header());
    let json = event.to_json().expect("an event that was read can be written");
    assert_eq!(quick.to_json().expect("so can the quick reader's"), json);
    let again = KINDS.parse(json.as_bytes()).and_then(|event| event.resolve(&mut at_zero));
    let again = again.expect("an event that was written can be read");
    assert_eq!(again.to_json().expect("and written again"), json);
});
