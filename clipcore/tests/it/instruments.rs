//! The measuring instruments themselves: they must find the errors that they are there to find.

use std::process::Command;
use std::time::Duration;

use crate::support::browser;
use crate::support::programs::{ffmpeg_encodes, require, run, skipped};
use crate::support::publisher::Publisher;
use crate::support::reading;
use crate::support::relay::Relay;
use crate::support::stream::{Audio, TestStream, Video};

#[test]
fn a_stream_reads_back_whole_and_in_sync() {
    if !require("a_stream_reads_back_whole_and_in_sync", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let stream = TestStream { pictures: 150, first: 1000, ..TestStream::default() };
    let file = dir.path().join("whole.mp4");
    stream.write(&file);
    let clip = reading::clip(&file, &stream);
    assert_eq!((clip.first, clip.last, clip.pictures), (1000, 1149, 150));
    assert!(clip.missing.is_empty() && clip.wrong == 0, "{clip:?}");
    assert!(clip.jitter_ms < 0.1 && clip.worst_av_ms() < 0.5, "{clip:?}");
    let keys = reading::keyframes(&file);
    assert_eq!(keys.len(), 3, "{keys:?}");
}

#[test]
fn a_late_sound_and_a_lost_picture_are_seen() {
    if !require("a_late_sound_and_a_lost_picture_are_seen", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let stream = TestStream {
        pictures: 120,
        extra: ["-vf", "select='not(eq(n,50))'", "-fps_mode", "passthrough"].map(str::to_owned).into(),
        ..TestStream::default()
    };
    let whole = dir.path().join("whole.mp4");
    stream.write(&whole);
    let late = dir.path().join("late.mp4");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&whole)
        .args(["-itsoffset", "0.035", "-i"])
        .arg(&whole)
        .args(["-map", "0:v", "-map", "1:a", "-c", "copy"])
        .arg(&late));
    let clip = reading::clip(&late, &stream);
    assert_eq!(clip.missing, [50]);
    // MP4's edit lists count whole milliseconds here.
    assert!(clip.av_ms.iter().all(|ms| (ms - 35.0).abs() < 1.0), "{clip:?}");
}

#[test]
fn the_streams_have_the_structure_that_was_asked_for() {
    if !require("the_streams_have_the_structure_that_was_asked_for", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let probe = |name: &str, entries: &str| {
        let file = dir.path().join(name);
        let mut probe = Command::new("ffprobe");
        probe.args(["-v", "error", "-select_streams", "v", "-show_entries", entries, "-of", "csv=p=0"]);
        String::from_utf8(run(probe.arg(file))).unwrap()
    };
    let stream = TestStream { size: (320, 180), pictures: 90, gop: 30, ..TestStream::default() };
    stream.write(&dir.path().join("b.mp4"));
    let types = probe("b.mp4", "frame=pict_type").replace([',', '\n'], "");
    assert!(types.starts_with('I') && types.matches("BBP").count() > 20, "{types}");

    let open = TestStream { video: Video::H264OpenGop, audio: Audio::None, ..stream.clone() };
    open.write(&dir.path().join("open.mp4"));
    let types = probe("open.mp4", "frame=pict_type").replace([',', '\n'], "");
    assert!(types.contains("BBI"), "no picture leads a keyframe: {types}");

    let sound = TestStream { video: Video::None, ..stream };
    sound.write(&dir.path().join("sound.mp4"));
    assert_eq!(probe("sound.mp4", "stream=codec_name"), "");
}

#[test]
fn other_codecs_and_containers_read_back() {
    if !require("other_codecs_and_containers_read_back", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, encoder, video, audio) in [
        ("h264.ts", "libx264", Video::H264, Audio::Aac),
        ("h264.flv", "libx264", Video::H264, Audio::Aac),
        ("hevc.mp4", "libx265", Video::Hevc, Audio::Aac),
        ("av1.mp4", "libsvtav1", Video::Av1, Audio::Opus),
    ] {
        if !ffmpeg_encodes(encoder) {
            skipped("other_codecs_and_containers_read_back", &format!("this ffmpeg has no {encoder}"));
            continue;
        }
        let stream = TestStream {
            size: (320, 180),
            fps: (30_000, 1001),
            pictures: 60,
            video,
            audio,
            ..TestStream::default()
        };
        let file = dir.path().join(name);
        stream.write(&file);
        let clip = reading::clip(&file, &stream);
        assert_eq!((clip.first, clip.last, clip.wrong), (0, 59, 0), "{name}: {clip:?}");
        assert!(clip.missing.is_empty(), "{name}: {clip:?}");
        // FLV counts whole milliseconds.
        assert!(clip.jitter_ms < 1.1 && clip.worst_av_ms() < 1.5, "{name}: {clip:?}");
    }
}

#[test]
fn the_relay_passes_a_stream_on_and_its_publisher_can_be_frozen_and_restarted() {
    let test = "the_relay_passes_a_stream_on_and_its_publisher_can_be_frozen_and_restarted";
    let Some(mut relay) = Relay::start(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let stream = TestStream { size: (320, 180), pictures: 360, gop: 30, ..TestStream::default() };
    let file = dir.path().join("stream.mp4");
    stream.write(&file);

    let record = |name: &str, secs: &str, url: &str| {
        let out = dir.path().join(name);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-rw_timeout", "8000000", "-i", url, "-t", secs, "-c", "copy"]);
        run(ffmpeg.arg(&out));
        reading::clip(&out, &stream)
    };
    let mut publisher = Publisher::start(&file, &relay.url("s"));
    std::thread::sleep(Duration::from_millis(1500));
    let clip = record("first.mkv", "2", &relay.url("s"));
    // `-t` cuts in decode order, which loses B-pictures at the very end.
    assert!(clip.missing.iter().all(|&n| n + 3 >= clip.last) && clip.wrong == 0, "{clip:?}");
    assert!(clip.pictures > 40 && clip.worst_av_ms() < 2.0, "{clip:?}");

    publisher.freeze();
    std::thread::sleep(Duration::from_millis(500));
    publisher.thaw();
    publisher.restart(6.0);
    std::thread::sleep(Duration::from_millis(1500));
    let again = record("again.mkv", "2", &relay.url("s"));
    assert!(again.first >= 180, "the restarted publisher sends from 6 s on: {again:?}");

    relay.stop();
    publisher.restart(0.0);
    assert!(!publisher.wait().success(), "there is nobody to publish to");
    relay.resume();
    publisher.restart(0.0);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(record("back.mkv", "2", &relay.url("s")).pictures > 10);
}

#[test]
fn chromium_shows_every_stream_from_its_first_to_its_last_picture() {
    let test = "chromium_shows_every_stream_from_its_first_to_its_last_picture";
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let stream = TestStream { size: (320, 180), pictures: 75, first: 500, gop: 30, ..TestStream::default() };
    let file = dir.path().join("clip.mp4");
    stream.write(&file);
    let Some(playback) = browser::play(test, &file) else { return };
    assert_eq!((playback.error.as_deref(), playback.ended), (None, true), "{playback:?}");
    assert_eq!((playback.first, playback.last), (Some(500), Some(574)), "{playback:?}");
    assert!((playback.duration - stream.secs()).abs() < 0.1, "{playback:?}");
    assert!(playback.shown > 5, "{playback:?}");

    // A file that is no video is an error that the player says.
    std::fs::write(&file, b"this is no clip").unwrap();
    let Some(broken) = browser::play(test, &file) else { return };
    assert!(broken.error.is_some() && !broken.ended, "{broken:?}");
}
