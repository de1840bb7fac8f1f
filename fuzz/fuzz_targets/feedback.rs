//! Any bytes as verdicts: those that can be written and read again, or an error.
#![no_main]

use clipcore::tune::read_feedback;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(feedback) = read_feedback(bytes) {
        let lines: Vec<String> =
            feedback.iter().map(|f| serde_json::to_string(f).expect("a verdict can be written")).collect();
        let again = read_feedback(lines.join("\n").as_bytes()).expect("what was written can be read");
        assert_eq!(again, feedback);
    }
});
