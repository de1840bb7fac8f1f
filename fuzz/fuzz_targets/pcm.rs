//! Any text and bytes as sound that a socket brings: samples that could be sound, as many as there were, or an error.
#![no_main]

use clipcore::Timestamp;
use clipcore::gateway::{PcmFormat, PcmSpec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: (&str, u8, &[u8])| {
    let (text, choice, bytes) = parts;
    if let Ok(spec) = PcmSpec::parse(text) {
        // JSON can spell "pcm" with escapes; nobody does.
        assert!(PcmSpec::is_one(text) || text.contains('\\'), "what speaks of sound is not taken for events");
        check(&spec, bytes);
    }
    // Few texts are specs: most of the time is spent on samples.
    let spec = PcmSpec {
        format: if choice & 1 == 0 { PcmFormat::S16le } else { PcmFormat::F32le },
        rate: [8_000, 11_025, 16_000, 48_000][usize::from(choice >> 1) % 4],
        channels: 1 + u16::from(choice >> 3) % 8,
        at: Some(Timestamp::ZERO),
        time: None,
    };
    check(&spec, bytes);
});

fn check(spec: &PcmSpec, bytes: &[u8]) {
    let Ok(window) = spec.decode(bytes) else { return };
    let size = if spec.format == PcmFormat::S16le { 2 } else { 4 };
    assert_eq!(window.frames() * usize::from(spec.channels) * size, bytes.len());
    assert!(window.frames() > 0 && window.frames() <= spec.rate as usize);
    assert!(window.samples.iter().all(|s| s.is_finite() && s.abs() <= 16.0));
    assert!(window.end(Timestamp::ZERO) <= Timestamp::from_secs(1));
}
