//! Any bytes as a log record: an answer or an error; what was taken in can be written and read again, and erased.
#![no_main]

use std::sync::LazyLock;

use clipcore::event::Kinds;
use clipcore::log::Record;
use libfuzzer_sys::fuzz_target;

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::builtin);

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::from_json(bytes, &KINDS) else { return };
    let json = record.to_json().expect("a record that was read can be written");
    if !matches!(record, Record::Arrival(_)) {
        serde_json::from_str::<serde_json::Value>(&json).expect("as erasing reads it");
    }
    let again = Record::from_json(json.as_bytes(), &KINDS).expect("a record that was written can be read");
    assert_eq!(again.to_json().expect("and written again"), json);
});
