//! Any bytes as a recorded file: what is whole of it can be looked up, or it is left alone.
#![no_main]

use std::sync::LazyLock;

use clipcore::Timestamp;
use clipcore::cutter::Span;
use clipcore::recorder::Recording;
use libfuzzer_sys::fuzz_target;

static DIR: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("clipcore-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    dir
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(DIR.join("0000000000.mp4"), bytes).expect("the file can be written");
    let recording = Recording::open(&*DIR).expect("a damaged file does not hide the folder");
    assert!(recording.stats().bytes <= bytes.len() as u64);
    let span = Span { start: Timestamp::ZERO, end: Timestamp::from_secs(3) };
    if let Ok(slice) = recording.slice(span, Some(Timestamp::from_secs(1))) {
        for sample in slice.samples.iter().flatten() {
            assert!(sample.row.offset + u64::from(sample.row.size) <= bytes.len() as u64);
        }
    }
});
