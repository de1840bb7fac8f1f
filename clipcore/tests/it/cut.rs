//! Clips are exact to the frame, in sync, and say the truth about themselves.

use std::path::Path;

use clipcore::Timestamp;
use clipcore::cutter::{CutReport, CutRequest, Profile, Span, cut};
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::recorder::Recording;

use crate::recording::{record, recorder};
use crate::support::programs::{ffmpeg_encodes, require, skipped};
use crate::support::reading::{self, ClipReading};
use crate::support::stream::{Audio, TestStream, Video};

fn span(start: f64, end: f64) -> Span {
    Span {
        start: Timestamp::try_from_secs_f64(start).unwrap(),
        end: Timestamp::try_from_secs_f64(end).unwrap(),
    }
}

struct Recorded {
    dir: tempfile::TempDir,
    made: TestStream,
    recording: std::sync::Arc<Recording>,
    /// When the picture with the number 0 is shown: containers without negative times shift everything.
    zero: f64,
}

impl Recorded {
    async fn new(made: TestStream, container: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let input = made.kept(container);
        record(&input, recorder(&dir.path().join("rec"))).await.unwrap();
        // What another process would find on disk, not what this one remembers.
        let recording = Recording::open(dir.path().join("rec")).unwrap();
        let zero = if made.video == Video::None { 0.0 } else { reading::start(&input) };
        Self { dir, made, recording, zero }
    }

    fn cut(&self, span: Span, profile: Profile) -> (CutReport, ClipReading) {
        let path = self.dir.path().join("clip.mp4");
        let request = CutRequest { span, peak: None, profile };
        let report = cut(&Ffmpeg::default(), &self.recording, &request, None, &path).unwrap();
        assert!(!path.with_extension("mp4.tmp").exists());
        let read = reading::clip(&path, &self.made);
        (report, read)
    }
}

/// The first picture shown at or after `start`, and the last one shown before `end`.
fn wanted(made: &TestStream, start: f64, end: f64) -> (u32, u32) {
    let fps = f64::from(made.fps.0) / f64::from(made.fps.1);
    ((start * fps - 1e-6).ceil() as u32, (end * fps - 1e-6).ceil() as u32 - 1)
}

async fn exact_at(made: TestStream, container: &str, spans: &[(f64, f64)]) {
    let name = format!("{made:?} in {container}");
    let recorded = Recorded::new(made, container).await;
    for &(start, end) in spans {
        let (report, read) = recorded.cut(span(start, end), Profile::Exact);
        let (first, last) = wanted(&recorded.made, start - recorded.zero, end - recorded.zero);
        assert_eq!((read.first, read.last), (first, last), "{name}, {start}–{end}: {report:?}");
        assert_eq!((read.wrong, &*read.missing), (0, &[][..]), "{name}, {start}–{end}");
        assert!(report.exact, "{name}: {:?}", report.reasons);
        assert!(read.start.abs() < 1e-3, "the first picture is shown at {}", read.start);
        assert!(read.jitter_ms < 1.5, "{name}: pictures are shown up to {} ms off", read.jitter_ms);
        assert!(read.worst_av_ms() <= 2.0, "{name}, {start}–{end}: sound is off by {:?} ms", read.av_ms);
        let claimed = report.achieved;
        assert!(
            (claimed.start.as_secs_f64() - recorded.zero - recorded.made.time_of(first)).abs() < 2e-3,
            "{claimed:?}"
        );
        assert!(
            (claimed.end.as_secs_f64() - recorded.zero - recorded.made.time_of(last + 1)).abs() < 2e-3,
            "{claimed:?}"
        );
    }
}

/// Starts on keyframes, just after, just before, in the middle; ends inside the first GOP and later.
const SPANS: [(f64, f64); 8] = [
    (4.0, 9.0),
    (4.04, 9.5),
    (3.96, 8.02),
    (5.21, 5.9),
    (5.5, 12.3),
    (0.0, 3.0),
    (2.7, 19.9),
    (13.96, 16.04),
];

#[tokio::test]
async fn exact_cuts_are_exact_with_b_frames() {
    if require("exact_cuts_are_exact_with_b_frames", &["ffmpeg", "ffprobe"]) {
        exact_at(TestStream::default(), "mp4", &SPANS).await;
    }
}

#[tokio::test]
async fn exact_cuts_are_exact_at_odd_rates_and_shapes() {
    if require("exact_cuts_are_exact_at_odd_rates_and_shapes", &["ffmpeg", "ffprobe"]) {
        let ntsc = TestStream { fps: (30000, 1001), gop: 45, b_frames: 3, ..TestStream::default() };
        exact_at(ntsc, "mp4", &SPANS[..4]).await;
        let fast = TestStream { fps: (60, 1), pictures: 720, gop: 250, b_frames: 0, ..TestStream::default() };
        exact_at(fast, "mp4", &[(1.5, 4.0), (6.25, 11.0)]).await;
    }
}

#[tokio::test]
async fn exact_cuts_are_exact_in_millisecond_containers() {
    if require("exact_cuts_are_exact_in_millisecond_containers", &["ffmpeg", "ffprobe"]) {
        exact_at(TestStream::default(), "flv", &SPANS[..5]).await;
        exact_at(TestStream::default(), "mkv", &SPANS[..2]).await;
    }
}

#[tokio::test]
async fn open_gops_are_cut_exactly_too() {
    if require("open_gops_are_cut_exactly_too", &["ffmpeg", "ffprobe"]) {
        let made = TestStream { video: Video::H264OpenGop, ..TestStream::default() };
        exact_at(made, "mp4", &[(4.04, 9.5), (15.5, 18.0)]).await;
    }
}

#[tokio::test]
async fn other_codecs_are_encoded_anew_and_stay_exact() {
    let test = "other_codecs_are_encoded_anew_and_stay_exact";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    for (video, audio, encoder) in [
        (Video::Hevc, Audio::Opus, "libx265"),
        (Video::Av1, Audio::Aac, "libsvtav1"),
        (Video::H264, Audio::Mp3, "libmp3lame"),
    ] {
        if !ffmpeg_encodes(encoder) {
            skipped(test, &format!("this ffmpeg has no {encoder}"));
            continue;
        }
        let made = TestStream { video, audio, pictures: 240, ..TestStream::default() };
        let recorded = Recorded::new(made, "mp4").await;
        let (report, read) = recorded.cut(span(2.5, 5.5), Profile::Exact);
        assert_eq!((read.first, read.last, read.wrong), (75, 164, 0), "{video:?} {report:?}");
        assert!(report.codec.starts_with("avc1."), "{}", report.codec);
        assert!(read.worst_av_ms() <= 2.0, "{video:?} {audio:?}: {:?}", read.av_ms);
        if video != Video::H264 {
            assert!(report.reasons.iter().any(|r| r.contains("encoded anew")), "{:?}", report.reasons);
        }
    }
}

#[tokio::test]
async fn sound_alone_and_pictures_alone_can_be_cut() {
    if !require("sound_alone_and_pictures_alone_can_be_cut", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let silent = TestStream { audio: Audio::None, pictures: 240, ..TestStream::default() };
    exact_at(silent, "mp4", &[(2.5, 5.5)]).await;

    let dark = TestStream { video: Video::None, pictures: 300, ..TestStream::default() };
    let recorded = Recorded::new(dark, "m4a").await;
    let path = recorded.dir.path().join("sound.mp4");
    let request = CutRequest { span: span(2.5, 6.0), peak: None, profile: Profile::Exact };
    let report = cut(&Ffmpeg::default(), &recorded.recording, &request, None, &path).unwrap();
    assert_eq!((report.width, &*report.codec), (0, "mp4a.40.2"));
    let heard = reading::sound(&path).len() as f64 / f64::from(crate::support::melody::RATE as u32);
    assert!((heard - 3.5).abs() < 0.03, "{heard} s are heard");
}

#[tokio::test]
async fn keyframe_cuts_start_early_and_say_so() {
    if require("keyframe_cuts_start_early_and_say_so", &["ffmpeg", "ffprobe"]) {
        let recorded = Recorded::new(TestStream { pictures: 360, ..TestStream::default() }, "mp4").await;
        let (report, read) = recorded.cut(span(5.0, 8.0), Profile::Keyframe);
        assert_eq!((read.first, read.last), (120, 239));
        assert!(!report.exact);
        assert!(report.reasons.iter().any(|r| r.contains("starts 1.000 s early")), "{:?}", report.reasons);
        assert!(read.worst_av_ms() <= 2.0, "{:?}", read.av_ms);
    }
}

#[tokio::test]
async fn a_clip_that_reaches_past_the_recording_says_what_is_missing() {
    if require("a_clip_that_reaches_past_the_recording_says_what_is_missing", &["ffmpeg", "ffprobe"]) {
        let recorded = Recorded::new(TestStream { pictures: 240, ..TestStream::default() }, "mp4").await;
        let (report, read) = recorded.cut(span(5.0, 11.0), Profile::Exact);
        assert_eq!((read.first, read.last), (150, 239));
        assert!(
            !report.exact && report.reasons[0].contains("the recording ends there"),
            "{:?}",
            report.reasons
        );
        let path = recorded.dir.path().join("none.mp4");
        let request = CutRequest { span: span(50.0, 60.0), peak: None, profile: Profile::Exact };
        let error = cut(&Ffmpeg::default(), &recorded.recording, &request, None, &path).unwrap_err();
        assert!(error.to_string().contains("nothing is recorded between 50.000 s and 60.000 s"), "{error}");
        assert!(!Path::new(&path).exists());
    }
}

#[tokio::test]
async fn a_file_that_was_joined_from_parts_is_recorded_whole() {
    if !require("a_file_that_was_joined_from_parts_is_recorded_whole", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let part = |first| TestStream { first, pictures: 180, size: (320, 180), ..TestStream::default() };
    let parts = [0, 180].map(|first| std::fs::read(part(first).kept("ts")).unwrap());
    let input = dir.path().join("joined.ts");
    std::fs::write(&input, parts.concat()).unwrap();
    record(&input, recorder(&dir.path().join("rec"))).await.unwrap();
    let once = Recording::open(dir.path().join("rec")).unwrap().stats();
    record(&input, recorder(&dir.path().join("rec"))).await.unwrap();
    let recording = Recording::open(dir.path().join("rec")).unwrap();
    assert_eq!(recording.stats().bytes, once.bytes, "what is recorded is recorded again after a restart");
    let path = dir.path().join("clip.mp4");
    let whole = recording.span().unwrap();
    let (start, length) = (whole.start.as_secs_f64(), whole.secs());
    assert!((11.9..12.1).contains(&length), "{length} s are recorded of twice six");
    // Before the joint and behind it; at 6 s and 21 ms the second part begins.
    for (from, to, first, last) in [(0.5, 5.0, 15, 149), (7.0, 11.5, 210, 344)] {
        let request =
            CutRequest { span: span(start + from, start + to), peak: None, profile: Profile::Exact };
        let report = cut(&Ffmpeg::default(), &recording, &request, None, &path).unwrap();
        let read = reading::clip(&path, &part(0));
        assert_eq!((read.first, read.last, report.exact), (first, last, true), "{report:?} {read:?}");
        assert!(read.missing.is_empty() && read.wrong == 0 && read.worst_av_ms() <= 2.0, "{read:?}");
    }
}
