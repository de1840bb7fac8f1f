//! Any bytes as H.264 syntax: parameter sets that survive being written again, or an error.
#![no_main]

use clipcore::media::h264::{AvcConfig, Sps, annex_b, nals, pps_id, sps_without_reordering};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = AvcConfig::parse(bytes) {
        assert_eq!(AvcConfig::parse(&config.to_bytes()).expect("what was written can be read"), config);
    }
    let _ = pps_id(bytes);
    if let Ok(short) = sps_without_reordering(bytes) {
        let before = Sps::parse(bytes).expect("it was read before");
        let after = Sps::parse(&short).expect("what was written can be read");
        assert_eq!((before.id, before.profile, before.bit_depth), (after.id, after.profile, after.bit_depth));
    }
    assert!(annex_b(bytes).iter().map(|unit| unit.len()).sum::<usize>() <= bytes.len());
    for size in 1..=4 {
        assert!(nals(bytes, size).map(<[u8]>::len).sum::<usize>() <= bytes.len());
    }
});
