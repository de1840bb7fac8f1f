//! Faces through the program: a clip with a face in, signals out, and nothing of a picture left behind.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::face_models::{self, CALM, SMILING, picture};
use crate::support::programs::{require, run, shared};

const SECS: u32 = 50;
const SMILES: std::ops::Range<u32> = 35..39;

/// Fifty seconds of a square face that smiles for four, a keyframe every half second, and a hum.
pub(crate) fn clip(path: &Path) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "320x192", "-r", "2"]);
    ffmpeg.args(["-i", "pipe:0", "-f", "lavfi", "-i", &format!("sine=f=220:r=48000:d={SECS}")]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "10", "-g", "1", "-pix_fmt", "yuv420p"]);
    ffmpeg.args(["-c:a", "aac", "-shortest"]).arg(path);
    let mut child = ffmpeg.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for half in 0..2 * SECS {
        stdin.write_all(&picture(if SMILES.contains(&(half / 2)) { SMILING } else { CALM })).unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// A workplace whose temporary files stay in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("tmp")).unwrap();
        std::fs::create_dir(place.path("models")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn clipcore(&self, args: &[&str], set: &[(&str, String)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("TMPDIR", self.path("tmp")).env("CLIPCORE__MODELS__DIR", self.path("models"));
        command.env("CLIPCORE__DETECTORS__OFF", "[\"audio_tagger\", \"loudness\"]");
        command.envs(set.iter().map(|(k, v)| (k, v))).output().unwrap()
    }
}

/// The test's own models; they find faces of one size in whole frames.
pub(crate) fn own_models(dir: &Path) -> Vec<(&'static str, String)> {
    face_models::write(dir);
    [
        ("CLIPCORE__MODELS__FACES", "squares"),
        ("CLIPCORE__MODELS__EXPRESSIONS", "brightness"),
        ("CLIPCORE__MODELS__BACKEND", "pure"),
        ("CLIPCORE__DETECTORS__FACE__SIDE", "320"),
        ("CLIPCORE__DETECTORS__FACE__RESCAN", "0"),
        ("CLIPCORE__MEDIA__FRAMES__WIDTH", "320"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
}

fn lines(out: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_smile_is_printed_with_consent_and_only_then() {
    if !require("a_smile_is_printed_with_consent_and_only_then", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let place = Place::new();
    clip(&place.path("clip.mp4"));
    let set = own_models(&place.path("models"));
    let out = place.clipcore(&["detect", "clip.mp4", "--consent", "face"], &set);
    let signals = lines(&out);
    let smiles: Vec<_> = signals.iter().filter(|s| s["label"] == "smile").collect();
    assert!(smiles.len() > 5, "{signals:?}\n{}", String::from_utf8_lossy(&out.stderr));
    for smile in smiles {
        assert_eq!(smile["detector"], "face");
        assert!((f64::from(SMILES.start) - smile["onset"].as_f64().unwrap()).abs() < 0.01, "{smile}");
    }
    assert_eq!(lines(&place.clipcore(&["detect", "clip.mp4"], &set)), [Value::Null; 0]);
    let refused = place.clipcore(&["detect", "clip.mp4", "--detector", "face"], &set);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--consent face"), "{said}");
}

#[test]
fn without_models_it_says_what_is_missing_and_goes_on() {
    if !require("without_models_it_says_what_is_missing_and_goes_on", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let place = Place::new();
    clip(&place.path("clip.mp4"));
    let out = place.clipcore(&["detect", "clip.mp4", "--consent", "face"], &[]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(lines(&out).is_empty());
    assert!(said.contains("face is off") && said.contains("clipcore models pull yunet"), "{said}");
    let doctor = place.clipcore(&["doctor"], &[]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.contains("face, with --consent face, needs the model \"mini_xception\""), "{said}");
}

#[test]
fn nothing_of_a_picture_is_written() {
    let test = "nothing_of_a_picture_is_written";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let place = Place::new();
    clip(&place.path("clip.mp4"));
    let set = own_models(&place.path("models"));
    watch_and_search(&place, "clip.mp4", &set, 320);
    // The same with people, where they are at hand.
    let (Some(faces), Some(models)) = (shared(test, "media/video/faces/d3.mp4"), shared(test, "models"))
    else {
        return;
    };
    let place = Place::new();
    for file in ["yunet/yunet_s_dynamic.onnx", "fer/mini_xception.onnx"] {
        let file = models.join(file);
        std::fs::copy(&file, place.path("models").join(file.file_name().unwrap())).unwrap();
    }
    let set = [("CLIPCORE__MEDIA__FRAMES__FPS", "5".to_owned())];
    watch_and_search(&place, faces.to_str().unwrap(), &set, 640);
}

/// Runs `run` and `detect`, and looks for pictures in everything that was written: output, log, moments, signals, files
/// that were temporary. The recording and the clips, which are what a person asked for, are left out.
fn watch_and_search(place: &Place, input: &str, set: &[(&'static str, String)], width: u32) {
    let mut set = set.to_vec();
    set.push(("CLIPCORE__CLIPS__STILLS", "false".to_owned()));
    let ran = place.clipcore(&["run", input, "--consent", "face", "--out", "out", "--stream", "show"], &set);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success() && !said.contains("face is off"), "{said}");
    let found = place.clipcore(&["detect", input, "--consent", "face"], &set);
    assert!(lines(&found).iter().any(|s| s["detector"] == "face"), "no face was looked at");
    for (name, output) in [("run", &ran), ("detect", &found)] {
        std::fs::write(place.path(&format!("out/{name}.said")), [&*output.stdout, &*output.stderr].concat())
            .unwrap();
    }
    let pieces = Pieces::of(Path::new(input), place.0.path(), width);
    let (mut searched, mut all) = (0, vec![place.path("out"), place.path("tmp")]);
    while let Some(dir) = all.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                let asked_for = ["recordings", "clips"].iter().any(|n| path == place.path("out").join(n));
                all.extend((!asked_for).then_some(path));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                searched += bytes.len();
                assert_eq!(pieces.found_in(&bytes), None, "{}", path.display());
            }
        }
    }
    assert!(searched > 1000, "only {searched} bytes were written");
}

/// What would give a picture away.
struct Pieces {
    /// Bytes that image files begin with, and the same in base64.
    signatures: Vec<(&'static str, Vec<u8>)>,
    /// Rows of pixels as the detector saw them: as bytes, hexadecimal digits, numbers, and base64 at every offset.
    pixels: HashSet<Vec<u8>>,
}

/// Pixels that are looked for together.
const RUN: usize = 8;
const LENGTH: usize = RUN * 3;

impl Pieces {
    fn of(input: &Path, dir: &Path, width: u32) -> Self {
        let input = dir.join(input);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(input);
        ffmpeg.args(["-vf", &format!("fps=1,scale={width}:-2:flags=fast_bilinear"), "-f", "rawvideo"]);
        let rgb = run(ffmpeg.args(["-pix_fmt", "rgb24", "pipe:1"]));
        let mut pixels = HashSet::new();
        for run in rgb.chunks_exact(LENGTH) {
            // Flat areas look like anything.
            if run.iter().collect::<HashSet<_>>().len() >= 6 {
                pixels.insert(run.to_vec());
            }
        }
        let signatures = vec![
            ("a JPEG", vec![0xff, 0xd8, 0xff]),
            ("a PNG", b"\x89PNG\r\n".to_vec()),
            ("a GIF", b"GIF8".to_vec()),
            ("a WebP", b"WEBPVP8".to_vec()),
            ("a JPEG in base64", b"/9j/".to_vec()),
            ("a PNG in base64", b"iVBORw0KGgo".to_vec()),
            ("a GIF in base64", b"R0lGOD".to_vec()),
            ("a WebP in base64", b"UklGR".to_vec()),
        ];
        Self { signatures, pixels }
    }

    fn found_in(&self, bytes: &[u8]) -> Option<String> {
        for (name, signature) in &self.signatures {
            if bytes.windows(signature.len()).any(|w| w == signature) {
                return Some((*name).to_owned());
            }
        }
        let raw = bytes.windows(LENGTH).any(|w| self.pixels.contains(w));
        let text = decoded(bytes).into_iter().any(|d| d.windows(LENGTH).any(|w| self.pixels.contains(w)));
        (raw || text).then(|| "pixels".to_owned())
    }
}

/// What runs of base64, of hexadecimal digits and of numbers stand for.
fn decoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let base64 = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    for run in bytes.split(|b| base64(*b).is_none()).filter(|run| run.len() >= LENGTH) {
        let sextets: Vec<u8> = run.iter().filter_map(|b| base64(*b)).collect();
        for start in 0..4 {
            let whole = sextets[start..].chunks_exact(4);
            let joined = whole.map(|q| q.iter().fold(0u32, |n, s| (n << 6) | u32::from(*s)));
            out.push(joined.flat_map(|n| n.to_be_bytes()[1..].to_vec()).collect());
        }
        if run.iter().all(u8::is_ascii_hexdigit) {
            let pairs = run.chunks_exact(2).filter_map(|p| std::str::from_utf8(p).ok());
            out.push(pairs.filter_map(|p| u8::from_str_radix(p, 16).ok()).collect());
        }
    }
    let text = String::from_utf8_lossy(bytes);
    for list in text.split(['[', ']', '{', '}', '"', ':']) {
        let numbers: Vec<u8> =
            list.split(',').filter_map(|n| n.trim().parse::<f64>().ok()).map(|n| n as u8).collect();
        out.push(numbers);
    }
    out.retain(|run| run.len() >= LENGTH);
    out
}

/// The search finds what it looks for.
#[test]
fn the_search_for_pictures_finds_them() {
    let pixels: Vec<u8> = (0..LENGTH as u8).map(|i| i * 9 + 3).collect();
    let pieces =
        Pieces { signatures: vec![("a JPEG", vec![0xff, 0xd8, 0xff])], pixels: [pixels.clone()].into() };
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for before in 0..3 {
        let bytes = [vec![7; before], pixels.clone(), vec![1; 3]].concat();
        let base64: Vec<u8> = bytes
            .chunks_exact(3)
            .flat_map(|t| {
                let n = u32::from_be_bytes([0, t[0], t[1], t[2]]);
                [18, 12, 6, 0].map(|shift| alphabet[(n >> shift) as usize & 63])
            })
            .collect();
        assert!(pieces.found_in(&bytes).is_some());
        assert!(
            pieces.found_in(&[b"{\"x\":\"".to_vec(), base64, b"\"}".to_vec()].concat()).is_some(),
            "{before}"
        );
    }
    let list: Vec<String> = pixels.iter().map(|p| format!("{p}.0")).collect();
    assert!(pieces.found_in(format!("{{\"x\":[{}]}}", list.join(", ")).as_bytes()).is_some());
    let hex: String = pixels.iter().map(|p| format!("{p:02x}")).collect();
    assert!(pieces.found_in(hex.as_bytes()).is_some());
    assert!(pieces.found_in(b"abc\xff\xd8\xff\xe0").is_some());
    assert!(pieces.found_in(b"{\"score\":1.25,\"label\":\"smile\"}").is_none());
}
