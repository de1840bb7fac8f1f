//! `clipcore cut`: a clip out of a recording.

use std::path::PathBuf;

use clap::Args;
use clipcore::cutter::{Profile, Span};
use clipcore::{CameraId, Error, Result, StreamId, Timestamp};

use crate::inputs;

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
    /// Where the clip begins: seconds or [h:]mm:ss
    #[arg(long, value_name = "S", value_parser = inputs::instant, allow_negative_numbers = true)]
    pub from: Timestamp,
    /// Where the clip ends: seconds or [h:]mm:ss
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
