use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::stable_id;
use crate::{CameraId, StreamId, Timestamp};

/// A stretch of a stream's timeline; `end` is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Span {
    /// Length in seconds; negative where the span is inside out.
    pub fn secs(&self) -> f64 {
        self.end.secs_since(self.start)
    }
}

/// How a clip is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Starts and ends on the frame asked for: the head up to the first keyframe is re-encoded, the rest
    /// is copied. Where that is unsafe for the codec, everything is re-encoded.
    #[default]
    Exact,
    /// Copied from the keyframe at or before the start: cheapest, starts early by up to one GOP.
    Keyframe,
}

impl Profile {
    /// `exact` or `keyframe`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Keyframe => "keyframe",
        }
    }
}

/// Where a clip is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClipState {
    /// Asked for; the recording is still growing or the cut is under way.
    Pending,
    /// The file is there and verified.
    Ready,
    /// There will be no file; `reasons` says why.
    Failed,
}

/// One transition of a clip; the newest line of an id is what the clip is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// Hash of moment id, camera and profile, never of bounds.
    pub id: Arc<str>,
    /// The moment it shows.
    pub moment: Arc<str>,
    /// The moment's `rev` that its bounds come from.
    pub rev: u32,
    /// The stream.
    pub stream: StreamId,
    /// The camera.
    pub camera: CameraId,
    /// Where it is in its life.
    pub state: ClipState,
    /// The file, relative to the output folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where a sink put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A picture at the peak, relative to the output folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<PathBuf>,
    /// A small, silent version, relative to the output folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PathBuf>,
    /// The bounds that were asked for.
    pub asked: Span,
    /// The bounds that the file has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub achieved: Option<Span>,
    /// Whether the file starts and ends on the frames asked for.
    pub exact: bool,
    /// Why the achieved bounds differ from those asked for, or why there is no file.
    pub reasons: Vec<String>,
    /// Codecs as RFC 6381 names them, for example `avc1.64001F,mp4a.40.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Mean frames per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Size of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of the file in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How often its bounds were changed by hand since it was first cut.
    #[serde(default, skip_serializing_if = "never")]
    pub edit: u32,
    /// W3C `traceparent` of its moment, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Arc<str>>,
}

impl Clip {
    /// What tells its transitions apart, and rises from one to the next: 0 pending, 1 ready, 2 ready with pictures
    /// beside it, 3 failed; four more for each [edit](Self::edit).
    pub fn transition(&self) -> u32 {
        let state = match self.state {
            ClipState::Pending => 0,
            ClipState::Ready if self.thumbnail.is_none() && self.preview.is_none() => 1,
            ClipState::Ready => 2,
            ClipState::Failed => 3,
        };
        self.edit.saturating_mul(4).saturating_add(state)
    }
}

fn never(edit: &u32) -> bool {
    *edit == 0
}

/// The name of a clip's file in `clips/`: stream, start and id, and which edit it is of one that was cut anew.
#[cfg(feature = "media")]
pub(super) fn clip_file(clip: &Clip) -> String {
    let Clip { stream, id, asked, edit, .. } = clip;
    let edit = if never(edit) { String::new() } else { format!(".{edit}") };
    format!("{stream}_{:09.3}_{id}{edit}.mp4", asked.start.as_secs_f64().max(0.0))
}

/// What is left of the name of a file in `clips/` behind its stream and start, where it is one of `stream`'s.
#[cfg(feature = "runtime")]
pub(crate) fn clip_file_of<'n>(name: &'n str, stream: &StreamId) -> Option<&'n str> {
    let (start, rest) = name.strip_prefix(stream.as_str())?.strip_prefix('_')?.split_once('_')?;
    // Nine characters at least, three of them after the point.
    let is_start = start.len() >= 9
        && start.rfind('.') == Some(start.len() - 4)
        && start.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    // Else the stream's name is longer.
    (is_start && !rest.contains('_')).then_some(rest)
}

/// The id of the clip that shows a moment on a camera.
pub fn clip_id(moment: &str, camera: &CameraId, profile: Profile) -> Arc<str> {
    stable_id(&[b"clip", moment.as_bytes(), camera.as_str().as_bytes(), profile.as_str().as_bytes()]).into()
}
