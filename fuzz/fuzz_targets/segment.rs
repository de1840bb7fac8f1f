//! Any bytes as a segment of a file log: records with rising offsets, or an error.
#![no_main]

use std::sync::LazyLock;

use clipcore::event::Kinds;
use clipcore::log::file::segment_records;
use libfuzzer_sys::fuzz_target;

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::builtin);

fuzz_target!(|bytes: &[u8]| {
    if let Ok(records) = segment_records(bytes, 0, &KINDS) {
        assert!(records.iter().map(|(offset, _)| *offset).eq(0..records.len() as u64));
    }
});
