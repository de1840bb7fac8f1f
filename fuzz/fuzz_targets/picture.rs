//! Any bytes as a posted picture: a frame whose size fits its pixels, or an error.
#![no_main]

use clipcore::gateway::decode_picture;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = decode_picture(bytes) else { return };
    assert_eq!(frame.rgb.len(), frame.width as usize * frame.height as usize * 3);
});
