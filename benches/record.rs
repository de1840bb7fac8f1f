//! What recording costs, in % of one core, beside `ffmpeg -c copy` on the same streams at the same time.
//!
//!     cargo bench -p clipcore-benches --bench record [-- one many keyframes]
//!
//! ffmpeg sends a file in real time to a relay (nginx with its RTMP module); clipcore, as one process for all streams,
//! and some ffmpeg beside it play the same streams. `RECORD_SECS` is how long is measured, `RECORD_MANY` and `RECORD_KEYFRAMES`
//! how many streams there are.

#![allow(clippy::disallowed_methods, reason = "a bench measures elapsed time")]
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clipcore::detector::{Detector, DetectorInfo, Loudness, Output};
use clipcore::event::Stamped;
use clipcore::event::media::VideoFrame;
use clipcore::recorder::{Recorder, RecorderConfig};
use clipcore::source::media::{Input, MediaSource};
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, StreamId, Timestamp};
use common::cpu::{self, Usage};
use common::support::relay::Relay;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What is looked at beside recording.
const TAPS: [(&str, &str); 3] =
    [("record", "record"), ("a", "record + loudness"), ("ak", "record + loudness + keyframes")];
const MIB: f64 = 1024.0 * 1024.0;
/// Between one start and the next.
const STAGGER: Duration = Duration::from_millis(100);
/// Connections are made, probing has ended, the first keyframes are there.
const SETTLE: Duration = Duration::from_secs(14);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "--child") {
        return child(&args[1..]);
    }
    if !common::wanted() {
        return;
    }
    let wants = |name: &str| args.is_empty() || args.iter().any(|a| a == name);
    let secs = common::size("RECORD_SECS", 60);
    println!("{}; {secs} s measured\n", cpu::machine());
    common::head(&[
        "streams",
        "what",
        "processes",
        "% of a core a stream",
        "of it ffmpeg",
        "× `-c copy`",
        "MiB a stream",
        "of it ffmpeg",
        "kept up",
    ]);
    if wants("one") {
        case(1, &["record", "a", "ak"], &["segment", "parts", "hls"], secs);
    }
    if wants("many") {
        case(common::size("RECORD_MANY", 40), &["a"], &["segment"], secs);
    }
    if wants("keyframes") {
        case(common::size("RECORD_KEYFRAMES", 16), &["ak"], &["segment"], secs);
    }
}

/// Streams that ffmpeg records beside ours, where there are many.
const PEERS: usize = 4;

fn case(streams: usize, ours: &[&str], peers: &[&str], secs: usize) {
    let source = common::source::file();
    let Some(relay) = Relay::start("record") else { return };
    let dir = tempfile::tempdir_in(common::source::dir()).unwrap();
    let urls: Vec<String> = (0..streams).map(|i| relay.url(&format!("s{i}"))).collect();
    let mut publishers = Children::default();
    for url in &urls {
        let mut command = ffmpeg();
        command.arg("-re").arg("-i").arg(&source).args(["-c", "copy", "-f", "flv", "-flvflags"]);
        publishers.start(command.args(["no_duration_filesize", url]));
        sleep(STAGGER);
    }
    sleep(Duration::from_millis(500));
    let mut recorders: Vec<Ours> =
        ours.iter().map(|taps| Ours::start(taps, &dir.path().join(taps), &urls)).collect();
    let copied: Vec<&String> = urls.iter().take(if streams > 1 { PEERS } else { 1 }).collect();
    let mut copies: Vec<Children> = Vec::new();
    for format in peers {
        let mut group = Children::default();
        for (i, url) in copied.iter().enumerate() {
            let to = dir.path().join(format!("{format}-{i}"));
            std::fs::create_dir(&to).unwrap();
            group.start(&mut copy(url, format, &to));
        }
        copies.push(group);
    }
    sleep(SETTLE + STAGGER * streams as u32);

    let nginx = cpu::child_named("nginx").unwrap();
    let snapshot = |recorders: &mut [Ours]| -> Vec<Usage> {
        let running = recorders.iter().map(|r| cpu::tree(r.process.id()));
        let copies = copies.iter().map(Children::usage);
        running.chain(copies).chain([publishers.usage(), cpu::tree(nginx)]).collect()
    };
    let begun = Instant::now();
    let reached: Vec<Value> = recorders.iter_mut().map(Ours::mark).collect();
    let before = snapshot(&mut recorders);
    sleep(Duration::from_secs(secs as u64));
    let marks: Vec<Value> = recorders.iter_mut().map(Ours::mark).collect();
    let after = snapshot(&mut recorders);
    let elapsed = begun.elapsed().as_secs_f64();
    let ends: Vec<Value> = recorders.into_iter().map(Ours::end).collect();
    drop(publishers);

    let used = |i: usize| {
        let (a, b) = (before[i], after[i]);
        ((b.root - a.root) / elapsed * 100.0, (b.below - a.below) / elapsed * 100.0)
    };
    let n = streams as f64;
    let first_copy = used(ours.len());
    let baseline = (first_copy.0 + first_copy.1) / copied.len() as f64;
    for (i, taps) in ours.iter().enumerate() {
        let (own, ffmpeg) = used(i);
        let name = TAPS.iter().find(|(key, _)| key == taps).map_or("?", |(_, name)| name);
        let memory = (after[i].root_bytes + after[i].below_bytes) as f64 / MIB / n;
        common::row(&[
            streams.to_string(),
            format!("clipcore: {name}"),
            format!("1 + {streams} ffmpeg"),
            format!("{:.2}", (own + ffmpeg) / n),
            format!("{:.2}", ffmpeg / n),
            format!("{:.2}", (own + ffmpeg) / n / baseline),
            format!("{memory:.1}"),
            format!("{:.1}", after[i].below_bytes as f64 / MIB / n),
            kept_up(&reached[i], &marks[i], &ends[i]),
        ]);
    }
    let rest: [(&str, usize); 2] = [("publishers (ffmpeg -re)", streams), ("nginx", 1)];
    let copy_rows = peers.iter().map(|p| (*p, copied.len()));
    for (k, (name, count)) in copy_rows.chain(rest).enumerate() {
        let i = ours.len() + k;
        let per = if name == "nginx" { n } else { count as f64 };
        let (own, below) = used(i);
        common::row(&[
            streams.to_string(),
            if k < peers.len() {
                format!("`ffmpeg -c copy`, {}", format_name(name))
            } else {
                name.to_owned()
            },
            count.to_string(),
            format!("{:.2}", (own + below) / per),
            String::new(),
            if k < peers.len() { format!("{:.2}", (own + below) / per / baseline) } else { String::new() },
            format!("{:.1}", (after[i].root_bytes + after[i].below_bytes) as f64 / MIB / per),
            String::new(),
            String::new(),
        ]);
    }
}

/// Seconds recorded a second, what was dropped on the way to the detectors, and how far they were behind.
fn kept_up(before: &Value, after: &Value, end: &Value) -> String {
    let list = |v: &Value, key: &str| -> Vec<f64> {
        v.as_array().unwrap().iter().map(|s| s[key].as_f64().unwrap_or(0.0)).collect()
    };
    let elapsed = list(after, "clock")[0] - list(before, "clock")[0];
    let grown: Vec<f64> = list(after, "recorded")
        .iter()
        .zip(list(before, "recorded"))
        .map(|(b, a)| (b - a) / elapsed)
        .collect();
    let slowest = grown.iter().copied().fold(f64::INFINITY, f64::min);
    let lag = list(after, "lag").into_iter().fold(0.0, f64::max);
    let shown: f64 = list(end, "frames").iter().sum();
    let notices: Vec<&str> = end
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|s| s["notices"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    let notes = match notices.first() {
        None => "nothing lost or dropped".to_owned(),
        Some(first) => format!("{} notices, the first: {first}", notices.len()),
    };
    let frames = if shown > 0.0 { format!(", {shown} frames shown") } else { String::new() };
    format!("slowest {slowest:.3} s/s, detectors ≤ {lag:.2} s behind{frames}, {notes}")
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    command
}

fn copy(url: &str, format: &str, to: &Path) -> Command {
    let mut command = ffmpeg();
    command.args(["-rtmp_live", "live", "-rw_timeout", "8000000", "-analyzeduration", "5000000"]);
    command.args(["-probesize", "5000000", "-i", url, "-map", "0:v:0", "-map", "0:a:0", "-c", "copy"]);
    let fragments = match format {
        "parts" => "movflags=empty_moov+default_base_moof:frag_duration=200000",
        _ => "movflags=frag_keyframe+empty_moov+default_base_moof",
    };
    match format {
        "hls" => {
            command.args(["-f", "hls", "-hls_time", "4", "-hls_segment_type", "fmp4", "-hls_list_size", "0"])
        }
        _ => command.args(["-f", "segment", "-segment_time", "4", "-segment_format", "mp4"]).args([
            "-segment_format_options",
            fragments,
            "-flush_packets",
            "1",
        ]),
    };
    command.arg(to.join(if format == "hls" { "list.m3u8" } else { "%05d.mp4" }));
    command
}

fn format_name(format: &str) -> &str {
    match format {
        "hls" => "HLS with fMP4",
        "parts" => "fMP4 segments in parts of 200 ms",
        _ => "fMP4 segments",
    }
}

/// Running programs that end with their owner.
#[derive(Default)]
struct Children(Vec<Child>);

impl Children {
    fn start(&mut self, command: &mut Command) {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.0.push(command.spawn().unwrap());
    }

    fn usage(&self) -> Usage {
        self.0.iter().map(|c| cpu::tree(c.id())).fold(Usage::default(), |a, b| Usage {
            root: a.root + b.root,
            below: a.below + b.below,
            root_bytes: a.root_bytes + b.root_bytes,
            below_bytes: a.below_bytes + b.below_bytes,
        })
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// This program once more, recording: a process whose time and memory are nobody else's.
struct Ours {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Ours {
    fn start(taps: &str, dir: &Path, urls: &[String]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--child", taps]).arg(dir).args(urls);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap());
        Self { process, says }
    }

    fn mark(&mut self) -> Value {
        self.process.stdin.as_mut().unwrap().write_all(b"mark\n").unwrap();
        self.line()
    }

    fn end(mut self) -> Value {
        drop(self.process.stdin.take());
        let end = self.line();
        self.process.wait().unwrap();
        end
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// Looks at nothing: the cost is that of getting the frame.
#[derive(Debug, Default)]
struct Shown(u64);

impl Detector for Shown {
    type Input = VideoFrame;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("shown", &["frame"])
    }

    fn detect(&mut self, event: &Stamped<VideoFrame>, out: &mut Output) {
        self.0 += u64::from(!event.data.rgb.is_empty());
        out.signal("frame", event.at, event.at, 1.0);
    }

    fn advance(&mut self, _to: Timestamp, _out: &mut Output) {}

    fn reset(&mut self) {}

    fn snapshot(&self) -> clipcore::Result<Value> {
        Ok(json!(self.0))
    }

    fn restore(&mut self, state: &Value) -> clipcore::Result<()> {
        self.0 = state.as_u64().unwrap_or(0);
        Ok(())
    }
}

/// What a stream's items said so far.
#[derive(Default)]
struct Heard {
    progress: Option<Timestamp>,
    frames: u64,
    notices: Vec<String>,
}

fn child(args: &[String]) {
    let (taps, dir, urls) = (args[0].clone(), args[1].clone(), &args[2..]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let stop = CancellationToken::new();
    let clock = Instant::now();
    let mut running = Vec::new();
    for (i, url) in urls.iter().enumerate() {
        sleep(STAGGER);
        let stream = StreamId::new(format!("s{i}")).unwrap();
        let folder = Path::new(&dir).join(i.to_string());
        let recorder =
            Recorder::open(folder, stream.clone(), CameraId::main(), RecorderConfig::default()).unwrap();
        let recording = recorder.recording().clone();
        let mut source = MediaSource::new(Input::parse(url).unwrap(), CameraId::main(), recorder);
        if taps.contains('a') {
            source = source.with_detector(Box::new(Loudness::default())).unwrap();
        }
        if taps.contains('k') {
            source = source.with_detector(Box::new(Shown::default())).unwrap();
        }
        let (tx, mut rx) = mpsc::channel(256);
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Heard::default()));
        let listener = {
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Some(item) = rx.recv().await {
                    let mut heard = heard.lock().unwrap();
                    match item {
                        Item::Progress { at, .. } => heard.progress = Some(at),
                        Item::Signal(signal) => heard.frames += u64::from(&*signal.detector == "shown"),
                        Item::Notice(text) => heard.notices.push(text),
                        _ => {}
                    }
                }
            })
        };
        let source = tokio::spawn(Box::new(source).run(SourceOutput::new(stream, tx, stop.clone())));
        running.push((recording, heard, source, listener));
    }
    let say = |running: &[(std::sync::Arc<clipcore::recorder::Recording>, _, _, _)]| {
        let now = clock.elapsed().as_secs_f64();
        let all: Vec<Value> = running
            .iter()
            .map(|(recording, heard, ..): &(_, std::sync::Arc<std::sync::Mutex<Heard>>, _, _)| {
                let heard = heard.lock().unwrap();
                let recorded = recording.recorded_until().as_secs_f64();
                let lag = heard.progress.map_or(f64::MAX, |p| recorded - p.as_secs_f64());
                json!({ "clock": now, "recorded": recorded, "lag": lag, "frames": heard.frames,
                        "notices": heard.notices })
            })
            .collect();
        println!("{}", Value::from(all));
    };
    for line in std::io::stdin().lines() {
        if line.is_err() {
            break;
        }
        say(&running);
    }
    stop.cancel();
    runtime.block_on(async {
        for (_, _, source, listener) in &mut running {
            let _ = source.await;
            let _ = listener.await;
        }
    });
    say(&running);
}
