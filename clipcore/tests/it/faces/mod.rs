//! Faces: the real models on real pictures where they are there, small graphs of our own everywhere.

mod made;
mod photos;
mod reference;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clipcore::detector::face::{ExpressionPort, FaceConfig, FaceFinder};
use clipcore::event::media::VideoFrame;
use clipcore::model::card::{Card, shipped};
use clipcore::model::{BackendChoice, Model, OnnxModel, Runtime, RuntimeConfig};

use crate::support::programs::{require, run, shared, skipped};

/// Where the models lie in the shared folder.
const FILES: [(&str, &str); 3] = [
    ("yunet", "models/yunet/yunet_s_dynamic.onnx"),
    ("ultraface", "models/ultraface/version-RFB-320.onnx"),
    ("mini_xception", "models/fer/mini_xception.onnx"),
];

/// The shared folder, where everything is there that faces need.
fn material(test: &str) -> Option<PathBuf> {
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return None;
    }
    shared(test, "models/fer")?;
    shared(test, "media/faces")?.parent()?.parent().map(Path::to_owned)
}

/// Both backends; a missing native library is noted as skipped.
fn runtimes(test: &str) -> Vec<Runtime> {
    let open = |backend| Runtime::open(&RuntimeConfig { backend, threads: 1, ..RuntimeConfig::default() });
    let mut all = vec![open(BackendChoice::Pure).unwrap()];
    match open(BackendChoice::Native) {
        Ok(native) => all.push(native),
        Err(_) => skipped(test, "the native backend: no libonnxruntime is found (set CLIPCORE_ONNXRUNTIME)"),
    }
    all
}

fn card(name: &str) -> Card {
    shipped().unwrap().into_iter().find(|card| card.name == name).unwrap()
}

fn model(runtime: &Runtime, shared: &Path, name: &str) -> Arc<dyn Model> {
    let (_, file) = FILES.iter().find(|(n, _)| *n == name).unwrap();
    let model = OnnxModel::load(runtime, name, shared.join(file)).unwrap();
    card(name).check(model.graph()).unwrap();
    Arc::new(model)
}

fn finder(runtime: &Runtime, shared: &Path, name: &str) -> FaceFinder {
    FaceFinder::from_card(model(runtime, shared, name), &card(name), &FaceConfig::default()).unwrap()
}

fn reader(runtime: &Runtime, shared: &Path) -> (Arc<dyn Model>, ExpressionPort) {
    (model(runtime, shared, "mini_xception"), ExpressionPort::from_card(&card("mini_xception")).unwrap())
}

/// Every `every`-th frame of a video; the one frame of a picture.
fn frames(path: &Path, every: Option<u32>) -> Vec<VideoFrame> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height"]);
    let size = String::from_utf8(run(probe.args(["-of", "csv=p=0"]).arg(path))).unwrap();
    let (width, height) = size.trim().split_once(',').unwrap();
    let (width, height): (u32, u32) = (width.parse().unwrap(), height.parse().unwrap());
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-i"]).arg(path).args(["-map", "0:v:0"]);
    if let Some(every) = every {
        let select = format!("select=not(mod(n\\,{every}))");
        decode.args(["-vf", &select, "-fps_mode", "passthrough"]);
    }
    let bytes = run(decode.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]));
    let frames = bytes.chunks_exact((width * height * 3) as usize);
    frames.map(|rgb| VideoFrame { width, height, rgb: rgb.into() }).collect()
}
