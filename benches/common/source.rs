//! The stream that is recorded and cut: made once, kept in `target/bench`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::programs::run;
use super::support::stream::TestStream;

/// 1080p at 30 fps and about 6 Mb/s, H.264 with two B-pictures and a keyframe every 2 s, AAC; a number in every
/// picture.
pub fn stream() -> TestStream {
    TestStream {
        size: (1920, 1080),
        pictures: 30 * super::size("SOURCE_SECS", 130) as u32,
        extra: ["-b:v", "6M", "-maxrate", "7M", "-bufsize", "6M"].map(str::to_owned).into(),
        ..TestStream::default()
    }
}

/// Where benches keep what they made.
pub fn dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    dir
}

/// The stream's file.
pub fn file() -> PathBuf {
    let made = stream();
    kept(&format!("source-{}.mp4", made.pictures), |path| made.write(path))
}

/// The stream over and over, for `secs` seconds; `args` say what of it is wanted.
pub fn looped(name: &str, secs: u32, args: &[&str]) -> PathBuf {
    let source = file();
    kept(&format!("{name}-{secs}.mp4"), |path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-stream_loop", "-1", "-i"]).arg(&source);
        run(command.args(["-t", &secs.to_string(), "-c", "copy"]).args(args).arg(path));
    })
}

fn kept(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = dir().join(name);
    if !path.exists() {
        let unfinished = dir().join(format!("unfinished-{name}"));
        make(&unfinished);
        std::fs::rename(&unfinished, &path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    path
}
