//! Pictures and sound into an MP4, through ffmpeg.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clipcore::{Error, ErrorKind, Result};

use super::canvas::Canvas;
use super::scene::Scene;
use super::{FPS, RATE, SECS, SIZE};
use crate::output::Progress;

pub(super) fn encode(to: &Path, sound: &[f32], seed: u64, progress: &Progress) -> Result<()> {
    let pcm = to.with_extension("pcm");
    let bytes: Vec<u8> = sound.iter().flat_map(|s| s.to_le_bytes()).collect();
    fs::write(&pcm, bytes).map_err(|e| Error::io(e, &pcm))?;
    let result = start(to, &pcm).and_then(|ffmpeg| feed(ffmpeg, seed, progress));
    let cleaned = fs::remove_file(&pcm).map_err(|e| Error::io(e, &pcm));
    result.and(cleaned)
}

fn start(to: &Path, pcm: &Path) -> Result<Child> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
    ffmpeg.args(["-s", &format!("{}x{}", SIZE.0, SIZE.1), "-framerate", &FPS.to_string(), "-i", "pipe:0"]);
    ffmpeg.args(["-f", "f32le", "-ar", &RATE.to_string(), "-ac", "1", "-i"]).arg(pcm);
    // As a broadcaster would send it: a keyframe every two seconds and B-pictures between.
    let gop = (2 * FPS).to_string();
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-bf", "2", "-b_strategy", "0"]);
    ffmpeg.args(["-g", &gop, "-keyint_min", &gop, "-x264-params", "scenecut=0"]);
    // Without names of programs and dates inside, the same seed gives the same file.
    ffmpeg.args(["-c:a", "aac", "-b:a", "128k", "-fflags", "+bitexact", "-flags", "+bitexact"]).arg(to);
    ffmpeg.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    ffmpeg.spawn().map_err(|e| {
        Error::new(ErrorKind::Unsupported, "ffmpeg cannot be started")
            .with_source(e)
            .with_hint("clipcore doctor says what is missing")
    })
}

fn feed(mut ffmpeg: Child, seed: u64, progress: &Progress) -> Result<()> {
    let mut pictures = ffmpeg.stdin.take();
    // Its complaints are read beside, so that it can never block on them.
    let complaints = ffmpeg.stderr.take().map(|mut stderr| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        })
    });
    let scene = Scene::new(seed);
    let mut canvas = Canvas::new(SIZE, [16, 128, 128]);
    let mut sent = Ok(());
    for number in 0..SECS * FPS {
        if number % FPS == 0 {
            progress.update(format!("drawing two minutes of pictures: {} %", number * 100 / (SECS * FPS)));
        }
        scene.draw(number, &mut canvas);
        sent = pictures.as_mut().map_or(Ok(()), |pipe| pipe.write_all(canvas.bytes()));
        if sent.is_err() {
            break;
        }
    }
    drop(pictures);
    let status = ffmpeg.wait()?;
    let complaints = complaints.and_then(|t| t.join().ok()).unwrap_or_default();
    if sent.is_ok() && status.success() {
        return Ok(());
    }
    let last = complaints.trim().lines().last().unwrap_or("no message").to_owned();
    Err(Error::new(ErrorKind::Media, format!("ffmpeg could not make the demo stream: {last}"))
        .with_context("status", status)
        .with_hint("clipcore doctor says what is missing"))
}
