//! From the last wanted picture being recorded to a playable clip under its final name, beside other ways to cut, and what
//! each of them really shows.
//!
//!     cargo bench -p clipcore-benches --bench cut
//!
//! `CUT_STARTS` random starts for clipcore, `CUT_PEER_STARTS` of them for what copies, `CUT_ENCODE_STARTS` for what encodes
//! everything; clips of 30 s. Thumbnail and preview are not part of it.

#![allow(clippy::disallowed_methods, reason = "a bench measures elapsed time")]
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clipcore::cutter::{CutRequest, Profile, Span, cut, prepare_head};
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::recorder::{Recorder, RecorderConfig, Recording};
use clipcore::source::media::{Input, MediaSource};
use clipcore::source::{Source, SourceOutput};
use clipcore::{CameraId, StreamId, Timestamp};
use common::support::programs::run;
use common::support::reading;
use common::support::stream::TestStream;
use common::{cpu, edges, quantile};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const CLIP_SECS: f64 = 30.0;
const HLS_SECS: f64 = 4.0;

/// What one way to cut did, start by start.
#[derive(Default)]
struct Tally {
    wall_ms: Vec<f64>,
    cpu: Vec<f64>,
    start: Vec<Option<i64>>,
    end: Vec<Option<i64>>,
    av_ms: Vec<Option<f64>>,
}

struct Bench {
    made: TestStream,
    source: PathBuf,
    /// When the picture with the number 0 is shown.
    zero: f64,
    dir: tempfile::TempDir,
    recording: std::sync::Arc<Recording>,
    ffmpeg: Ffmpeg,
}

fn main() {
    if !common::wanted() {
        return;
    }
    let bench = Bench::new();
    let starts = bench.starts(common::size("CUT_STARTS", 24));
    let copied = &starts[..common::size("CUT_PEER_STARTS", 8).min(starts.len())];
    let encoded = &starts[..common::size("CUT_ENCODE_STARTS", 5).min(starts.len())];
    println!("{}; {CLIP_SECS} s clips, errors in pictures (negative: early)\n", cpu::machine());
    common::head(&[
        "method",
        "n",
        "wall ms p50",
        "p95",
        "max",
        "CPU s",
        "first picture off",
        "last picture off",
        "A/V ms",
    ]);
    let request = |start: f64, profile| CutRequest { span: span(start), peak: None, profile };
    let ours = |name: &str, profile, prepared: bool| {
        let mut preparing = Vec::new();
        let mut tally = Tally::default();
        for &start in &starts {
            let before = cpu::total();
            let head = if prepared {
                prepare_head(&bench.ffmpeg, &bench.recording, span(start).start).unwrap()
            } else {
                None
            };
            preparing.push(cpu::total() - before);
            bench.measure(&mut tally, start, |path| {
                cut(&bench.ffmpeg, &bench.recording, &request(start, profile), head.as_ref(), path).unwrap();
            });
        }
        tally.print(name);
        common::mean(&preparing)
    };
    let head = ours("clipcore exact, head prepared during the post-roll", Profile::Exact, true);
    ours("clipcore exact, no post-roll", Profile::Exact, false);
    ours("clipcore keyframe", Profile::Keyframe, false);
    bench.write_alone(copied.len());
    bench.all("`ffmpeg -ss … -c copy`", copied, |start, path| {
        let mut command = bench.command(start);
        command.arg("-i").arg(&bench.source).args(["-t", "30", "-c", "copy", "-movflags", "+faststart"]);
        run(command.arg(path));
    });
    let hls = bench.hls();
    bench.all("`ffmpeg` concat of init and segments, `-c copy`", copied, |start, path| {
        let first = ((start - bench.zero) / HLS_SECS) as usize;
        let last = ((start - bench.zero + CLIP_SECS) / HLS_SECS) as usize;
        let parts: Vec<String> = std::iter::once("init.mp4".to_owned())
            .chain((first..=last).map(|i| format!("list{i}.m4s")))
            .map(|name| hls.join(name))
            .filter(|path| path.exists())
            .map(|path| path.display().to_string())
            .collect();
        let into = start - bench.zero - first as f64 * HLS_SECS;
        let mut command = bench.command(into);
        command.args(["-i", &format!("concat:{}", parts.join("|")), "-t", "30", "-c", "copy"]);
        run(command.args(["-movflags", "+faststart"]).arg(path));
    });
    for preset in ["superfast", "veryfast"] {
        bench.all(&format!("x264 {preset}, all of it encoded"), encoded, |start, path| {
            let mut command = bench.command(start);
            command.arg("-i").arg(&bench.source).args(["-t", "30", "-c:v", "libx264", "-preset", preset]);
            run(command.args(["-crf", "20", "-c:a", "aac", "-movflags", "+faststart"]).arg(path));
        });
    }
    println!("\nPreparing a head took {head:.2} CPU s in the mean.");
}

impl Bench {
    fn new() -> Self {
        let (made, source) = (common::source::stream(), common::source::file());
        let dir = tempfile::tempdir_in(common::source::dir()).unwrap();
        let recording = record(&source, &dir.path().join("recording"));
        Self { zero: reading::start(&source), made, source, dir, recording, ffmpeg: Ffmpeg::default() }
    }

    /// Starts spread over the stream; the same in each run.
    fn starts(&self, n: usize) -> Vec<f64> {
        let room = self.made.secs() - CLIP_SECS - 3.0;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / 16_777_216.0
        };
        // To the millisecond, as a person or a detector would ask.
        (0..n).map(|_| ((self.zero + 0.5 + room * random()) * 1000.0).round() / 1000.0).collect()
    }

    fn command(&self, start: f64) -> Command {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y", "-ss", &format!("{start:.3}")]);
        command
    }

    fn hls(&self) -> PathBuf {
        let dir = self.dir.path().join("hls");
        std::fs::create_dir(&dir).unwrap();
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-i"]).arg(&self.source).args(["-c", "copy", "-f", "hls"]);
        command.args([
            "-hls_time",
            &HLS_SECS.to_string(),
            "-hls_segment_type",
            "fmp4",
            "-hls_list_size",
            "0",
        ]);
        run(command.arg(dir.join("list.m3u8")));
        dir
    }

    /// The least that any cut takes that is safe on disk: its bytes written and synced.
    fn write_alone(&self, n: usize) {
        let bytes = std::fs::read(self.dir.path().join("model.mp4")).unwrap();
        let mut tally = Tally::default();
        for _ in 0..n {
            let (cpu, begun) = (cpu::total(), Instant::now());
            let mut file = std::fs::File::create(self.dir.path().join("bytes")).unwrap();
            file.write_all(&bytes).unwrap();
            file.sync_all().unwrap();
            tally.wall_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
            tally.cpu.push(cpu::total() - cpu);
        }
        tally.print("the same bytes written and synced, nothing else");
    }

    fn all(&self, name: &str, starts: &[f64], make: impl Fn(f64, &Path)) {
        let mut tally = Tally::default();
        for &start in starts {
            self.measure(&mut tally, start, |path| make(start, path));
        }
        tally.print(name);
    }

    fn measure(&self, tally: &mut Tally, start: f64, make: impl FnOnce(&Path)) {
        let path = self.dir.path().join("clip.mp4");
        let (cpu, begun) = (cpu::total(), Instant::now());
        make(&path);
        tally.wall_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
        tally.cpu.push(cpu::total() - cpu);
        let fps = f64::from(self.made.fps.0) / f64::from(self.made.fps.1);
        let number = |at: f64| ((at - self.zero) * fps - 1e-6).ceil() as i64;
        let read = edges::read(&path, &self.made);
        let off = |shown: Option<u32>, wanted: i64| shown.map(|n| i64::from(n) - wanted);
        tally.start.push(off(read.first, number(start)));
        tally.end.push(off(read.last, number(start + CLIP_SECS) - 1));
        tally.av_ms.push(read.av_ms);
        std::fs::rename(&path, self.dir.path().join("model.mp4")).unwrap();
    }
}

impl Tally {
    fn print(&self, name: &str) {
        let ms = |part| format!("{:.0}", quantile(&self.wall_ms, part));
        let av: Vec<f64> = self.av_ms.iter().flatten().map(|ms| ms.abs()).collect();
        let lost = self.av_ms.iter().filter(|ms| ms.is_none()).count();
        let worst = av.iter().copied().fold(0.0, f64::max);
        common::row(&[
            name.to_owned(),
            self.wall_ms.len().to_string(),
            ms(0.5),
            ms(0.95),
            ms(1.0),
            format!("{:.3}", common::mean(&self.cpu)),
            range(&self.start),
            range(&self.end),
            if lost > 0 { format!("≤ {worst:.1}, {lost} beyond 300") } else { format!("≤ {worst:.1}") },
        ]);
    }
}

fn range(off: &[Option<i64>]) -> String {
    if off.is_empty() {
        return String::new();
    }
    let known: Vec<i64> = off.iter().flatten().copied().collect();
    let unread = off.len() - known.len();
    let (Some(least), Some(most)) = (known.iter().min(), known.iter().max()) else {
        return format!("no picture in {unread}");
    };
    let range = if least == most { format!("{least:+}") } else { format!("{least:+} … {most:+}") };
    if unread > 0 { format!("{range}, no picture in {unread}") } else { range.replace("+0", "0") }
}

fn span(start: f64) -> Span {
    let at = |secs| Timestamp::try_from_secs_f64(secs).unwrap();
    Span { start: at(start), end: at(start + CLIP_SECS) }
}

fn record(source: &Path, dir: &Path) -> std::sync::Arc<Recording> {
    let stream = StreamId::new("bench").unwrap();
    let recorder = Recorder::open(dir, stream.clone(), CameraId::main(), RecorderConfig::default()).unwrap();
    let recording = recorder.recording().clone();
    let input = Input::parse(&source.display().to_string()).unwrap();
    let source = MediaSource::new(input, CameraId::main(), recorder);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        let (tx, mut rx) = mpsc::channel(64);
        let out = SourceOutput::new(stream, tx, CancellationToken::new());
        let running = tokio::spawn(Box::new(source).run(out));
        while rx.recv().await.is_some() {}
        running.await.unwrap().unwrap();
    });
    recording
}
