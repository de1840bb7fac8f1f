//! From coded pictures to RGB frames, in a child ffmpeg of their own.

use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::queue::BoundedQueue;
use super::tap::TapItem;
use crate::event::media::VideoFrame;
use crate::media::ffmpeg::{Ffmpeg, Running};
use crate::media::h264::{AvcConfig, sps_without_vui};
use crate::media::mp4::{
    Fragment, FragmentReader, FragmentSample, Read as Found, fragment, init_segment, with_avc_config,
};
use crate::media::{Sample, Track};
use crate::{Error, ErrorKind, Result, Timestamp};

/// Which pictures detectors are shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameConfig {
    /// Columns of the frames that detectors see; rows follow from the picture's shape.
    pub width: u32,
    /// Frames per second. Absent: only keyframes, which cost about a twenty-fifth of decoding everything.
    pub fps: Option<f64>,
}

impl Default for FrameConfig {
    fn default() -> Self {
        Self { width: 640, fps: None }
    }
}

/// A child ffmpeg that is fed coded pictures and gives out frames, each with its instant.
#[derive(Debug)]
pub(super) struct FrameTap {
    /// Written by a thread of its own: a child that decodes slowly must not hold up the sound.
    to_child: Arc<BoundedQueue<Bytes>>,
    keyframes_only: bool,
    sequence: u32,
    _running: Running,
}

/// Coded pictures that may wait for the child.
const WAITING: usize = 64;

impl FrameTap {
    pub(super) fn new(
        ffmpeg: &Ffmpeg,
        track: &Track,
        config: FrameConfig,
        frames: Arc<BoundedQueue<TapItem>>,
    ) -> Result<Self> {
        let mut command = ffmpeg.command();
        command.args(["-threads", "1", "-flags", "low_delay", "-copyts"]);
        if config.fps.is_some() {
            command.args(["-skip_frame", "noref"]);
        }
        let scale = format!("scale={}:-2:flags=fast_bilinear", config.width);
        let filter = match config.fps {
            None => scale,
            Some(fps) => {
                format!("select='isnan(prev_selected_t)+gte(t-prev_selected_t\\,{})',{scale}", 0.999 / fps)
            }
        };
        command
            .args([
                "-probesize",
                "32",
                "-analyzeduration",
                "0",
                "-fflags",
                "nobuffer",
                "-f",
                "mp4",
                "-i",
                "pipe:0",
            ])
            .args([
                "-map",
                "0:v:0",
                "-an",
                "-fps_mode",
                "passthrough",
                "-enc_time_base",
                "-1",
                "-vf",
                &filter,
            ])
            .args(["-c:v", "rawvideo", "-pix_fmt", "rgb24", "-f", "mov", "-use_editlist", "0"])
            .args(["-movflags", "frag_every_frame+empty_moov+default_base_moof+frag_discont+skip_trailer"])
            .args(["-avoid_negative_ts", "disabled", "-flush_packets", "1", "pipe:1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut running = ffmpeg.spawn(&mut command)?;
        let to_child = Arc::new(BoundedQueue::new(WAITING));
        if let Some(mut stdin) = running.child.stdin.take() {
            stdin.write_all(&init_segment(std::slice::from_ref(&without_reordering(track, config))))?;
            let queue = to_child.clone();
            thread::Builder::new().name("frames-in".into()).spawn(move || feed(stdin, &queue))?;
        }
        if let Some(stdout) = running.child.stdout.take() {
            thread::Builder::new().name("frames-out".into()).spawn(move || drain(stdout, &frames))?;
        }
        Ok(Self { to_child, keyframes_only: config.fps.is_none(), sequence: 0, _running: running })
    }

    /// Feeds a picture where this tap wants it; says whether a frame is to be expected for it.
    pub(super) fn feed(&mut self, sample: &Sample) -> Result<bool> {
        if self.keyframes_only && !sample.sync {
            return Ok(false);
        }
        self.sequence += 1;
        let described = FragmentSample {
            size: sample.data.len() as u32,
            duration: sample.duration,
            offset: (sample.pts - sample.dts) as i32,
            sync: sample.sync,
        };
        let mut bytes =
            fragment(self.sequence, &[Fragment { track: 0, dts: sample.dts, samples: vec![described] }]);
        bytes.extend_from_slice(&sample.data);
        // A picture that was dropped on the way would break every later one up to the next keyframe; a decoder
        // that is this slow gets keyframes only.
        self.to_child.push_dropping(bytes.into());
        Ok(self.keyframes_only)
    }

    /// No more pictures will come.
    pub(super) fn finish(&self) {
        self.to_child.close();
    }
}

fn feed(mut stdin: ChildStdin, queue: &BoundedQueue<Bytes>) {
    use super::queue::Popped;
    loop {
        match queue.pop(std::time::Duration::from_millis(500)) {
            Popped::Item(bytes) => {
                if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
            Popped::Empty => {}
            Popped::Closed => return,
        }
    }
}

fn drain(mut stdout: impl Read, frames: &BoundedQueue<TapItem>) {
    let mut reader = FragmentReader::new();
    let mut tracks: Vec<Track> = Vec::new();
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n) = stdout.read(&mut bytes) {
        if n == 0 {
            break;
        }
        reader.push(&bytes[..n]);
        loop {
            match reader.next() {
                Ok(Some(Found::Init(found))) => tracks = found,
                Ok(Some(Found::Samples(samples))) => {
                    for sample in samples {
                        let Some(track) = tracks.get(sample.track) else { continue };
                        let at = Timestamp::from_micros(track.micros(sample.pts));
                        if sample.data.len() as u64 == u64::from(track.width) * u64::from(track.height) * 3 {
                            let frame = VideoFrame {
                                width: track.width,
                                height: track.height,
                                rgb: (*sample.data).into(),
                            };
                            frames.push_dropping(TapItem::Frame { at, frame });
                        }
                    }
                }
                Ok(Some(Found::Uuid(..))) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    frames.push_dropping(TapItem::FramesEnd);
}

/// Keyframes stand alone: without the VUI the decoder does not wait for the reordering of pictures it never gets.
fn without_reordering(track: &Track, config: FrameConfig) -> Track {
    let rewritten = || -> Result<Track> {
        let mut avc = AvcConfig::parse(&track.config)?;
        for set in &mut avc.sps {
            *set = sps_without_vui(set)?.into();
        }
        let mut out = track.clone();
        out.config = avc.to_bytes().into();
        out.stsd = with_avc_config(&track.stsd, &out.config)?;
        Ok(out)
    };
    if config.fps.is_some() || !track.is_h264() {
        return track.clone();
    }
    rewritten().unwrap_or_else(|_| track.clone())
}

impl FrameConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config` that names the setting.
    pub fn validate(&self) -> Result<()> {
        if !(32..=3840).contains(&self.width) || self.width % 2 == 1 {
            return Err(Error::new(
                ErrorKind::Config,
                "media.frames.width is not an even number from 32 to 3840",
            ));
        }
        if self.fps.is_some_and(|f| !(0.01..=60.0).contains(&f)) {
            return Err(Error::new(ErrorKind::Config, "media.frames.fps is not between 0.01 and 60"));
        }
        Ok(())
    }
}
