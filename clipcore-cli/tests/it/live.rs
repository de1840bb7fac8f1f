//! Live inputs, driven through the program as a person runs it: real servers, real failures.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use crate::program::{
    Clipcore, assert_nothing_pending, assert_nothing_twice, assert_replays, markers, ready,
};
use crate::program::{file, reasons, secs};
use crate::support::programs::{require, run, skipped};
use crate::support::publisher::{Publisher, signal};
use crate::support::reading::{self, ClipReading};
use crate::support::relay::Relay;
use crate::support::rtsp::RtspServer;
use crate::support::server::free_port;
use crate::support::stream::TestStream;
use crate::{program, web};
use clipcore::recorder::Recording;
use serde_json::Value;

/// Publishers over RTMP round to milliseconds, a player to its time base.
const ROUNDING: f64 = 0.0015;

/// 50 s with B-pictures. Moments lie late enough in it that a busy machine has connected before their clips begin.
fn stream() -> (&'static TestStream, &'static Path) {
    static MADE: OnceLock<(TestStream, PathBuf)> = OnceLock::new();
    let (made, path) = MADE.get_or_init(|| {
        let made = TestStream { size: (320, 180), pictures: 50 * 30, ..TestStream::default() };
        let path = made.kept("mp4");
        (made, path)
    });
    (made, path)
}

/// A relay with a publisher, and an empty output folder.
fn published(test: &str) -> Option<(Relay, Publisher, tempfile::TempDir)> {
    if !require(test, &["ffprobe"]) {
        return None;
    }
    let relay = Relay::start(test)?;
    let publisher = Publisher::start(stream().1, &relay.url("show"));
    Some((relay, publisher, tempfile::tempdir().unwrap()))
}

/// What the relay adds to a picture's time, as another subscriber sees it.
fn relay_offset(relay: &Relay, dir: &Path) -> f64 {
    let path = dir.join("subscriber.mkv");
    let mut copy = Command::new("ffmpeg");
    copy.args(["-v", "error", "-nostdin", "-copyts", "-i", &relay.url("show"), "-map", "0:v", "-c", "copy"]);
    run(copy.args(["-frames:v", "30"]).arg(&path));
    let first = reading::pictures(&path)[0];
    first.pts - stream().0.time_of(first.number.expect("a whole picture"))
}

/// A clip shows every picture that was asked for and no other, with its sound.
fn assert_exact(out: &Path, clip: &Value, offset: f64) -> ClipReading {
    let (made, _) = stream();
    let read = reading::clip(&file(out, clip), made);
    let at = |n: u32| ((offset + made.time_of(n)) * 1000.0).round() / 1000.0;
    let first = (0..).find(|n| at(*n) >= secs(clip, "asked", "start") - 0.002).unwrap();
    let last = (0..).find(|n| at(*n) >= secs(clip, "asked", "end") - 0.002).unwrap() - 1;
    assert_eq!((read.first, read.last), (first, last), "{clip}");
    assert_eq!(clip["exact"], true, "{clip}");
    assert_whole(out, clip, offset);
    read
}

/// A clip shows the pictures of its achieved bounds, none missing, none twice, with its sound.
fn assert_whole(out: &Path, clip: &Value, offset: f64) -> ClipReading {
    let (made, _) = stream();
    let read = reading::clip(&file(out, clip), made);
    let (start, end) = (secs(clip, "achieved", "start"), secs(clip, "achieved", "end"));
    assert!(
        (start - offset - made.time_of(read.first)).abs() < ROUNDING,
        "starts elsewhere: {clip} {read:?}"
    );
    assert!((end - offset - made.time_of(read.last + 1)).abs() < ROUNDING, "ends elsewhere: {clip} {read:?}");
    assert!(read.missing.is_empty() && read.wrong == 0, "{clip} {read:?}");
    assert!(read.jitter_ms < 1.5 && read.worst_av_ms() <= 2.0, "{clip} {read:?}");
    read
}

fn recorded(out: &Path) -> std::sync::Arc<Recording> {
    Recording::open(program::recording(out)).unwrap()
}

#[test]
fn a_relayed_stream_is_clipped_to_the_frame() {
    let test = "a_relayed_stream_is_clipped_to_the_frame";
    let Some((relay, _publisher, dir)) = published(test) else { return };
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[19.0, 27.0, 36.0]));
    let mut program = Clipcore::start(&relay.url("show"), &out, Some(&chat), &[]);
    program.until_recorded(1.0);
    let offset = relay_offset(&relay, dir.path());
    println!("the publisher's FLV shifts every picture by {:.0} ms", offset * 1000.0);
    program.until_ready(2);
    // The third moment has closed when its clip is pending: the interrupt may meet it anywhere in its life.
    program.until_recorded(44.5);
    assert_eq!(program.interrupt(), Some(130));

    assert_nothing_pending(&out);
    assert_nothing_twice(&out);
    assert_replays(&out);
    for clip in ready(&out) {
        let read = assert_exact(&out, &clip, offset);
        println!("{}–{}: sound at most {:.2} ms off", read.first, read.last, read.worst_av_ms());
    }
    assert!(
        recorded(&out).newest_info().unwrap().wall_zero.is_some(),
        "live media has a place in civil time"
    );
}

#[test]
fn a_frozen_publisher_loses_nothing() {
    let Some((relay, publisher, dir)) = published("a_frozen_publisher_loses_nothing") else { return };
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[20.0]));
    let mut program = Clipcore::start(&relay.url("show"), &out, Some(&chat), &[]);
    program.until_recorded(1.0);
    let offset = relay_offset(&relay, dir.path());
    program.until_recorded(10.0);
    publisher.freeze();
    sleep(Duration::from_secs(6));
    publisher.thaw();
    program.until_ready(1);
    let said = program.said();
    assert_eq!(program.interrupt(), Some(130));
    assert!(!said.contains("lost"), "{said}");
    assert_exact(&out, &ready(&out)[0], offset);
    assert_replays(&out);
}

#[test]
fn a_publisher_that_starts_anew_goes_on_in_a_new_epoch() {
    let Some((relay, mut publisher, dir)) = published("a_publisher_that_starts_anew_goes_on_in_a_new_epoch")
    else {
        return;
    };
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[12.5, 23.0]));
    let mut program = Clipcore::start(&relay.url("show"), &out, Some(&chat), &[]);
    program.until_recorded(1.0);
    let offset = relay_offset(&relay, dir.path());
    program.until_recorded(13.0);
    publisher.kill();
    sleep(Duration::from_secs(1));
    publisher.restart(20.0);
    program.until_ready(2);
    let said = program.said();
    assert_eq!(program.interrupt(), Some(130));

    let clips = ready(&out);
    let (before, after) = (&clips[0], &clips[1]);
    assert!(reasons(before).contains("a gap in the recording begins there"), "{before}");
    assert!(reasons(after).contains("a gap in the recording ends there"), "{after}");
    for clip in &clips {
        assert_eq!(clip["exact"], false, "{clip}");
    }
    let old = assert_whole(&out, before, offset);
    assert!(old.last < 600, "{old:?}");
    // The second part begins at one of the keyframes that were sent again, wherever that comes to lie.
    let first = reading::clip(&file(&out, after), stream().0).first;
    assert!(first >= 600 && first.is_multiple_of(60), "{first}");
    let moved = secs(after, "achieved", "start") - stream().0.time_of(first);
    assert_whole(&out, after, moved);
    assert!(secs(after, "achieved", "start") > secs(before, "achieved", "end"), "stream time went back");
    assert_eq!(recorded(&out).newest_info().unwrap().epoch, 1);
    assert!(said.contains("the publisher's timestamps began anew"), "{said}");
    assert_replays(&out);
}

#[test]
fn a_reader_that_dies_is_started_again() {
    let Some((relay, _publisher, dir)) = published("a_reader_that_dies_is_started_again") else { return };
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[15.0]));
    let mut program = Clipcore::start(&relay.url("show"), &out, Some(&chat), &[]);
    program.until_recorded(1.0);
    let offset = relay_offset(&relay, dir.path());
    program.until_recorded(8.0);
    let first = program.ingest().expect("ffmpeg reads the input");
    signal(first, "KILL");
    program.until("another ffmpeg", |p| p.ingest().is_some_and(|pid| pid != first));
    program.until_ready(1);
    let said = program.said();
    assert_eq!(program.interrupt(), Some(130));

    let clip = &ready(&out)[0];
    assert!(reasons(clip).contains("a gap in the recording ends there"), "{clip}");
    let read = assert_whole(&out, clip, offset);
    assert!(offset + stream().0.time_of(read.first) < 15.0, "the marker is in the clip: {read:?}");
    let newest = recorded(&out).newest_info().unwrap();
    assert_eq!((newest.epoch, newest.session), (0, 1), "timestamps go on, so it is the same epoch");
    assert!(said.contains("connection lost") && said.contains("connected again"), "{said}");
    assert_replays(&out);
}

#[test]
fn a_relay_that_comes_back_is_found_again() {
    let Some((mut relay, mut publisher, dir)) = published("a_relay_that_comes_back_is_found_again") else {
        return;
    };
    let out = dir.path().join("out");
    let mut program = Clipcore::start(&relay.url("show"), &out, None, &[]);
    program.until_recorded(5.0);
    relay.stop();
    program.until("the loss", |p| p.said().contains("connection lost"));
    sleep(Duration::from_secs(1));
    relay.resume();
    publisher.restart(0.0);
    program.until("the return", |p| p.said().contains("connected again"));
    let reached = program::recorded_until(&out).unwrap();
    program.until_recorded(reached + 3.0);
    assert_eq!(program.interrupt(), Some(130));
    let newest = recorded(&out).newest_info().unwrap();
    assert_eq!((newest.epoch, newest.session), (1, 1));
}

#[test]
fn a_playlist_over_http_is_clipped_to_its_end() {
    let test = "a_playlist_over_http_is_clipped_to_its_end";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site");
    std::fs::create_dir(&site).unwrap();
    let mut pack = Command::new("ffmpeg");
    pack.args(["-v", "error", "-i"]).arg(stream().1).args(["-c", "copy", "-f", "hls", "-hls_time", "2"]);
    run(pack.args(["-hls_playlist_type", "vod"]).arg(site.join("index.m3u8")));
    let url = format!("http://127.0.0.1:{}/index.m3u8", web::serve(site));
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[20.0, 32.0]));
    let mut program = Clipcore::start(&url, &out, Some(&chat), &[("CLIPCORE__DETECTORS__OFF", "[]")]);
    assert_eq!(program.wait().code(), Some(0), "{}", program.said());
    assert!(!program.said().contains("fell behind"), "{}", program.said());
    let clips = ready(&out);
    assert_eq!(clips.len(), 2, "{}", program.said());
    // MPEG-TS begins where its muxer likes; a clip's own bounds say where.
    let read = reading::clip(&file(&out, &clips[0]), stream().0);
    let offset = secs(&clips[0], "achieved", "start") - stream().0.time_of(read.first);
    for clip in &clips {
        assert_exact(&out, clip, offset);
    }
    assert_eq!(program::lines(&out.join("moments.jsonl")).last().unwrap()["state"], "closed");
}

/// An SRT server that sends the stream to one caller.
fn srt_server(port: u16) -> Child {
    let mut serve = Command::new("ffmpeg");
    serve.args(["-v", "error", "-nostdin", "-re", "-i"]).arg(stream().1).args(["-c", "copy", "-f", "mpegts"]);
    serve.arg(format!("srt://127.0.0.1:{port}?mode=listener"));
    serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ffmpeg starts")
}

#[test]
fn an_srt_stream_is_clipped_to_the_frame() {
    let test = "an_srt_stream_is_clipped_to_the_frame";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let known = run(Command::new("ffmpeg").args(["-v", "error", "-protocols"]));
    if !String::from_utf8_lossy(&known).lines().any(|line| line.trim() == "srt") {
        return skipped(test, "this ffmpeg knows no srt");
    }
    let dir = tempfile::tempdir().unwrap();
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[16.0]));
    let port = free_port();
    let mut server = srt_server(port);
    let mut program = Clipcore::start(&format!("srt://127.0.0.1:{port}"), &out, Some(&chat), &[]);
    program.until_ready(1);
    assert_eq!(program.interrupt(), Some(130));
    let _ = server.kill();
    let _ = server.wait();
    let clip = &ready(&out)[0];
    let read = reading::clip(&file(&out, clip), stream().0);
    let offset = secs(clip, "achieved", "start") - stream().0.time_of(read.first);
    assert_exact(&out, clip, offset);
    assert_replays(&out);
}

#[test]
fn an_rtsp_stream_is_clipped_to_the_frame_and_found_again() {
    let test = "an_rtsp_stream_is_clipped_to_the_frame_and_found_again";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let Some(mut server) = RtspServer::start(test, stream().1) else { return };
    let dir = tempfile::tempdir().unwrap();
    // The first clip begins with the first picture of the connection, whose time RTSP clients easily lose.
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[1.0, 18.0]));
    let mut program = Clipcore::start(&server.url(), &out, Some(&chat), &[]);
    program.until_ready(2);
    server.stop();
    program.until("the loss", |p| p.said().contains("connection lost"));
    let lost = program::recorded_until(&out).unwrap();
    sleep(Duration::from_secs(1));
    server.resume();
    program.until("the return", |p| p.said().contains("connected again"));
    program.until_recorded(lost + 12.0);
    let said = program.said();
    assert_eq!(program.interrupt(), Some(130));
    assert!(said.contains("the publisher's timestamps began anew"), "{said}");

    let clips = ready(&out);
    let read = assert_whole(&out, &clips[0], 0.0);
    assert_eq!(read.first, 0, "{read:?}");
    let read = assert_exact(&out, &clips[1], 0.0);
    println!("{}–{}: sound at most {:.2} ms off", read.first, read.last, read.worst_av_ms());
    let newest = recorded(&out).newest_info().unwrap();
    assert_eq!((newest.epoch, newest.session), (1, 1));
    assert_replays(&out);

    // What came after the loss begins with the file's first picture, at its place behind the gap.
    let cut = dir.path().join("after.mp4");
    let span = recorded(&out).span().unwrap().end.as_secs_f64();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
    command.arg("cut").arg(&out).args(["--stream", program::STREAM, "--exact"]);
    command.args(["--from", &format!("{:.3}", span - 4.0), "--to", &format!("{:.3}", span - 1.0), "-o"]);
    run(command.arg(&cut));
    let read = reading::clip(&cut, stream().0);
    assert!(read.missing.is_empty() && read.wrong == 0 && read.worst_av_ms() <= 2.0, "{read:?}");
    assert!((89..=91).contains(&read.pictures), "{read:?}");
}
