//! Reads clips back as a viewer's player would show them: through ffmpeg, edit lists obeyed, each picture
//! decoded and its number read from its pixels.

use std::path::Path;
use std::process::Command;

use super::programs::run;
use super::stream::TestStream;
use super::{barcode, melody};

/// A shown picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture {
    /// Its number; `None` where the pixels are damaged.
    pub number: Option<u32>,
    /// Seconds in the file at which it is shown.
    pub pts: f64,
}

/// All pictures in the order shown.
///
/// # Panics
/// Where ffmpeg reports any error: a clip must decode without one.
pub fn pictures(path: &Path) -> Vec<Picture> {
    let (w, h) = size(path);
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-xerror", "-copyts", "-i"]).arg(path);
    decode.args([
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-pix_fmt",
        "gray",
        "-f",
        "rawvideo",
        "pipe:1",
    ]);
    let raw = run(&mut decode);
    let pts = column(path, "v:0", "frame=best_effort_timestamp_time");
    let numbers: Vec<_> = raw.chunks_exact(w * h).map(|picture| barcode::read(picture, w, h)).collect();
    assert_eq!(numbers.len(), pts.len(), "{}: pictures and timestamps differ in number", path.display());
    numbers.into_iter().zip(pts).map(|(number, pts)| Picture { number, pts }).collect()
}

/// Width and height.
pub fn size(path: &Path) -> (usize, usize) {
    let (w, h) = (column(path, "v:0", "stream=width"), column(path, "v:0", "stream=height"));
    (w[0] as usize, h[0] as usize)
}

/// Seconds at which the first picture is shown.
pub fn start(path: &Path) -> f64 {
    column(path, "v:0", "stream=start_time")[0]
}

/// Seconds in the file at which the stored keyframes are shown.
pub fn keyframes(path: &Path) -> Vec<f64> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time,flags"]);
    let text = run(probe.args(["-of", "csv=p=0"]).arg(path));
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| line.split_once(','))
        .filter(|(_, flags)| flags.starts_with('K'))
        .filter_map(|(pts, _)| pts.parse().ok())
        .collect()
}

fn column(path: &Path, stream: &str, entries: &str) -> Vec<f64> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0"]);
    let text = run(probe.arg(path));
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| line.trim_end_matches(','))
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().unwrap_or_else(|_| panic!("{}: {entries} is {line:?}", path.display())))
        .collect()
}

/// The sound at [`melody::RATE`], mixed to one channel; its first sample lies at the file's zero.
pub fn sound(path: &Path) -> Vec<f32> {
    let mut decode = Command::new("ffmpeg");
    decode.args(["-v", "error", "-xerror", "-copyts", "-i"]).arg(path);
    decode.args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1"]);
    decode.args(["-ar", &melody::RATE.to_string(), "-f", "f32le", "pipe:1"]);
    run(&mut decode).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// What a clip of a [`TestStream`] turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipReading {
    /// The first picture's number.
    pub first: u32,
    /// The last picture's number.
    pub last: u32,
    /// Pictures in all.
    pub pictures: usize,
    /// Numbers between first and last that are not shown.
    pub missing: Vec<u32>,
    /// Pictures whose number is damaged, or not larger than the one before.
    pub wrong: usize,
    /// The largest distance in milliseconds between when a picture is shown and when it should be,
    /// counted from the first one.
    pub jitter_ms: f64,
    /// Seconds in the file at which the first picture is shown.
    pub start: f64,
    /// Seconds in the file from which and to which sound is heard; `None` where there is no sound.
    pub sound: Option<(f64, f64)>,
    /// Sound later (+) or earlier (−) than the pictures, in milliseconds, at several places; empty where there is no sound.
    pub av_ms: Vec<f64>,
}

impl ClipReading {
    /// The largest distance between sound and pictures in milliseconds.
    pub fn worst_av_ms(&self) -> f64 {
        self.av_ms.iter().fold(0.0, |worst, ms| ms.abs().max(worst))
    }
}

/// Reads a clip that was cut from a stream made by `made`.
///
/// # Panics
/// Where it does not decode cleanly, shows no picture, or its sound is not the stream's at all.
pub fn clip(path: &Path, made: &TestStream) -> ClipReading {
    let shown = pictures(path);
    let numbers: Vec<u32> = shown.iter().filter_map(|p| p.number).collect();
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        panic!("{} shows no numbered picture ({} pictures)", path.display(), shown.len());
    };
    let backward = numbers.windows(2).filter(|pair| pair[1] <= pair[0]).count();
    let zero = |p: &Picture| p.number.map(|n| p.pts - made.time_of(n));
    let base = shown.iter().find_map(zero).unwrap_or_default();
    let jitter = shown.iter().filter_map(zero).map(|z| (z - base).abs()).fold(0.0, f64::max);
    let heard = has_audio(path).then(|| {
        let sound = sound(path);
        let span = audible(&sound).unwrap_or_else(|| panic!("{} is silent", path.display()));
        (sound, span)
    });
    ClipReading {
        first,
        last,
        pictures: shown.len(),
        missing: (first..=last).filter(|n| !numbers.contains(n)).collect(),
        wrong: shown.len() - numbers.len() + backward,
        jitter_ms: jitter * 1000.0,
        start: shown[0].pts,
        sound: heard.as_ref().map(|(_, span)| *span),
        av_ms: heard.map_or_else(Vec::new, |(sound, span)| av_offsets(path, &sound, span, -base)),
    }
}

fn has_audio(path: &Path) -> bool {
    !column(path, "a:0", "stream=index").is_empty()
}

/// Seconds from the first to the last sample that is not silence.
fn audible(sound: &[f32]) -> Option<(f64, f64)> {
    let loud = |s: &f32| s.abs() > 0.01;
    let (first, last) = (sound.iter().position(loud)?, sound.iter().rposition(loud)?);
    Some((first as f64 / melody::RATE as f64, (last + 1) as f64 / melody::RATE as f64))
}

/// The sound's shift at quarter-second windows spread over the audible part; `zero` is the stream's instant at
/// the file's zero, as its pictures say.
fn av_offsets(path: &Path, sound: &[f32], (from, to): (f64, f64), zero: f64) -> Vec<f64> {
    const WINDOW_SECS: f64 = 0.25;
    assert!(to - from > 2.0 * WINDOW_SECS, "{}: {from} to {to} s is too little sound", path.display());
    [0.05, 0.25, 0.5, 0.75, 0.95]
        .iter()
        .map(|part| {
            let start = ((from + (to - from - WINDOW_SECS) * part) * melody::RATE as f64) as usize;
            let window = &sound[start..start + (WINDOW_SECS * melody::RATE as f64) as usize];
            let at = start as f64 / melody::RATE as f64;
            melody::offset_ms(window, zero + at, 100)
                .unwrap_or_else(|| panic!("{}: the sound at {at:.2} s is not the stream's", path.display()))
        })
        .collect()
}
