//! `clipcore cut`: a clip out of a recording.

use std::path::{Path, PathBuf};

use clap::Args;
use clipcore::cutter::{CutRequest, Profile, Span, cut};
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::recorder::Recording;
use clipcore::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp};
use serde_json::json;

use crate::cli::Global;
use crate::exit::Exit;
use crate::{inputs, output};

/// Arguments of `cut`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore cut clipcore-out --from 83.5 --to 1:52 -o goal.mp4           copied, from the keyframe before 83.5 s
  clipcore cut clipcore-out --from 83.5 --to 1:52 --exact -o goal.mp4   from the very frame

Times are on the stream's timeline, as in moments.jsonl.")]
pub struct CutArgs {
    /// The folder of a run
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the clip begins: seconds, mm:ss or h:mm:ss
    #[arg(long, value_name = "S", value_parser = inputs::instant, allow_negative_numbers = true)]
    pub from: Timestamp,
    /// Where the clip ends: seconds, mm:ss or h:mm:ss
    #[arg(long, value_name = "S", value_parser = inputs::instant, allow_negative_numbers = true)]
    pub to: Timestamp,
    /// Begins and ends on the frames asked for; re-encodes the few frames before the first keyframe
    #[arg(long)]
    pub exact: bool,
    /// The stream, where DIR holds several
    #[arg(long, value_name = "ID", value_parser = inputs::stream_id)]
    pub stream: Option<StreamId>,
    /// The camera
    #[arg(long, value_name = "ID", value_parser = inputs::camera_id)]
    pub camera: Option<CameraId>,
    /// The file to write
    #[arg(short, long = "output", value_name = "F")]
    pub output: PathBuf,
}

impl CutArgs {
    /// The bounds asked for.
    ///
    /// # Errors
    /// `Config` where the end is not after the start.
    pub fn span(&self) -> Result<Span> {
        if self.to <= self.from {
            return Err(Error::config(format!("--to ({}) is not after --from ({})", self.to, self.from)));
        }
        Ok(Span { start: self.from, end: self.to })
    }

    /// How the clip is to be made.
    pub fn profile(&self) -> Profile {
        if self.exact { Profile::Exact } else { Profile::Keyframe }
    }
}

/// Runs the command; prints what was cut as one JSON line.
///
/// # Errors
/// Where the recording or the span is not there, or the file cannot be written.
pub fn run(args: &CutArgs, global: &Global) -> anyhow::Result<Exit> {
    let span = args.span()?;
    let dir = recording(args)?;
    let recording = Recording::open(&dir)?;
    let progress = output::Progress::start("cutting", global.quiet);
    let request = CutRequest { span, peak: None, profile: args.profile() };
    if let Some(folder) = args.output.parent().filter(|f| !f.as_os_str().is_empty() && !f.is_dir()) {
        return Err(Error::new(ErrorKind::NotFound, "the folder of the clip is not there")
            .with_context("path", folder.display())
            .with_hint("make it first, or write elsewhere with -o")
            .into());
    }
    let report = cut(&Ffmpeg::default(), &recording, &request, None, &args.output)?;
    progress.finish();
    output::json_line(&json!({
        "path": args.output,
        "asked": span,
        "achieved": report.achieved,
        "exact": report.exact,
        "reasons": report.reasons,
        "codec": report.codec,
        "width": report.width,
        "height": report.height,
        "fps": report.fps,
        "bytes": report.bytes,
        "sha256": report.sha256,
    }))?;
    Ok(Exit::Done)
}

/// The folder of the recording that is meant.
fn recording(args: &CutArgs) -> Result<PathBuf> {
    let all = args.dir.join("recordings");
    let stream = match &args.stream {
        Some(stream) if !all.join(stream.as_str()).is_dir() => {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("no stream {:?} is recorded there", stream.as_str()),
            )
            .with_context("path", all.display())
            .with_hint(format!("recorded are: {}", names(&all)?.join(", "))));
        }
        Some(stream) => stream.to_string(),
        None => only(&all, "stream", "--stream")?,
    };
    let cameras = all.join(&stream);
    let camera = match &args.camera {
        Some(camera) => camera.to_string(),
        None => only(&cameras, "camera", "--camera")?,
    };
    Ok(cameras.join(camera))
}

/// The only folder in a folder.
fn only(dir: &Path, what: &str, flag: &str) -> Result<String> {
    let mut names = names(dir)?;
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => {
            Err(Error::new(ErrorKind::NotFound, "nothing is recorded there")
                .with_context("path", dir.display()))
        }
        _ => Err(Error::config(format!("several {what}s are recorded there"))
            .with_hint(format!("choose one with {flag}: {}", names.join(", ")))),
    }
}

/// The folders in a folder, sorted.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)
        .map_err(|e| Error::io(e, dir).with_hint("name the folder that `clipcore run --out` wrote"))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}
