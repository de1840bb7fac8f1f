//! Damaged media gives an answer or an error: never a panic, never more memory than the bytes account for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use clipcore::Timestamp;
use clipcore::cutter::{CutRequest, Profile, Span, cut};
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::media::h264::{self, AvcConfig, Sps};
use clipcore::media::mp4::{self, FragmentReader, Read};
use clipcore::recorder::Recording;
use proptest::prelude::*;

use crate::recording::{record, recorder};
use crate::support::programs::{require, run};
use crate::support::stream::TestStream;

/// Real bytes to damage.
struct Originals {
    /// As ffmpeg writes into our pipe.
    fragmented: Vec<u8>,
    /// As the recorder writes: one file.
    segment: Vec<u8>,
    /// As the cutter writes.
    clip: Vec<u8>,
}

fn originals(test: &str) -> Option<&'static Originals> {
    static MADE: OnceLock<Originals> = OnceLock::new();
    require(test, &["ffmpeg"]).then(|| MADE.get_or_init(make))
}

fn make() -> Originals {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("input.mp4");
    TestStream { size: (256, 144), pictures: 90, gop: 30, ..TestStream::default() }.write(&file);
    let mut remux = Command::new("ffmpeg");
    remux.args(["-v", "error", "-i"]).arg(&file).args(["-c", "copy", "-f", "mp4"]);
    remux.args([
        "-movflags",
        "delay_moov+default_base_moof+frag_discont",
        "-frag_duration",
        "200000",
        "pipe:1",
    ]);
    let fragmented = run(&mut remux);
    let rec = dir.path().join("rec");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(record(&file, recorder(&rec))).unwrap();
    let recording = Recording::open(&rec).unwrap();
    let segment = fs::read(rec.join("0000000000.mp4")).unwrap();
    let span = Span { start: Timestamp::from_micros(300_000), end: Timestamp::from_micros(2_500_000) };
    let request = CutRequest { span, peak: None, profile: Profile::Keyframe };
    let path = dir.path().join("clip.mp4");
    cut(&Ffmpeg::default(), &recording, &request, None, &path).unwrap();
    Originals { fragmented, segment, clip: fs::read(path).unwrap() }
}

/// Everything that is found, whatever the sizes in which the bytes come.
fn read_all(bytes: &[u8], mut sizes: impl Iterator<Item = usize>) -> (Vec<Read>, Option<String>) {
    let (mut reader, mut found, mut rest) = (FragmentReader::new(), Vec::new(), bytes);
    loop {
        let (chunk, after) =
            rest.split_at(sizes.next().unwrap_or(usize::MAX).clamp(1, rest.len().max(1)).min(rest.len()));
        rest = after;
        reader.push(chunk);
        loop {
            match reader.next() {
                Ok(Some(read)) => found.push(read),
                Ok(None) => break,
                Err(e) => return (found, Some(e.to_string())),
            }
        }
        if rest.is_empty() {
            return (found, None);
        }
    }
}

/// One way to damage bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    /// Numbers at the edge are what overflows.
    Number(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let edge = prop_oneof![
        Just(0),
        Just(1),
        Just(7),
        Just(u32::MAX),
        Just(u32::MAX - 1),
        Just(0x7fff_ffff),
        Just(0x8000_0000),
        any::<u32>()
    ];
    let one = prop_oneof![
        3 => (any::<prop::sample::Index>(), 1..=255u8).prop_map(|(i, b)| Damage::Flip(i, b)),
        4 => (any::<prop::sample::Index>(), edge).prop_map(|(i, n)| Damage::Number(i, n)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => (any::<prop::sample::Index>(), 1..64usize).prop_map(|(i, n)| Damage::Remove(i, n)),
        1 => (any::<prop::sample::Index>(), 1..64usize).prop_map(|(i, n)| Damage::Repeat(i, n)),
    ];
    prop::collection::vec(one, 1..8)
}

/// Most damage goes to the first `front` bytes, where the headers are.
fn damaged(original: &[u8], front: usize, how: &[Damage]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (i, damage) in how.iter().enumerate() {
        let reach = if i % 3 == 2 { bytes.len() } else { bytes.len().min(front) };
        if reach == 0 {
            break;
        }
        match damage {
            Damage::Flip(at, bits) => bytes[at.index(reach)] ^= bits,
            Damage::Number(at, n) => {
                let at = at.index(reach);
                let n = &n.to_be_bytes()[..4.min(bytes.len() - at)];
                bytes[at..at + n.len()].copy_from_slice(n);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Remove(at, n) => {
                let at = at.index(reach);
                drop(bytes.drain(at..(at + n).min(bytes.len())));
            }
            Damage::Repeat(at, n) => {
                let at = at.index(reach);
                let again = bytes[at..(at + n).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

fn open(dir: &Path, bytes: &[u8]) -> std::sync::Arc<Recording> {
    fs::write(dir.join("0000000000.mp4"), bytes).unwrap();
    Recording::open(dir).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chunking_gives_the_same_samples(sizes in prop::collection::vec(1..5000usize, 1..50)) {
        if let Some(o) = originals("any_chunking_gives_the_same_samples") {
            for bytes in [&o.fragmented, &o.segment] {
                let whole = read_all(bytes, std::iter::empty());
                prop_assert!(whole.0.len() > 5, "{:?}", whole.1);
                prop_assert!(read_all(bytes, sizes.iter().copied().cycle()) == whole);
            }
        }
    }

    #[test]
    fn damaged_fragments_never_panic(how in damage(), sizes in prop::collection::vec(1..9000usize, 1..9)) {
        if let Some(o) = originals("damaged_fragments_never_panic") {
            for original in [&o.fragmented, &o.segment] {
                let bytes = damaged(original, 4000, &how);
                let (found, error) = read_all(&bytes, std::iter::empty());
                prop_assert!((found.clone(), error) == read_all(&bytes, sizes.iter().copied().cycle()));
                let samples: usize = found.iter().map(|f| if let Read::Samples(s) = f { s.len() } else { 0 }).sum();
                prop_assert!(samples <= bytes.len(), "{samples} samples out of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn damaged_recordings_never_panic(how in damage(), from in -2.0..3.0f64, secs in 0.01..4.0f64) {
        if let Some(o) = originals("damaged_recordings_never_panic") {
            let dir = tempfile::tempdir().unwrap();
            let recording = open(dir.path(), &damaged(&o.segment, 6000, &how));
            let at = |s: f64| Timestamp::try_from_secs_f64(s).unwrap();
            let span = Span { start: at(from), end: at(from + secs) };
            let _ = recording.slice(span, Some(at(from + secs / 2.0)));
            // Copying touches every table; what cannot be copied is an error.
            let request = CutRequest { span, peak: None, profile: Profile::Keyframe };
            let _ = cut(&Ffmpeg::default(), &recording, &request, None, &dir.path().join("clip.mp4"));
        }
    }

    #[test]
    fn damaged_clips_never_panic(how in damage()) {
        if let Some(o) = originals("damaged_clips_never_panic") {
            let _ = mp4::read_progressive(&damaged(&o.clip, 5000, &how));
        }
    }

    #[test]
    fn any_bytes_as_parameter_sets(bytes in prop::collection::vec(any::<u8>(), 0..80), profile in 0..4usize) {
        let mut unit = vec![0x67, [66, 77, 100, 110][profile], 0, 30];
        unit.extend_from_slice(&bytes);
        for set in [&bytes, &unit] {
            let _ = (Sps::parse(set), h264::pps_id(set), h264::annex_b(set));
            if let Ok(short) = h264::sps_without_vui(set) {
                let (before, after) = (Sps::parse(set).unwrap(), Sps::parse(&short).unwrap());
                prop_assert_eq!((before.id, before.bit_depth, before.frames_only), (after.id, after.bit_depth, after.frames_only));
            }
            for size in 1..=4 {
                prop_assert!(h264::nals(set, size).map(<[u8]>::len).sum::<usize>() <= set.len());
            }
        }
        if let Ok(config) = AvcConfig::parse(&bytes) {
            prop_assert_eq!(AvcConfig::parse(&config.to_bytes()).unwrap(), config);
        }
    }
}

#[test]
fn a_recording_cut_off_anywhere_keeps_every_whole_part() {
    let Some(o) = originals("a_recording_cut_off_anywhere_keeps_every_whole_part") else { return };
    // Where the boxes of the file end, read independently of the code under test.
    let (mut ends, mut at) = (Vec::new(), 0);
    while at + 8 <= o.segment.len() {
        let len = u32::from_be_bytes(o.segment[at..at + 4].try_into().unwrap()) as usize;
        let kind = &o.segment[at + 4..at + 8];
        at += len;
        if kind == b"mdat" || kind == b"moov" {
            ends.push(at);
        }
    }
    assert!(ends.len() > 10, "{ends:?}");
    let dir = tempfile::tempdir().unwrap();
    let mut sizes: Vec<usize> = (0..o.segment.len()).step_by(1000).collect();
    sizes.extend(ends.iter().flat_map(|&end| [end - 1, end]));
    for size in sizes {
        let stats = open(dir.path(), &o.segment[..size]).stats();
        let whole = ends.iter().copied().filter(|&end| end <= size).max();
        assert_eq!(stats.segments, usize::from(whole.is_some()), "{size} bytes");
        assert_eq!(stats.bytes, whole.unwrap_or(0) as u64, "{size} bytes");
    }
}
