//! What a clip really shows at its two ends, and how far its sound is off, read from pixels and samples.

use std::path::Path;
use std::process::{Command, Stdio};

use super::support::stream::TestStream;
use super::support::{barcode, melody};

/// Pictures are read at this size; a cell of the number is then 20 × 22 pixels.
const SIZE: (usize, usize) = (320, 180);

/// A clip's ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edges {
    /// Numbers of the first and the last picture that a player shows.
    pub first: Option<u32>,
    pub last: Option<u32>,
    /// The sound's largest shift against the pictures in milliseconds; `None` where it fits nowhere within 300 ms.
    pub av_ms: Option<f64>,
}

/// Reads a clip of a stream made by `made`.
pub fn read(path: &Path, made: &TestStream) -> Edges {
    let (start, length) = (probe(path, "start_time"), probe(path, "duration"));
    let first = numbers(path, &[], &["-frames:v", "1"]).first().copied().flatten();
    let late = format!("{:.3}", (length.unwrap_or(0.0) - 0.8).max(0.0));
    let last = numbers(path, &["-ss", &late], &[]).last().copied().flatten();
    let zero = first.zip(start).map(|(n, start)| made.time_of(n) - start);
    Edges { first, last, av_ms: zero.and_then(|zero| shift(path, zero)) }
}

fn probe(path: &Path, what: &str) -> Option<f64> {
    let mut probe = Command::new("ffprobe");
    probe.args(["-v", "quiet", "-select_streams", "v:0", "-show_entries", &format!("stream={what}")]);
    let text = probe.args(["-of", "csv=p=0"]).arg(path).output().ok()?.stdout;
    String::from_utf8_lossy(&text).trim().parse().ok()
}

fn numbers(path: &Path, before: &[&str], after: &[&str]) -> Vec<Option<u32>> {
    let (w, h) = SIZE;
    let mut decode = Command::new("ffmpeg");
    decode.args(["-nostdin", "-v", "quiet"]).args(before).arg("-i").arg(path).args(after);
    decode.args(["-map", "0:v:0", "-fps_mode", "passthrough", "-vf", &format!("scale={w}:{h}:flags=area")]);
    decode.args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]).stderr(Stdio::null());
    let raw = decode.output().map(|out| out.stdout).unwrap_or_default();
    raw.chunks_exact(w * h).map(|picture| barcode::read(picture, w, h)).collect()
}

fn shift(path: &Path, zero: f64) -> Option<f64> {
    let mut decode = Command::new("ffmpeg");
    decode.args(["-nostdin", "-v", "quiet", "-copyts", "-i"]).arg(path);
    decode.args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-ac", "1"]);
    decode.args(["-ar", &melody::RATE.to_string(), "-f", "f32le", "pipe:1"]);
    let raw = decode.output().ok()?.stdout;
    let sound: Vec<f32> = raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let mut worst = 0.0_f64;
    for part in [0.1, 0.5, 0.9] {
        let from = (sound.len() as f64 * part) as usize;
        let window = sound.get(from..from + melody::RATE / 4)?;
        let at = zero + from as f64 / melody::RATE as f64;
        let off = melody::offset_ms(window, at, 300)?;
        worst = if off.abs() > worst.abs() { off } else { worst };
    }
    Some(worst)
}
