//! A video file and its chat in, clips out: the whole pipeline in one function.
//!
//! ```sh
//! cargo run -p clipcore-examples --example quickstart -- talk.mp4 talk.chat.jsonl
//! cargo run -p clipcore-examples --example quickstart    # a test picture, with a marker at 22 s
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clipcore::cutter::{ClipState, CutterConfig, MediaCutter};
use clipcore::detector::{ChatBurst, Loudness, MarkerDetector};
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::log::{FileLog, FileLogConfig};
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::recorder::{Recorder, RecorderConfig};
use clipcore::sink::{JsonlSink, MemorySink};
use clipcore::source::Schedule;
use clipcore::source::media::{Input, MediaSource};
use clipcore::{CameraId, Error, ErrorKind, Result, StreamId};

#[tokio::main]
async fn main() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut args = std::env::args().skip(1);
    let (video, chat, out) = match args.next() {
        Some(video) => (PathBuf::from(video), args.next().map(PathBuf::from), PathBuf::from("clipcore-out")),
        None => {
            let (video, chat) = test_input(scratch.path())?;
            (video, Some(chat), scratch.path().join("out"))
        }
    };
    run(&video, chat.as_deref(), &out).await
}

async fn run(video: &Path, chat: Option<&Path>, out: &Path) -> Result<()> {
    let (stream, camera) = (StreamId::new("quickstart")?, CameraId::main());

    // The source records the stream, packets unchanged, and lets detectors listen beside.
    let recorder =
        Recorder::open(out.join("recording"), stream.clone(), camera.clone(), RecorderConfig::default())?;
    let recording = recorder.recording().clone();
    let input = Input::parse(&video.display().to_string())?;
    let source =
        MediaSource::new(input, camera.clone(), recorder).with_detector(Box::new(Loudness::default()))?;
    let cutter = MediaCutter::new(stream.clone(), camera, recording, out, CutterConfig::default())?;

    let mut spec = StreamSpec::new(stream.clone()).with_source(source).with_cutter(Arc::new(cutter));
    if let Some(chat) = chat {
        // Each event is let in at its own instant of the stream.
        spec = spec.with_schedule(Schedule::open(chat, &stream, &Kinds::builtin())?);
    }

    let fusion = FusionConfig::default().factory()?;
    let results = MemorySink::new();
    let pipeline = Pipeline::builder()
        .with_stream(spec)
        .with_log(Arc::new(FileLog::open(out.join("log"), FileLogConfig::default(), Kinds::builtin()).await?))
        .with_fusion(move |stream| fusion(stream))
        .with_detector(|_| Ok(Box::new(ChatBurst::default())))
        .with_detector(|_| Ok(Box::new(MarkerDetector::default())))
        .with_sink(Arc::new(JsonlSink::open(out).await?))
        .with_sink(Arc::new(results.clone()))
        .on_notice(|notice| eprintln!("{notice}"))
        .build()?;
    let summary = pipeline.run().await?;
    if let Some(error) = summary.stream_error() {
        eprintln!("the stream ended early: {error}");
    }
    // A clip is ready as soon as it can be played, and once more when thumbnail and preview are there.
    let mut seen = HashSet::new();
    for clip in results.clips().iter().filter(|c| c.state == ClipState::Ready && seen.insert(c.id.clone())) {
        let (Some(path), Some(achieved)) = (&clip.path, clip.achieved) else { continue };
        println!(
            "{}: {} to {}, exact: {}",
            out.join(path).display(),
            achieved.start,
            achieved.end,
            clip.exact
        );
    }
    Ok(())
}

/// Half a minute of a test picture, and a person who pressed "clip that" at 22 s.
fn test_input(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let (video, chat) = (dir.join("test.mp4"), dir.join("test.jsonl"));
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=30"])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=330:duration=30",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
        ])
        .args(["-pix_fmt", "yuv420p", "-g", "60", "-c:a", "aac"])
        .arg(&video)
        .status()
        .map_err(|e| Error::new(ErrorKind::Unsupported, "ffmpeg cannot be started").with_source(e))?;
    if !made.success() {
        return Err(Error::new(ErrorKind::Media, "ffmpeg could not make the test picture"));
    }
    std::fs::write(&chat, "{\"type\":\"marker\",\"at\":22,\"data\":{\"label\":\"that\"}}\n")?;
    Ok((video, chat))
}
