//! Any bytes as labels: spans that can be written and read again, or an error.
#![no_main]

use clipcore::eval::{labels_to_csv, read_labels};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = read_labels(bytes) {
        let csv = labels_to_csv(&labels);
        let again = read_labels(csv.as_bytes()).expect("what was written can be read");
        assert_eq!(labels_to_csv(&again), csv);
    }
});
