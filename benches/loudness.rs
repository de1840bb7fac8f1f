//! How many seconds of sound a second of one core listens to, beside ffmpeg's own meter and beside decoding alone.
//!
//!     cargo bench -p clipcore-benches --bench loudness
//!
//! `LOUDNESS_SECS` of stereo AAC at 48 kHz. Processor times are used, the least of three runs, so that a busy machine
//! blurs them less.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use clipcore::detector::{Detector, Loudness, Output};
use clipcore::event::media::AudioWindow;
use clipcore::event::{Header, Stamped};
use clipcore::recorder::{Recorder, RecorderConfig};
use clipcore::source::media::{Input, MediaSource};
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, StreamId, Timestamp};
use common::cpu;
use common::support::programs::run;
use ebur128::{EbuR128, Mode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const RUNS: usize = 3;
const RATE: u32 = 48_000;
/// What an AAC packet holds.
const WINDOW: usize = 1024;

fn main() {
    if !common::wanted() {
        return;
    }
    let secs = common::size("LOUDNESS_SECS", 600) as u32;
    let file = common::source::looped("sound", secs, &["-vn", "-c:a", "aac", "-ac", "2", "-b:a", "160k"]);
    let pcm = pcm(&file);
    println!("{}; {secs} s of stereo at 48 kHz\n", cpu::machine());
    common::head(&["what", "CPU s", "× real time on one core", "× the time of ffmpeg's `ebur128`"]);
    let decode = least(|| ffmpeg(&file, &[]));
    let meter = least(|| ffmpeg(&file, &["-af", "ebur128"]));
    let print = |what: &str, cost: f64| {
        let against = format!("{:.2}", cost / meter);
        common::row(&[
            what.to_owned(),
            format!("{cost:.3}"),
            format!("{:.0}", f64::from(secs) / cost),
            against,
        ]);
    };
    print("ffmpeg, decoding alone (`-f null`)", decode);
    print("ffmpeg, `ebur128` filter (decoding included)", meter);
    print("ffmpeg, `ebur128` filter less decoding", (meter - decode).max(0.001));
    let dir = tempfile::tempdir_in(common::source::dir()).unwrap();
    print("clipcore: demultiplex, record, decode, loudness", least(|| listen(&file, dir.path(), true)));
    print("clipcore: demultiplex and record, nothing decoded", least(|| listen(&file, dir.path(), false)));
    print("clipcore: loudness detector alone on PCM", least(|| detect(&pcm)));
    print("`ebur128` crate on the same PCM, asked every 100 ms", least(|| peer(&pcm)));
}

/// The least processor time of some runs.
fn least(mut work: impl FnMut()) -> f64 {
    let runs = (0..RUNS).map(|_| {
        let before = cpu::total();
        work();
        cpu::total() - before
    });
    runs.fold(f64::INFINITY, f64::min)
}

fn ffmpeg(file: &Path, filter: &[&str]) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-threads", "1", "-i"]).arg(file);
    run(command.args(["-map", "0:a:0"]).args(filter).args(["-f", "null", "-"]));
}

fn pcm(file: &Path) -> Vec<f32> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:a:0", "-f", "f32le", "pipe:1"]);
    run(&mut command).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Reads the file as a source does, with the detector where asked for.
fn listen(file: &Path, dir: &Path, loudness: bool) {
    let stream = StreamId::new("bench").unwrap();
    let folder = tempfile::tempdir_in(dir).unwrap();
    let config = RecorderConfig::default();
    let recorder = Recorder::open(folder.path(), stream.clone(), CameraId::main(), config).unwrap();
    let input = Input::parse(&file.display().to_string()).unwrap();
    let mut source = MediaSource::new(input, CameraId::main(), recorder);
    if loudness {
        source = source.with_detector(Box::new(Loudness::default())).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let reached = runtime.block_on(async {
        let (tx, mut rx) = mpsc::channel(64);
        let running =
            tokio::spawn(Box::new(source).run(SourceOutput::new(stream, tx, CancellationToken::new())));
        let mut reached = Timestamp::MIN;
        while let Some(item) = rx.recv().await {
            if let Item::Progress { at, .. } = item {
                reached = at;
            }
        }
        running.await.unwrap().unwrap();
        reached
    });
    assert!(reached.as_secs_f64() > 1.0, "nothing was listened to");
}

fn detect(pcm: &[f32]) {
    let mut loudness = Loudness::default();
    let stream = StreamId::new("bench").unwrap();
    let mut out = Output::new(stream.clone(), None, &loudness.info());
    let mut heard = 0;
    for block in pcm.chunks(WINDOW * 2) {
        let at = Timestamp::from_micros(heard * 1_000_000 / i64::from(RATE));
        heard += (block.len() / 2) as i64;
        let window = AudioWindow { rate: RATE, channels: 2, samples: Arc::from(block) };
        loudness.detect(&Stamped::new(Header::new(stream.clone(), at, "bench", "w"), window), &mut out);
        loudness.advance(at, &mut out);
    }
    std::hint::black_box(out.take_signals());
}

fn peer(pcm: &[f32]) {
    let mut meter = EbuR128::new(2, RATE, Mode::M).unwrap();
    let mut loudest = f64::NEG_INFINITY;
    for block in pcm.chunks(RATE as usize / 10 * 2) {
        meter.add_frames_f32(block).unwrap();
        loudest = loudest.max(meter.loudness_momentary().unwrap());
    }
    std::hint::black_box(loudest);
}
