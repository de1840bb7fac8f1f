//! Any bytes as a fragmented MP4: the same samples in whatever pieces they come, or an error.
#![no_main]

use clipcore::media::mp4::{FragmentReader, Read};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], piece: usize) -> (Vec<Read>, bool) {
    let (mut reader, mut found) = (FragmentReader::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(read)) => found.push(read),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let whole = read(bytes, usize::MAX);
    assert!(whole == read(bytes, usize::from(piece) + 1));
    let samples: usize = whole.0.iter().map(|f| if let Read::Samples(s) = f { s.len() } else { 0 }).sum();
    assert!(samples <= bytes.len());
});
