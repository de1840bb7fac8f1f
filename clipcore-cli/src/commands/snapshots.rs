//! `clipcore snapshots`: pictures of an input, posted to a server that looks at them.

use std::io::{BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::source::media::Input;
use clipcore::{Error, ErrorKind, Result};

use crate::cli::Global;
use crate::exit::Exit;
use crate::output::{self, Progress};

/// The longest picture: nothing that a server takes is longer.
const MAX_PICTURE: usize = 16 << 20;
/// How often a picture that must arrive is sent again, and how long that waits.
const TRIES: u32 = 100;
const WAIT: Duration = Duration::from_millis(200);

/// Arguments of `snapshots`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore snapshots rtmp://localhost/live/key --to http://127.0.0.1:8484/v1/streams/show/frames
  CLIPCORE_TOKEN=ccore_… clipcore snapshots /dev/video0 --to https://clips.example/v1/streams/show/frames
  clipcore snapshots talk.mp4 --timeline --to http://127.0.0.1:8484/v1/streams/talk/frames

The server looks at them where the stream's people agreed to that: curl -X PUT -d '{\"consent\":\"face\"}' …/v1/streams/show
It needs models of faces there; see clipcore models list.")]
pub struct SnapshotsArgs {
    /// A file, an HLS playlist, rtmp://, srt://, rtsp://
    #[arg(value_name = "INPUT")]
    pub input: String,
    /// Where they are posted
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Pictures a second
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub fps: f64,
    /// Columns of the pictures; rows follow from the shape
    #[arg(long, value_name = "PIXELS", default_value_t = 640)]
    pub width: u32,
    /// Says where each lies on the stream's timeline, from 0 on, instead of that it is taken now; a file is then read as
    /// fast as it is taken, and no picture is left out
    #[arg(long)]
    pub timeline: bool,
    /// A token with the scope ingest; better in the environment, where other users cannot see it
    #[arg(long, value_name = "TOKEN", env = "CLIPCORE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Where the input cannot be read, or the server refuses for good.
pub fn run(args: &SnapshotsArgs, global: &Global) -> anyhow::Result<Exit> {
    let fps = args.fps.is_finite() && args.fps > 0.0 && args.fps <= 10.0;
    if !fps || !(16..=4096).contains(&args.width) {
        return Err(Error::config("--fps must be above 0 and at most 10, --width from 16 to 4096").into());
    }
    let input = Input::parse(&args.input)?;
    let ffmpeg = Ffmpeg::default();
    ffmpeg.version()?;
    let mut command = ffmpeg.command();
    if !args.timeline && !input.is_live() {
        command.arg("-re");
    }
    let filter = format!("fps={},scale={}:-2", args.fps, args.width);
    command.args(["-i", &args.input, "-an", "-sn", "-vf", &filter]);
    command.args(["-f", "image2pipe", "-c:v", "mjpeg", "-q:v", "4", "pipe:1"]).stdout(Stdio::piped());
    let mut running = ffmpeg.spawn(&mut command)?;
    let stdout = running.child.stdout.take();
    let mut pictures =
        Pictures::new(stdout.ok_or_else(|| Error::new(ErrorKind::Internal, "ffmpeg has no output"))?);
    let progress = Progress::start(format!("looking at {}", input.display_name()), global.quiet);
    let (mut sent, mut left_out) = (0_u64, 0_u64);
    while let Some(picture) = pictures.next()? {
        let at = args.timeline.then(|| (sent + left_out) as f64 / args.fps);
        if post(args, at, &picture)? {
            sent += 1;
        } else {
            left_out += 1;
        }
        progress.update(format!("{sent} pictures sent, {left_out} left out"));
    }
    progress.finish();
    if sent + left_out == 0 {
        let text = format!("no picture came from {}", input.display_name());
        return Err(Error::new(ErrorKind::Media, text).with_context("ffmpeg", running.last_words()).into());
    }
    if !global.quiet {
        output::note(&format!("{sent} pictures sent, {left_out} left out"));
    }
    Ok(Exit::Done)
}

/// Posts a picture; whether it was taken. One of now that is not taken at once is left out: the next one is newer.
fn post(args: &SnapshotsArgs, at: Option<f64>, picture: &[u8]) -> Result<bool> {
    let url = match at {
        Some(at) => format!("{}{}at={at}", args.to, if args.to.contains('?') { '&' } else { '?' }),
        None => args.to.clone(),
    };
    let tries = if at.is_some() { TRIES } else { 1 };
    let mut said = String::new();
    for n in 0..tries {
        if n > 0 {
            std::thread::sleep(WAIT);
        }
        let mut request = ureq::post(&url).config().http_status_as_error(false).build();
        request = request.header("content-type", "image/jpeg");
        if let Some(token) = &args.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = match request.send(picture) {
            Ok(response) => response,
            Err(error) => {
                said = error.to_string();
                continue;
            }
        };
        let status = response.status().as_u16();
        if status < 300 {
            return Ok(true);
        }
        said = response.body_mut().read_to_string().unwrap_or_default();
        if !matches!(status, 429 | 503) {
            let problem: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or(&said).to_owned();
            let error = Error::new(ErrorKind::Unavailable, "the server does not take the pictures")
                .with_retryable(false)
                .with_context("to", &args.to)
                .with_context("status", status)
                .with_context("said", detail);
            return Err(match problem["hint"].as_str() {
                Some(hint) => error.with_hint(hint.to_owned()),
                None => error,
            });
        }
    }
    if at.is_some() {
        return Err(Error::new(ErrorKind::Unavailable, "the server took a picture too long to take")
            .with_context("to", &args.to)
            .with_context("said", said));
    }
    tracing::info!("a picture was left out: {said}");
    Ok(false)
}

/// JPEG pictures, one after the other in a pipe: each ends where the marker of its end stands, which coded pixels never
/// hold.
struct Pictures<R> {
    from: BufReader<R>,
    waiting: Vec<u8>,
}

impl<R: Read> Pictures<R> {
    fn new(from: R) -> Self {
        Self { from: BufReader::new(from), waiting: Vec::new() }
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut looked = 0;
        loop {
            let end =
                self.waiting[looked..].windows(2).position(|w| w == [0xff, 0xd9]).map(|at| looked + at + 2);
            if let Some(end) = end {
                let rest = self.waiting.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.waiting, rest)));
            }
            looked = self.waiting.len().saturating_sub(1);
            if self.waiting.len() > MAX_PICTURE {
                return Err(Error::new(ErrorKind::Media, "ffmpeg gave something that is no picture"));
            }
            let mut chunk = [0; 1 << 14];
            match self.from.read(&mut chunk)? {
                0 => return Ok(None),
                n => self.waiting.extend_from_slice(&chunk[..n]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            (into[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    #[test]
    fn pictures_are_told_apart_however_the_pipe_cuts_them() {
        let two = [0xff, 0xd8, 1, 0xff, 0, 0xd9, 0xff, 0xd9, 0xff, 0xd8, 2, 0xff, 0xd9, 0xff, 0xd8, 3];
        let expected = [two[..8].to_vec(), two[8..13].to_vec()];
        let mut slow = Pictures::new(Drops(&two));
        let mut quick = Pictures::new(&two[..]);
        for picture in expected {
            assert_eq!(slow.next().unwrap(), Some(picture.clone()));
            assert_eq!(quick.next().unwrap(), Some(picture));
        }
        assert_eq!((slow.next().unwrap(), quick.next().unwrap()), (None, None));
    }
}
