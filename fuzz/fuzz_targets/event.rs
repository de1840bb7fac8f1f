//! Any bytes as an event: an answer or an error; what was taken in can be written and read again.
#![no_main]

use std::sync::LazyLock;

use clipcore::Timestamp;
use clipcore::event::Kinds;
use libfuzzer_sys::fuzz_target;

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::builtin);

fuzz_target!(|bytes: &[u8]| {
    let Ok(incoming) = KINDS.parse(bytes) else { return };
    let mut at_zero = |_| Some(Timestamp::ZERO);
    let Ok(event) = incoming.resolve(&mut at_zero) else { return };
    let json = event.to_json().expect("an event that was read can be written");
    let again = KINDS.parse(json.as_bytes()).and_then(|event| event.resolve(&mut at_zero));
    let again = again.expect("an event that was written can be read");
    assert_eq!(again.to_json().expect("and written again"), json);
});
