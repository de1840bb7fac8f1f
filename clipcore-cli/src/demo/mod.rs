//! The demo's own stream: two minutes of a game that is drawn and synthesised here, with moments and distractors at known
//! instants. Nothing is downloaded, and the same seed makes the same stream.

mod canvas;
mod chat;
mod encode;
mod random;
mod report;
mod scene;
mod sound;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use clipcore::{Error, Result};
pub use report::report;
pub use table::table;

use crate::output::Progress;

/// The stream's id.
pub const STREAM: &str = "demo";
/// Length in seconds.
pub const SECS: u32 = 120;
/// Columns and rows of the pictures.
pub const SIZE: (usize, usize) = (640, 360);
/// Pictures a second.
pub const FPS: u32 = 30;
/// Samples a second.
pub const RATE: u32 = 48_000;

/// Something that happens in the stream; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Happening {
    /// What it is called in the truth file and on screen.
    pub kind: &'static str,
    /// When it begins.
    pub start: f64,
    /// When it is over.
    pub end: f64,
}

/// What a viewer would want clips of: the crowd reacts, and chat erupts a few seconds later. They are further apart than
/// the time that fusion leaves between two moments (45 s unless it is set otherwise).
pub const MOMENTS: [Happening; 2] = [
    Happening { kind: "cheer", start: 38.0, end: 44.5 },
    Happening { kind: "applause", start: 101.0, end: 108.0 },
];

/// What is loud or busy and no moment: sounds that nobody reacts to, and a raid that fills chat with greetings.
pub const DISTRACTORS: [Happening; 3] = [
    Happening { kind: "beep", start: 17.0, end: 17.2 },
    Happening { kind: "raid", start: 66.0, end: 72.0 },
    Happening { kind: "bang", start: 84.0, end: 84.4 },
];

/// Where the parts of a demo stream lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoStream {
    /// H.264 with B-pictures and a keyframe every 2 s, AAC, in MP4.
    pub media: PathBuf,
    /// Chat as JSON lines.
    pub chat: PathBuf,
    /// `stream,start,end,kind` of the true moments.
    pub truth: PathBuf,
}

/// Makes the stream in `dir`.
///
/// # Errors
/// `Unsupported` where ffmpeg is missing or fails, `Io` or `DiskFull` where `dir` cannot be written.
pub fn make(dir: &Path, seed: u64, progress: &Progress) -> Result<DemoStream> {
    fs::create_dir_all(dir).map_err(|e| Error::io(e, dir))?;
    let stream = DemoStream {
        media: dir.join("demo.mp4"),
        chat: dir.join("demo.chat.jsonl"),
        truth: dir.join("demo.truth.csv"),
    };
    let write = |path: &Path, text: String| fs::write(path, text).map_err(|e| Error::io(e, path));
    write(&stream.chat, chat::lines(seed))?;
    write(&stream.truth, truth())?;
    progress.update("synthesising two minutes of sound");
    let sound = sound::synthesise(seed);
    encode::encode(&stream.media, &sound, seed, progress)?;
    Ok(stream)
}

fn truth() -> String {
    let mut text = String::from("stream,start,end,kind\n");
    for m in MOMENTS {
        text.push_str(&format!("{STREAM},{:.2},{:.2},{}\n", m.start, m.end, m.kind));
    }
    text
}

/// How much the crowd is moved at `t`: 0 when nothing happens, up to 1.
fn excitement(t: f64) -> f64 {
    MOMENTS
        .iter()
        .map(|m| ((t - m.start) / 0.5).clamp(0.0, 1.0) * ((m.end - t) / 1.5).clamp(0.0, 1.0))
        .fold(0.0, f64::max)
}
