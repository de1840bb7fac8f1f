use std::path::Path;
use std::time::Duration;

use super::cut::{CutRequest, cut};
use super::media::{fill, in_clips, picture_at};
use super::{Clip, ClipState, Profile, Span, clip_file, stills};
use crate::media::ffmpeg::Ffmpeg;
use crate::recorder::Recording;
use crate::{Error, ErrorKind, Result, Timestamp};

/// The longest clip that is cut by hand: a file is read back whole when it is verified.
pub const MAX_RECUT: Duration = Duration::from_secs(600);

/// Cuts a clip anew, exactly, between other bounds, into `out/clips/`. It has the id it had, and one more
/// [edit](Clip::edit); the former file stays as it is. Pictures are made where it had some.
///
/// Blocks; call it from a thread that may.
///
/// # Errors
/// `InvalidInput` where the bounds make no clip; `Conflict` where the recording does not hold all of it without a gap; else as
/// [`cut`].
pub fn recut(
    out: &Path,
    recording: &Recording,
    clip: &Clip,
    span: Span,
    peak: Option<Timestamp>,
) -> Result<Clip> {
    if span.end <= span.start {
        return Err(Error::invalid(format!(
            "a clip cannot end ({}) before it starts ({})",
            span.end, span.start
        )));
    }
    if span.secs() > MAX_RECUT.as_secs_f64() {
        return Err(Error::invalid(format!("a clip has at most {} s", MAX_RECUT.as_secs())));
    }
    if !recording.stretches().iter().any(|held| held.start <= span.start && span.end <= held.end) {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!("the recording does not hold all of {} to {} any more, or yet", span.start, span.end),
        ));
    }
    recording.check_room()?;
    let mut other = Clip {
        state: ClipState::Ready,
        url: None,
        thumbnail: None,
        preview: None,
        asked: span,
        edit: clip.edit + 1,
        ..clip.clone()
    };
    let path = out.join("clips").join(clip_file(&other));
    let ffmpeg = Ffmpeg::default();
    let request = CutRequest { span, peak, profile: Profile::Exact };
    let report = cut(&ffmpeg, recording, &request, None, &path).map_err(|e| match e.kind() {
        // It was deleted a moment ago.
        ErrorKind::NotFound => Error::new(ErrorKind::Conflict, e.message().to_owned()),
        _ => e,
    })?;
    other.path = in_clips(&path);
    fill(&mut other, report);
    if (clip.thumbnail.is_some() || clip.preview.is_some())
        && let Some(achieved) = other.achieved
    {
        match stills::make(&ffmpeg, &path, picture_at(achieved, peak)) {
            Ok(made) => {
                other.thumbnail = in_clips(&made.thumbnail);
                other.preview = made.preview.as_deref().and_then(in_clips);
            }
            Err(error) => tracing::warn!(clip = %clip.id, %error, "no thumbnail could be made"),
        }
    }
    Ok(other)
}
