//! Faces: frames a second on one core and peak memory, beside Python; streams a core with keyframes.
//!
//!     CLIPCORE_ONNXRUNTIME=…/libonnxruntime.so PYTHON=…/python3 cargo bench -p clipcore-benches --bench faces
//!
//! It needs models and clips of `../shared` (or `CLIPCORE_SHARED`), and for the comparison a Python with opencv-python-headless
//! and onnxruntime (`PYTHON`, else `python3`). Everybody does the same work on the same frames of 640 × 360 with one thread
//! and one frame at a time: find faces, cut them out upright, read their expressions. A second table has the detector as it follows
//! a webcam's face. Each case is a process of its own;
//! rounds are interleaved, and the least processor time of them counts. `FACES_ROUNDS`, `FACES_SECS` set how much is done.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clipcore::detector::AnyDetector;
use clipcore::detector::face::{ExpressionPort, FaceConfig, FaceDetector, FaceFinder};
use clipcore::event::media::VideoFrame;
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::model::card::{Card, shipped};
use clipcore::model::image::Picture;
use clipcore::model::{BackendChoice, Model, ModelRegistry, OnnxModel, Runtime, RuntimeConfig, Tensors};
use clipcore::recorder::{Recorder, RecorderConfig};
use clipcore::source::media::{Input, MediaSource};
use clipcore::source::{Source, SourceOutput};
use clipcore::{CameraId, Consent, StreamId, Timestamp};
use common::cpu;
use common::support::programs::{run, shared};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const SIZE: (u32, u32) = (640, 360);
const CLIPS: [&str; 5] = ["d0", "d3", "d10", "d18", "s13"];
const MIB: f64 = 1024.0 * 1024.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "--child") {
        let (work, frames, material) = (&args[1], Path::new(&args[3]), Path::new(&args[4]));
        let result = match work.as_str() {
            "follow" => follow(&args[2], frames, material),
            finder => child(finder, &args[2], frames, material),
        };
        return println!("{result}");
    }
    if !common::wanted() {
        return;
    }
    let Some(material) =
        shared("faces", "media/video/faces").map(|p| p.ancestors().nth(3).unwrap().to_owned())
    else {
        return;
    };
    let frames = [frames(&material, false), frames(&material, true)];
    println!("{}; frames of {} × {}, one thread\n", cpu::machine(), SIZE.0, SIZE.1);
    common::head(&["finder", "what", "frames/s a core", "× Python", "faces", "peak MiB"]);
    for finder in ["yunet", "ultraface"] {
        compare(finder, finder, &frames[0], &material);
    }
    println!(
        "\nA webcam in a corner, five pictures a second; clipcore follows faces, Python looks at each picture whole:\n"
    );
    common::head(&["finder", "what", "frames/s a core", "× Python", "faces", "peak MiB"]);
    compare("yunet", "follow", &frames[1], &material);
    println!("\nStreams a core, 1080p30 with a keyframe every 2 s, recorded and looked at:\n");
    common::head(&["what", "CPU s a stream-hour", "streams a core"]);
    let secs = common::size("FACES_SECS", 240);
    let source = source(&material, secs as u32);
    for what in ["record", "keyframes", "native", "pure"] {
        let cost = (0..2).map(|_| watch(what, &material, &source)).fold(f64::INFINITY, f64::min);
        let share = cost / secs as f64;
        let name = match what {
            "record" => "recording alone",
            "keyframes" => "keyframes decoded, nothing looked for",
            "native" => "faces in keyframes, onnxruntime",
            _ => "faces in keyframes, pure Rust",
        };
        common::row(&[name.to_owned(), format!("{:.0}", share * 3600.0), format!("{:.0}", 1.0 / share)]);
    }
}

/// Frames of all clips, five a second, as raw RGB; whole, or as a webcam's below left.
fn frames(material: &Path, webcam: bool) -> PathBuf {
    let name = if webcam { "webcam-640x360.rgb" } else { "faces-640x360.rgb" };
    let file = common::source::dir().join(name);
    if !file.exists() {
        let mut all = Vec::new();
        for clip in CLIPS {
            let mut ffmpeg = Command::new("ffmpeg");
            ffmpeg.args(["-v", "error", "-i"]).arg(material.join(format!("media/video/faces/{clip}.mp4")));
            let fit = match webcam {
                false => "fps=5,scale=-2:360,pad=640:360:(ow-iw)/2:0",
                true => {
                    "fps=5,scale=-2:144[face];testsrc2=s=640x360:r=5[game];[game][face]overlay=0:H-h:shortest=1"
                }
            };
            let picture = ["-filter_complex", fit, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"];
            all.extend(run(ffmpeg.args(picture)));
        }
        std::fs::write(&file, all).unwrap();
    }
    file
}

/// A talking head in 1080p, over and over.
fn source(material: &Path, secs: u32) -> PathBuf {
    let file = common::source::dir().join(format!("faces-1080p-{secs}.mp4"));
    if !file.exists() {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg
            .args(["-v", "error", "-y", "-stream_loop", "-1", "-i"])
            .arg(material.join("media/video/faces/d3.mp4"));
        ffmpeg.args([
            "-t",
            &secs.to_string(),
            "-an",
            "-vf",
            "fps=30,scale=-2:1080,pad=1920:1080:(ow-iw)/2:0",
        ]);
        ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-pix_fmt", "yuv420p"]);
        run(ffmpeg.arg(&file));
    }
    file
}

fn compare(finder: &str, work: &str, frames: &Path, material: &Path) {
    let rounds = common::size("FACES_ROUNDS", 3);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/faces.py");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut best: Vec<Option<Value>> = vec![None; 3];
    for _ in 0..rounds {
        let ours = |backend: &str| {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--child", work, backend]).arg(frames).arg(material);
            child
        };
        let mut peer = Command::new(&python);
        peer.arg(&script).arg(finder).arg(frames).arg(material);
        let cases = [peer, ours("native"), ours("pure")];
        for (best, mut case) in best.iter_mut().zip(cases) {
            let Ok(out) = case.output() else { continue };
            let Ok(found) = serde_json::from_slice::<Value>(&out.stdout) else {
                eprintln!("{case:?}: {}", String::from_utf8_lossy(&out.stderr));
                continue;
            };
            let cost = |v: &Value| v["cpu"].as_f64().unwrap();
            if best.as_ref().is_none_or(|b| cost(&found) < cost(b)) {
                *best = Some(found);
            }
        }
    }
    let rate = |v: &Value| v["frames"].as_f64().unwrap() / v["cpu"].as_f64().unwrap();
    let python = best[0].as_ref().map(rate);
    for found in best.iter().flatten() {
        common::row(&[
            finder.to_owned(),
            found["what"].as_str().unwrap().to_owned(),
            format!("{:.0}", rate(found)),
            python.map_or_else(|| "—".to_owned(), |p| format!("{:.2}", rate(found) / p)),
            found["faces"].to_string(),
            format!("{:.0}", found["peak"].as_f64().unwrap() / MIB),
        ]);
    }
}

fn card(name: &str) -> Card {
    shipped().unwrap().into_iter().find(|card| card.name == name).unwrap()
}

fn load(backend: &str, name: &str, material: &Path) -> (Runtime, Arc<dyn Model>) {
    let backend = if backend == "native" { BackendChoice::Native } else { BackendChoice::Pure };
    let runtime = Runtime::open(&RuntimeConfig { backend, threads: 1, ..RuntimeConfig::default() }).unwrap();
    let file = match name {
        "yunet" => "yunet/yunet_s_dynamic.onnx",
        "ultraface" => "ultraface/version-RFB-320.onnx",
        _ => "fer/mini_xception.onnx",
    };
    let model = OnnxModel::load(&runtime, name, material.join("models").join(file)).unwrap();
    (runtime, Arc::new(model))
}

fn child(finder: &str, backend: &str, frames: &Path, material: &Path) -> Value {
    let (runtime, network) = load(backend, finder, material);
    let finder = FaceFinder::from_card(network, &card(finder), &FaceConfig::default()).unwrap();
    let (_, reader) = load(backend, "mini_xception", material);
    let port = ExpressionPort::from_card(&card("mini_xception")).unwrap();
    let mut rgb = vec![0; (SIZE.0 * SIZE.1 * 3) as usize];
    let (mut count, mut faces, mut cost) = (0, 0, 0.0);
    for round in 0..3 {
        let mut file = BufReader::new(File::open(frames).unwrap());
        while file.read_exact(&mut rgb).is_ok() {
            let before = cpu::own();
            let picture = Picture::try_new(SIZE.0, SIZE.1, &rgb).unwrap();
            let found = finder.find(&picture, picture.bounds()).unwrap();
            let crops: Vec<Tensors> = found.iter().map(|f| port.crop(&picture, f).unwrap().into()).collect();
            assert_eq!(reader.infer(&crops).unwrap().len(), found.len());
            // The first round warms up.
            if round > 0 {
                cost += cpu::own() - before;
                count += 1;
                faces += found.len();
            }
        }
    }
    let what = format!("clipcore, {}", runtime.found().backend);
    json!({"what": what, "frames": count, "faces": faces / 2, "cpu": cost, "peak": cpu::resident().0})
}

/// The detector as it runs on a stream of five pictures a second.
fn follow(backend: &str, frames: &Path, material: &Path) -> Value {
    let (runtime, network) = load(backend, "yunet", material);
    let finder = FaceFinder::from_card(network, &card("yunet"), &FaceConfig::default()).unwrap();
    let (_, reader) = load(backend, "mini_xception", material);
    let reader = Arc::new(Counted { inner: reader, items: AtomicU64::new(0) });
    let port = ExpressionPort::from_card(&card("mini_xception")).unwrap();
    let detector = FaceDetector::try_new(FaceConfig::default(), finder.port(), port).unwrap();
    let models = ModelRegistry::default().with_model(Arc::new(finder)).with_model(reader.clone());
    let stream = StreamId::new("bench").unwrap();
    let mut detector = AnyDetector::new(Box::new(detector), stream.clone(), None, models);
    let (width, height) = SIZE;
    let mut rgb = vec![0; (width * height * 3) as usize];
    let (mut at, mut count, mut cost) = (Timestamp::from_secs(0), 0, 0.0);
    for round in 0..3 {
        if round == 1 {
            reader.items.store(0, Ordering::Relaxed);
        }
        let mut file = BufReader::new(File::open(frames).unwrap());
        while file.read_exact(&mut rgb).is_ok() {
            let frame = VideoFrame { width, height, rgb: rgb.as_slice().into() };
            let header = Header::new(stream.clone(), at, "bench", "");
            let event = AnyEvent::local(Stamped::new(header, frame));
            let before = cpu::own();
            detector.detect(&event);
            // The first round warms up.
            if round > 0 {
                cost += cpu::own() - before;
                count += 1;
            }
            at += Duration::from_millis(200);
        }
    }
    assert_eq!(detector.failures(), 0);
    let what = format!("clipcore's detector, {}", runtime.found().backend);
    let faces = reader.items.load(Ordering::Relaxed) / 2;
    json!({"what": what, "frames": count, "faces": faces, "cpu": cost, "peak": cpu::resident().0})
}

/// Counts what it is asked.
struct Counted {
    inner: Arc<dyn Model>,
    items: AtomicU64,
}

impl Model for Counted {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn infer(&self, batch: &[Tensors]) -> clipcore::Result<Vec<Tensors>> {
        self.items.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.inner.infer(batch)
    }
}

/// Processor seconds of reading the source, its ffmpegs included.
fn watch(what: &str, material: &Path, source: &Path) -> f64 {
    let stream = StreamId::new("bench").unwrap();
    let folder = tempfile::tempdir_in(common::source::dir()).unwrap();
    let recorder =
        Recorder::open(folder.path(), stream.clone(), CameraId::main(), RecorderConfig::default()).unwrap();
    let input = Input::parse(&source.display().to_string()).unwrap();
    let mut reading = MediaSource::new(input, CameraId::main(), recorder).with_consent(Consent::ALL);
    if what != "record" {
        let backend = if what == "native" { "native" } else { "pure" };
        let (_, network) = load(backend, "yunet", material);
        let (_, reader) = load(backend, "mini_xception", material);
        let finder = FaceFinder::from_card(network, &card("yunet"), &FaceConfig::default()).unwrap();
        // Hardly a frame is looked at: what is left is decoding them.
        let max_fps = if what == "keyframes" { 0.01 } else { 5.0 };
        let config = FaceConfig { max_fps, ..FaceConfig::default() };
        let port = ExpressionPort::from_card(&card("mini_xception")).unwrap();
        let detector = FaceDetector::try_new(config, finder.port(), port).unwrap();
        let models = ModelRegistry::default().with_model(Arc::new(finder)).with_model(reader);
        reading = reading.with_models(models).with_detector(Box::new(detector)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let before = cpu::total();
    runtime.block_on(async {
        let (tx, mut rx) = mpsc::channel(64);
        let output = SourceOutput::new(stream, tx, CancellationToken::new());
        let running = tokio::spawn(Box::new(reading).run(output));
        while rx.recv().await.is_some() {}
        running.await.unwrap().unwrap();
    });
    cpu::total() - before
}
