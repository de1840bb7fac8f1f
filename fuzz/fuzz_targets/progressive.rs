//! Any bytes as a faststart MP4: tables that agree, or an error.
#![no_main]

use clipcore::media::mp4::read_progressive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tracks) = read_progressive(bytes) {
        for (_, _, samples) in tracks {
            assert!(samples.len() <= bytes.len());
            assert!(samples.windows(2).all(|pair| pair[0].dts <= pair[1].dts));
        }
    }
});
