//! A clip plays in a real browser: Chromium shows the frames that were asked for, from the first to the last.

mod server;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::programs::{find, require, run, skipped};
use crate::support::stream::TestStream;
use serde_json::Value;
use server::Server;

/// Reports what a viewer would see, as JSON: the size and duration that the browser believes in, and at each instant it
/// seeks to, the grey value in the middle of each cell of the barcode.
const PAGE: &str = include_str!("page.html");
const PATIENCE: Duration = Duration::from_secs(90);

/// Chromium, ended when the test is over.
struct Browser(Child);

impl Browser {
    fn open(url: &str, profile: &Path) -> Self {
        let mut command = Command::new(chromium().unwrap());
        command
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-default-apps", "--disable-extensions", "--disable-dev-shm-usage"])
            .args(["--autoplay-policy=no-user-gesture-required", "--mute-audio"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(url);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked kindly, it ends its own children too.
        crate::support::publisher::signal(self.0.id(), "TERM");
        for _ in 0..100 {
            if self.0.try_wait().is_ok_and(|s| s.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn chromium() -> Option<std::path::PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| find(name))
}

/// What the page saw of the clip.
fn shown(clip: &Path, profile: &Path) -> Value {
    let server = Server::start(PAGE, std::fs::read(clip).unwrap());
    let _browser = Browser::open(&server.url(), profile);
    let report = server.report(PATIENCE).expect("the page reports");
    serde_json::from_str(&report).unwrap_or_else(|e| panic!("{e}: {report}"))
}

fn number(frame: &Value) -> Option<u32> {
    let cells: Vec<u8> = frame["cells"].as_array()?.iter().map(|c| c.as_f64().unwrap() as u8).collect();
    // The page samples the middle of each cell; as a picture of 16 × 2 cells that is what the barcode reader takes.
    let (cell, columns) = (8, 16);
    let mut picture = vec![0; columns * cell * 8 * cell];
    for (i, value) in cells.iter().enumerate() {
        let (row, column) = (i / columns, i % columns);
        for y in row * cell..(row + 1) * cell {
            picture[y * columns * cell + column * cell..][..cell].fill(*value);
        }
    }
    crate::support::barcode::read(&picture, columns * cell, 8 * cell)
}

#[test]
fn an_exact_clip_plays_in_chromium_from_the_frame_asked_for() {
    let test = "an_exact_clip_plays_in_chromium_from_the_frame_asked_for";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    if chromium().is_none() {
        return skipped(test, "chromium is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let stream = TestStream { pictures: 420, ..TestStream::default() };
    stream.write(&dir.path().join("show.mp4"));
    let clipcore = |args: &[&str]| {
        run(Command::new(env!("CARGO_BIN_EXE_clipcore")).current_dir(dir.path()).args(args));
    };
    clipcore(&["run", "show.mp4", "--out", "out", "--quiet"]);
    // In the middle of a GOP, over two keyframes; on a keyframe; inside one GOP.
    for (i, (from, to, first, last)) in
        [("3.5", "9.0", 105, 269), ("4.0", "8.0", 120, 239), ("6.3", "7.1", 189, 212)].into_iter().enumerate()
    {
        let name = format!("clip{i}.mp4");
        clipcore(&["cut", "out", "--from", from, "--to", to, "--exact", "-o", &name]);
        let seen = shown(&dir.path().join(&name), &dir.path().join(format!("profile{i}")));
        assert_eq!(seen["error"], Value::Null, "{seen}");
        let secs = f64::from(last + 1 - first) / 30.0;
        let duration = seen["duration"].as_f64().unwrap();
        assert!((duration - secs).abs() < 0.05, "{name} lasts {duration} s instead of {secs}");
        assert_eq!((&seen["width"], &seen["height"]), (&640.into(), &360.into()));
        let frames = seen["frames"].as_array().unwrap();
        assert_eq!(number(&seen["before"]), Some(first), "{name}: the frame shown before anything is played");
        for frame in frames {
            let at = frame["at"].as_f64().unwrap();
            let expected = (first + (at * 30.0) as u32).min(last);
            assert_eq!(number(frame), Some(expected), "{name} at {at} s: {frame}");
        }
        assert_eq!(number(frames.last().unwrap()), Some(last), "{name}: the last frame");
        assert!(frames.len() > 4, "{seen}");
        let played = seen["played"].as_f64().unwrap();
        assert!(played > 0.2, "{name} does not play: {played}");
    }
}
