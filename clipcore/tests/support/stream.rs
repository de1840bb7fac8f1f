//! Makes test streams: a numbered picture per frame, a known melody as sound.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use super::barcode::Painter;
use super::melody;

/// How pictures are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Video {
    H264,
    /// With recovery points instead of IDR pictures inside the stream.
    H264OpenGop,
    Hevc,
    Av1,
    None,
}

/// How sound is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio {
    Aac,
    Opus,
    Mp3,
    None,
}

/// A stream to make. Picture `n` carries the number `first + n` and is shown at `n / fps`; the melody runs from the
/// instant `first / fps`, so that number and sound of a continued stream go on.
#[derive(Debug, Clone)]
pub struct TestStream {
    pub size: (usize, usize),
    /// Pictures per second, as a fraction.
    pub fps: (u32, u32),
    /// Pictures in all.
    pub pictures: u32,
    /// The first picture's number.
    pub first: u32,
    /// Pictures from keyframe to keyframe.
    pub gop: u32,
    /// B-pictures in a row; 0 for none.
    pub b_frames: u32,
    pub video: Video,
    pub audio: Audio,
    /// Further output options for ffmpeg, for example `["-vf", "select=…", "-fps_mode", "vfr"]`.
    pub extra: Vec<String>,
}

impl Default for TestStream {
    /// 20 s of 640×360 at 30 fps, H.264 with two B-pictures and a keyframe every 2 s, AAC.
    fn default() -> Self {
        Self {
            size: (640, 360),
            fps: (30, 1),
            pictures: 600,
            first: 0,
            gop: 60,
            b_frames: 2,
            video: Video::H264,
            audio: Audio::Aac,
            extra: Vec::new(),
        }
    }
}

impl TestStream {
    /// Seconds of the melody at which the picture with this number is shown.
    pub fn time_of(&self, number: u32) -> f64 {
        f64::from(number) * f64::from(self.fps.1) / f64::from(self.fps.0)
    }

    /// Length in seconds.
    pub fn secs(&self) -> f64 {
        self.time_of(self.pictures)
    }

    /// The stream in a file that ends in `.container`, made when it is first asked for and then kept for all tests and
    /// all later runs. Nobody may write to it.
    ///
    /// # Panics
    /// Where ffmpeg fails.
    pub fn kept(&self, container: &str) -> PathBuf {
        static MADE: Mutex<BTreeMap<PathBuf, Arc<OnceLock<()>>>> = Mutex::new(BTreeMap::new());
        let sources = [include_str!("stream.rs"), include_str!("barcode.rs"), include_str!("melody.rs")];
        let mut hasher = DefaultHasher::new();
        (sources, format!("{self:?}")).hash(&mut hasher);
        let name = format!("stream-{:016x}.{container}", hasher.finish());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let once = MADE
            .lock()
            .expect("making a stream does not happen under the lock")
            .entry(path.clone())
            .or_default()
            .clone();
        once.get_or_init(|| {
            if !path.exists() {
                // Another test program may be at it too: whoever is last replaces like by like.
                let own = path.with_extension(format!("{}.{container}", std::process::id()));
                self.write(&own);
                std::fs::rename(&own, &path).expect("the stream can be kept");
            }
        });
        path
    }

    /// Encodes the stream to `path`; its ending names the container (`mp4`, `ts`, `flv`, `mkv`).
    ///
    /// # Panics
    /// Where ffmpeg fails.
    pub fn write(&self, path: &Path) {
        let (w, h) = self.size;
        let rate = 48_000;
        // The same stream may be made in two containers at a time.
        let sound = PathBuf::from(format!("{}.melody", path.display()));
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y"]).env("SVT_LOG", "1");
        if self.video != Video::None {
            command.args(["-f", "rawvideo", "-pix_fmt", "gray", "-s", &format!("{w}x{h}")]);
            command.args(["-framerate", &format!("{}/{}", self.fps.0, self.fps.1), "-i", "pipe:0"]);
        }
        if self.audio != Audio::None {
            let from = (self.time_of(self.first) * f64::from(rate)).round() as usize;
            let count = (self.secs() * f64::from(rate)).round() as usize;
            let bytes: Vec<u8> =
                melody::samples(from, count, rate as usize).iter().flat_map(|s| s.to_le_bytes()).collect();
            std::fs::write(&sound, bytes).expect("the melody can be written");
            command.args(["-f", "f32le", "-ar", &rate.to_string(), "-ac", "1", "-i"]).arg(&sound);
        }
        command.args(self.video_args()).args(self.audio_args()).args(&self.extra).arg(path);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("ffmpeg starts");
        let mut pipe = child.stdin.take().expect("a pipe was asked for");
        if self.video != Video::None {
            let painter = Painter::new(w, h);
            for n in self.first..self.first + self.pictures {
                pipe.write_all(&painter.paint(n)).expect("ffmpeg takes the pictures");
            }
        }
        drop(pipe);
        let status = child.wait().expect("ffmpeg ends");
        let _ = std::fs::remove_file(sound);
        assert!(status.success(), "ffmpeg made no test stream: {command:?}");
    }

    fn video_args(&self) -> Vec<String> {
        let (gop, b) = (self.gop.to_string(), self.b_frames.to_string());
        let list = match self.video {
            Video::None => vec!["-vn"],
            Video::H264 | Video::H264OpenGop => {
                let params = if self.video == Video::H264 { "scenecut=0" } else { "scenecut=0:open-gop=1" };
                // b_strategy 0: B-pictures everywhere, not only where they pay.
                vec![
                    "-c:v",
                    "libx264",
                    "-preset",
                    "superfast",
                    "-bf",
                    &b,
                    "-b_strategy",
                    "0",
                    "-g",
                    &gop,
                    "-keyint_min",
                    &gop,
                    "-x264-params",
                    params,
                    "-pix_fmt",
                    "yuv420p",
                ]
            }
            Video::Hevc => {
                vec!["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-tag:v", "hvc1"]
            }
            Video::Av1 => vec!["-c:v", "libsvtav1", "-preset", "12", "-g", &gop, "-pix_fmt", "yuv420p"],
        };
        let mut list: Vec<String> = list.into_iter().map(str::to_owned).collect();
        if self.video == Video::Hevc {
            list.push("-x265-params".into());
            list.push(format!("log-level=error:keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b}"));
        }
        list
    }

    fn audio_args(&self) -> Vec<String> {
        let list: &[&str] = match self.audio {
            Audio::None => &["-an"],
            Audio::Aac => &["-c:a", "aac", "-b:a", "128k"],
            Audio::Opus => &["-c:a", "libopus", "-b:a", "96k"],
            Audio::Mp3 => &["-c:a", "libmp3lame", "-b:a", "128k"],
        };
        list.iter().map(|&s| s.to_owned()).collect()
    }
}
