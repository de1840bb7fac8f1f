use std::fs;
use std::path::{Path, PathBuf};

use crate::media::ffmpeg::Ffmpeg;
use crate::{Error, Result};

/// What was made beside a clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stills {
    pub(super) thumbnail: PathBuf,
    /// A small, silent version; absent where it could not be made.
    pub(super) preview: Option<PathBuf>,
}

/// Columns of a preview.
const PREVIEW_WIDTH: u32 = 320;

/// Makes a picture of the instant `into` seconds after the clip's start, and a small version of the clip that shows
/// only pictures which others refer to: half the decoding, and still moving.
pub(super) fn make(ffmpeg: &Ffmpeg, clip: &Path, into: f64) -> Result<Stills> {
    let thumbnail = clip.with_extension("jpg");
    let input = format!("file:{}", clip.display());
    let at = format!("{into:.3}");
    let picture: &[&str] = &["-ss", &at, "-i", &input, "-frames:v", "1", "-q:v", "4", "-f", "mjpeg"];
    run(ffmpeg, picture, &thumbnail)?;
    let preview = clip.with_extension("preview.mp4");
    let scale = format!("scale={PREVIEW_WIDTH}:-2:flags=fast_bilinear,fps=10");
    #[rustfmt::skip]
    let small: &[&str] = &[
        "-skip_frame", "noref", "-i", &input, "-an", "-vf", &scale, "-c:v", "libx264", "-preset", "superfast",
        "-crf", "30", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4",
    ];
    let preview = run(ffmpeg, small, &preview).ok().map(|()| preview);
    Ok(Stills { thumbnail, preview })
}

/// Runs ffmpeg into a temporary file that takes its name when it is whole.
fn run(ffmpeg: &Ffmpeg, args: &[&str], path: &Path) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let target = format!("file:{}", temporary.display());
    let made =
        ffmpeg.output([&["-hide_banner", "-nostdin", "-v", "warning", "-y"], args, &[&target]].concat());
    let whole = made.and_then(|_| match fs::metadata(&temporary) {
        Ok(meta) if meta.len() > 0 => fs::rename(&temporary, path).map_err(|e| Error::io(e, path)),
        _ => Err(Error::new(crate::ErrorKind::Media, "ffmpeg made nothing")),
    });
    whole.inspect_err(|_| drop(fs::remove_file(&temporary)))
}
