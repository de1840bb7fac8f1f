//! From coded pictures to RGB frames, in a child ffmpeg of their own.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::queue::{BoundedQueue, Popped, Queued};
use crate::event::media::VideoFrame;
use crate::media::ffmpeg::{Ffmpeg, Running};
use crate::media::h264::{AvcConfig, sps_without_reordering};
use crate::media::mp4::{Fragment, FragmentSample, fragment, init_segment, with_avc_config};
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

/// A decoded picture and its instant.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) at: Timestamp,
    pub(super) frame: VideoFrame,
}

impl Queued for Frame {}

/// A child ffmpeg that is fed coded pictures and gives out frames, each with its instant.
///
/// A live input never waits for it: what the child cannot take is dropped. A file waits, so that no frame is missing.
#[derive(Debug)]
pub(super) struct FrameTap {
    /// Written by a thread of its own: a child that decodes slowly must not hold up the sound.
    to_child: Arc<BoundedQueue<Bytes>>,
    frames: Arc<BoundedQueue<Frame>>,
    live: bool,
    /// How far apart frames are at least; `None` where keyframes alone are shown.
    interval_us: Option<i64>,
    /// Keyframes that are in the child.
    expected: VecDeque<Timestamp>,
    /// No later frame lies before this.
    next: Option<Timestamp>,
    /// The child's time zero, in ticks of the track: ffmpeg loses what lies before zero.
    base: Arc<OnceLock<i64>>,
    /// The latest instant fed.
    fed: Option<Timestamp>,
    sequence: u32,
    _running: Running,
}

/// Coded pictures that may wait for the child.
const WAITING: usize = 64;
/// Frames that may wait to be looked at.
const FRAMES: usize = 4;
/// Keyframes that may be in the child before the oldest is given up (live) or waited for (a file).
const OUTSTANDING: usize = 8;
/// How long a file waits for a frame before it goes on without.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Times are rounded twice on the way through the child.
const ROUNDING_US: i64 = 2_000;

impl FrameTap {
    pub(super) fn new(ffmpeg: &Ffmpeg, track: &Track, config: FrameConfig, live: bool) -> Result<Self> {
        let mut command = ffmpeg.command();
        command.args(["-threads", "1", "-flags", "low_delay", "-copyts"]);
        if config.fps.is_some() {
            command.args(["-skip_frame", "noref"]);
        }
        // Rows follow from the shape, to an even number.
        let half =
            u64::from(config.width) * u64::from(track.height) / u64::from(track.width.max(1)).max(1) / 2;
        let size = (config.width, u32::try_from(half.clamp(1, 8192)).unwrap_or(1) * 2);
        let scale = format!("scale={}:{}:flags=fast_bilinear", size.0, size.1);
        let select = match config.fps {
            None => String::new(),
            Some(fps) => {
                format!("select='isnan(prev_selected_t)+gte(t-prev_selected_t\\,{})',", 0.999 / fps)
            }
        };
        // Any container would hold a frame back until the next one says how long it lasts. So the frames come bare,
        // and the filter prints their instants, one line each in the same order.
        let filter = format!(
            "{select}{scale},settb=AVTB,metadata=mode=add:key=frame:value=1,\
             metadata=mode=print:file=pipe\\\\:2:direct=1"
        );
        // `-fflags nobuffer` would lose the packets that were looked at to find out what they are.
        command
            .args(["-probesize", "32", "-analyzeduration", "0", "-f", "mp4", "-i", "pipe:0"])
            .args(["-map", "0:v:0", "-an", "-fps_mode", "passthrough", "-vf", &filter])
            // An encoder with several threads holds frames back.
            .args(["-threads", "1"])
            .args([
                "-c:v",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-f",
                "rawvideo",
                "-flush_packets",
                "1",
                "pipe:1",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let (told, instants) = channel();
        let mut running = ffmpeg.spawn_heard(&mut command, move |line| {
            if let Some(instant) = printed_instant(line) {
                // Once nobody listens, frames are not looked at either.
                let _ = told.send(instant);
            }
            line.starts_with("frame:") || line.starts_with("frame=")
        })?;
        let to_child = Arc::new(BoundedQueue::new(WAITING));
        let frames = Arc::new(BoundedQueue::new(FRAMES));
        let base = Arc::new(OnceLock::new());
        if let Some(mut stdin) = running.child.stdin.take() {
            stdin.write_all(&init_segment(std::slice::from_ref(&without_reordering(track, config))))?;
            let queue = to_child.clone();
            thread::Builder::new().name("frames-in".into()).spawn(move || feed(stdin, &queue))?;
        }
        if let Some(stdout) = running.child.stdout.take() {
            let (frames, base, track) = (frames.clone(), base.clone(), track.clone());
            thread::Builder::new().name("frames-out".into()).spawn(move || {
                let base_us = || track.micros(base.get().copied().unwrap_or(0));
                drain(stdout, &instants, size, &frames, live, base_us);
                frames.close();
            })?;
        }
        Ok(Self {
            to_child,
            frames,
            live,
            interval_us: config.fps.map(|fps| (0.999e6 / fps) as i64),
            expected: VecDeque::new(),
            next: None,
            base,
            fed: None,
            sequence: 0,
            _running: running,
        })
    }

    /// Feeds a picture that is presented at `at`, where this tap wants it; gives what has been decoded so far.
    pub(super) fn feed(&mut self, sample: &Sample, at: Timestamp) -> Vec<Frame> {
        let mut out = Vec::new();
        if self.interval_us.is_none() && !sample.sync {
            return out;
        }
        self.sequence += 1;
        let described = FragmentSample {
            size: sample.data.len() as u32,
            duration: sample.duration,
            offset: i32::try_from(sample.pts.saturating_sub(sample.dts)).unwrap_or(0),
            sync: sample.sync,
        };
        let dts = sample.dts - *self.base.get_or_init(|| sample.dts);
        let mut bytes = fragment(self.sequence, &[Fragment { track: 0, dts, samples: vec![described] }]);
        bytes.extend_from_slice(&sample.data);
        self.fed = self.fed.max(Some(at));
        self.next.get_or_insert(at);
        if self.interval_us.is_none() {
            self.expected.push_back(at);
        }
        if self.live {
            // A picture that was dropped on the way breaks every later one up to the next keyframe; a decoder that is
            // this slow gets keyframes only.
            self.to_child.push_dropping(bytes.into());
            if self.expected.len() > OUTSTANDING {
                self.expected.pop_front();
            }
            return out;
        }
        let mut bytes = Bytes::from(bytes);
        while let Err(back) = self.to_child.try_push(bytes) {
            if self.to_child.is_closed() {
                break;
            }
            bytes = back;
            self.pop(POLL, &mut out);
        }
        while self.expected.len() > OUTSTANDING {
            if !matches!(self.pop(PATIENCE, &mut out), Some(true)) {
                self.expected.pop_front();
            }
        }
        out
    }

    /// What has been decoded so far.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        let mut out = Vec::new();
        while self.pop(Duration::ZERO, &mut out) == Some(true) {}
        out
    }

    /// No more pictures will come: waits for what is still inside the child.
    pub(super) fn finish(&mut self) -> Vec<Frame> {
        self.to_child.close();
        let mut out = Vec::new();
        while self.pop(PATIENCE, &mut out) == Some(true) {}
        out
    }

    /// Whether a frame came in time; `None` where none will any more.
    fn pop(&mut self, patience: Duration, out: &mut Vec<Frame>) -> Option<bool> {
        match self.frames.pop(patience) {
            Popped::Item(frame) => {
                while self.expected.front().is_some_and(|t| t.micros_since(frame.at) < ROUNDING_US) {
                    self.expected.pop_front();
                }
                self.next = self.interval_us.map(|step| frame.at.offset_micros(step - ROUNDING_US));
                out.push(frame);
                Some(true)
            }
            Popped::Empty => Some(false),
            Popped::Closed => {
                self.expected.clear();
                None
            }
        }
    }

    /// The instant before which no frame will come any more; `None` where nothing is awaited.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        if self.interval_us.is_none() {
            return self.expected.front().copied();
        }
        let (next, fed) = (self.next?, self.fed?);
        // A live decoder that is stuck must not hold up the clock.
        let stuck = self.live && fed.micros_since(next) > STUCK_US;
        (!stuck && !self.frames.is_closed()).then_some(next)
    }
}

/// A live decoder that is this far behind is no longer waited for.
const STUCK_US: i64 = 3_000_000;

impl Drop for FrameTap {
    fn drop(&mut self) {
        self.to_child.close();
        self.frames.close();
    }
}

fn feed(mut stdin: ChildStdin, queue: &BoundedQueue<Bytes>) {
    loop {
        match queue.pop(Duration::from_millis(500)) {
            Popped::Item(bytes) => {
                if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
                    queue.close();
                    return;
                }
            }
            Popped::Empty => {}
            Popped::Closed => return,
        }
    }
}

/// The instant in microseconds of a line such as `frame:3    pts:100000  pts_time:0.1`.
fn printed_instant(line: &str) -> Option<i64> {
    let (_, rest) = line.strip_prefix("frame:")?.split_once("pts:")?;
    // A frame without an instant has a line all the same.
    Some(rest.split_whitespace().next()?.parse().unwrap_or(i64::MIN))
}

fn drain(
    mut stdout: impl Read,
    instants: &Receiver<i64>,
    (width, height): (u32, u32),
    frames: &BoundedQueue<Frame>,
    live: bool,
    base_us: impl Fn() -> i64,
) {
    let mut rgb = vec![0; width as usize * height as usize * 3];
    while stdout.read_exact(&mut rgb).is_ok() {
        // The line is printed before the frame is written.
        let Ok(instant) = instants.recv_timeout(PATIENCE) else { return };
        if instant == i64::MIN {
            continue;
        }
        let at = Timestamp::from_micros(instant.saturating_add(base_us()));
        let frame = Frame { at, frame: VideoFrame { width, height, rgb: rgb.as_slice().into() } };
        if live {
            frames.push_dropping(frame);
        } else if !frames.push_waiting(frame) {
            return;
        }
    }
}

/// Keyframes stand alone: the decoder is not to wait for the reordering of pictures it never gets.
fn without_reordering(track: &Track, config: FrameConfig) -> Track {
    let rewritten = || -> Result<Track> {
        let mut avc = AvcConfig::parse(&track.config)?;
        for set in &mut avc.sps {
            *set = sps_without_reordering(set)?.into();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::TrackKind;
    use crate::media::mp4::{FragmentReader, Read as Found};

    /// The coded pictures of three seconds with B-pictures, and their track.
    fn coded(ffmpeg: &Ffmpeg) -> (Track, Vec<Sample>) {
        let mut command = ffmpeg.command();
        command.args([
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:r=30:d=3",
            "-c:v",
            "libx264",
            "-g",
            "15",
            "-bf",
            "2",
        ]);
        command.args([
            "-preset",
            "ultrafast",
            "-f",
            "mp4",
            "-movflags",
            "delay_moov+default_base_moof+frag_discont",
        ]);
        let out = command.args(["-frag_duration", "20000", "-use_editlist", "0", "pipe:1"]).output().unwrap();
        let mut reader = FragmentReader::new();
        reader.push(&out.stdout);
        let (mut track, mut samples) = (None, Vec::new());
        while let Some(found) = reader.next().unwrap() {
            match found {
                Found::Init(tracks) => track = tracks.into_iter().find(|t| t.kind == TrackKind::Video),
                Found::Samples(more) => samples.extend(more),
                Found::Uuid(..) => {}
            }
        }
        (track.unwrap(), samples)
    }

    #[test]
    fn a_keyframe_is_shown_before_the_next_one_is_fed() {
        let ffmpeg = Ffmpeg::default();
        if ffmpeg.version().is_err() {
            return;
        }
        let (track, samples) = coded(&ffmpeg);
        let mut tap = FrameTap::new(&ffmpeg, &track, FrameConfig { width: 160, fps: None }, true).unwrap();
        let mut shown = 0;
        for sample in samples.iter().filter(|s| s.sync) {
            let at = Timestamp::from_micros(track.micros(sample.pts));
            let mut frames = tap.feed(sample, at);
            assert_eq!(tap.reached(), Some(at));
            // The decoder must not wait for later pictures: nothing else is fed until this one is out.
            assert_eq!(tap.pop(PATIENCE, &mut frames), Some(true), "keyframe {shown} is held back");
            assert_eq!((frames.len(), frames[0].frame.width), (1, 160));
            assert!(frames[0].at.micros_since(at).abs() < ROUNDING_US);
            assert_eq!(tap.reached(), None);
            shown += 1;
        }
        assert_eq!(shown, 6);
    }
}
