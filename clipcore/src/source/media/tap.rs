//! The tap: decodes what is recorded and shows it to the camera's detectors, in a thread of its own that can fall
//! behind without holding up the recording.

use std::sync::Arc;
use std::time::Duration;

use super::audio::{PcmDecoder, To16k};
use super::frames::{Frame, FrameConfig, FrameTap};
use super::queue::{BoundedQueue, Popped, Queued};
use crate::detector::AnyDetector;
use crate::event::media::{Audio16k, AudioWindow, VideoFrame};
use crate::event::{AnyEvent, EpochStart, Event, Header, Stamped};
use crate::media::ffmpeg::Ffmpeg;
use crate::media::{Sample, Track};
use crate::source::{Item, SourceOutput};
use crate::{CameraId, Result, StreamId, Timestamp, WallTime};

/// What the ingest hands to the tap.
#[derive(Debug)]
pub(super) enum TapItem {
    /// A connection's tracks.
    Tracks(Vec<Track>),
    /// A packet of sound or a picture, at its place on the stream's timeline.
    Sample { sample: Sample, at: Timestamp, wall: Option<WallTime> },
    /// Timestamps begin anew.
    Epoch { at: Timestamp, epoch: EpochStart },
    /// Something a person should know.
    Notice(String),
}

impl Queued for TapItem {
    fn may_drop(&self) -> bool {
        matches!(self, Self::Sample { .. })
    }
}

/// Progress is told in steps of at least this.
const STEP: Duration = Duration::from_millis(100);
/// One kind of media may be this far behind the other before it no longer holds up the clock.
const LAG: Duration = Duration::from_secs(3);

pub(super) struct Tap {
    pub(super) ffmpeg: Ffmpeg,
    pub(super) stream: StreamId,
    pub(super) camera: CameraId,
    pub(super) detectors: Vec<AnyDetector>,
    pub(super) frames: FrameConfig,
    pub(super) out: SourceOutput,
    pub(super) queue: Arc<BoundedQueue<TapItem>>,
    /// Whether the input goes on whether we look at it or not.
    pub(super) live: bool,
    state: State,
}

#[derive(Default)]
struct State {
    tracks: Vec<Track>,
    decoder: Option<PcmDecoder>,
    frame_tap: Option<FrameTap>,
    to_16k: Option<To16k>,
    /// Where the first sample lies.
    first: Option<Timestamp>,
    /// Instants up to which sound and pictures have been looked at.
    audio_end: Option<Timestamp>,
    video_end: Option<Timestamp>,
    /// Detectors may not be shown anything earlier than this.
    shown: Option<Timestamp>,
    told: Option<Timestamp>,
    wall: Option<(Timestamp, WallTime)>,
    failures: Vec<u64>,
}

impl Tap {
    pub(super) fn new(
        ffmpeg: Ffmpeg,
        camera: CameraId,
        detectors: Vec<AnyDetector>,
        frames: FrameConfig,
        out: SourceOutput,
        queue: Arc<BoundedQueue<TapItem>>,
        live: bool,
    ) -> Self {
        let stream = out.stream().clone();
        let failures = vec![0; detectors.len()];
        let state = State { failures, ..State::default() };
        Self { ffmpeg, stream, camera, detectors, frames, out, queue, live, state }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) -> Result<()> {
        loop {
            match self.queue.pop(Duration::from_millis(500)) {
                Popped::Item(item) => self.take(item)?,
                Popped::Empty => {}
                Popped::Closed => break,
            }
            let frames = self.state.frame_tap.as_mut().map(FrameTap::take).unwrap_or_default();
            if !frames.is_empty() {
                self.frames(frames);
                self.tell()?;
            }
        }
        self.finish()
    }

    fn wants(&self, kind: &str) -> bool {
        self.detectors.iter().any(|d| d.wants(kind))
    }

    fn take(&mut self, item: TapItem) -> Result<()> {
        match item {
            TapItem::Tracks(tracks) => self.begin(tracks),
            TapItem::Sample { sample, at, wall } => self.sample(&sample, at, wall),
            TapItem::Epoch { at, epoch } => {
                self.out.blocking_send(Item::Epoch { camera: self.camera.clone(), at, epoch })
            }
            TapItem::Notice(text) => self.out.blocking_send(Item::Notice(text)),
        }
    }

    fn begin(&mut self, tracks: Vec<Track>) -> Result<()> {
        self.drain_decoder()?;
        self.drain_frames();
        (self.state.decoder, self.state.to_16k) = (None, None);
        (self.state.first, self.state.audio_end, self.state.video_end) = (None, None, None);
        let sound = tracks.iter().find(|t| t.kind == crate::media::TrackKind::Audio);
        if let Some(track) = sound.filter(|_| self.wants(AudioWindow::KIND) || self.wants(Audio16k::KIND)) {
            match PcmDecoder::new(&self.ffmpeg, track, self.live) {
                Ok(decoder) => self.state.decoder = Some(decoder),
                Err(error) => self.notice(format!("sound is recorded but not listened to: {error}"))?,
            }
            self.state.to_16k = self.wants(Audio16k::KIND).then(To16k::default);
        }
        let pictures = tracks.iter().find(|t| t.kind == crate::media::TrackKind::Video);
        if let Some(track) = pictures.filter(|_| self.wants(VideoFrame::KIND)) {
            match FrameTap::new(&self.ffmpeg, track, self.frames, self.live) {
                Ok(tap) => self.state.frame_tap = Some(tap),
                Err(error) => self.notice(format!("pictures are recorded but not looked at: {error}"))?,
            }
        }
        self.state.tracks = tracks;
        Ok(())
    }

    fn notice(&self, text: String) -> Result<()> {
        self.out.blocking_send(Item::Notice(text))
    }

    fn sample(&mut self, sample: &Sample, at: Timestamp, wall: Option<WallTime>) -> Result<()> {
        let Some(track) = self.state.tracks.get(sample.track) else { return Ok(()) };
        self.state.first.get_or_insert(at);
        if let Some(wall) = wall {
            self.state.wall = Some((at, wall));
        }
        match track.kind {
            crate::media::TrackKind::Audio => {
                let end = at.offset_micros(track.micros(i64::from(sample.duration)));
                if let Some(decoder) = &mut self.state.decoder {
                    let decoded = decoder.decode(sample, at);
                    if let Err(error) = decoded.and_then(|windows| self.sound(windows)) {
                        self.state.decoder = None;
                        self.notice(format!("sound is no longer listened to: {error}"))?;
                    }
                }
                let end = self.state.decoder.as_ref().and_then(PcmDecoder::reached).unwrap_or(end);
                // Resampling holds a little back.
                let end = self.state.to_16k.as_ref().and_then(To16k::next).map_or(end, |next| next.min(end));
                self.state.audio_end = self.state.audio_end.max(Some(end));
            }
            crate::media::TrackKind::Video => {
                // Everything presented before a picture's decode time has been decoded before it.
                let pts = at.offset_micros(track.micros(sample.pts) - track.micros(sample.dts));
                let frames =
                    self.state.frame_tap.as_mut().map(|tap| tap.feed(sample, pts)).unwrap_or_default();
                self.frames(frames);
                self.state.video_end = self.state.video_end.max(Some(at));
            }
        }
        self.tell()
    }

    fn sound(&mut self, windows: Vec<(Timestamp, AudioWindow)>) -> Result<()> {
        for (at, window) in windows {
            if let Some(to_16k) = &mut self.state.to_16k {
                for (at, block) in to_16k.push(at, &window)? {
                    self.show(at, block);
                }
            }
            self.show(at, window);
        }
        Ok(())
    }

    fn frames(&mut self, frames: Vec<Frame>) {
        for Frame { at, frame } in frames {
            self.show(at, frame);
        }
    }

    /// Shows a window to the detectors that want it.
    fn show<E: Event>(&mut self, at: Timestamp, data: E) {
        if !self.wants(E::KIND) {
            return;
        }
        // Sound and pictures interleave; a detector sees time go forward only.
        let at = self.state.shown.map_or(at, |s| s.max(at));
        let mut header = Header::new(self.stream.clone(), at, "clipcore:media", "");
        header.camera = Some(self.camera.clone());
        let event = AnyEvent::local(Stamped::new(header, data));
        for detector in self.detectors.iter_mut().filter(|d| d.wants(E::KIND)) {
            detector.detect(&event);
        }
    }

    /// How far everything has been looked at.
    fn reached(&self) -> Option<Timestamp> {
        let reached = match (self.state.audio_end, self.state.video_end) {
            (Some(a), Some(v)) if a + LAG < v => Some(v),
            (Some(a), Some(v)) if v + LAG < a => Some(a),
            (a, v) => [a, v].into_iter().flatten().min(),
        }?;
        // What a track begins with may lie before what came first of the other.
        let silent = self.state.audio_end.is_none() || self.state.video_end.is_none();
        if silent
            && self.state.tracks.len() > 1
            && self.state.first.is_some_and(|first| reached < first + LAG)
        {
            return None;
        }
        let frames = self.state.frame_tap.as_ref().and_then(FrameTap::reached);
        Some(frames.map_or(reached, |t| reached.min(t)))
    }

    fn tell(&mut self) -> Result<()> {
        let Some(reached) = self.reached() else { return Ok(()) };
        let step = i64::try_from(STEP.as_micros()).unwrap_or(i64::MAX);
        if self.state.told.is_some_and(|told| reached.micros_since(told) < step) {
            return Ok(());
        }
        self.state.told = Some(reached);
        self.advance(reached)?;
        let wall = self.state.wall.map(|(at, wall)| wall.offset_micros(reached.micros_since(at)));
        self.out.blocking_send(Item::Progress { camera: self.camera.clone(), at: reached, wall })
    }

    fn advance(&mut self, to: Timestamp) -> Result<()> {
        self.state.shown = Some(to);
        let mut signals = Vec::new();
        let mut said = Vec::new();
        for (detector, failures) in self.detectors.iter_mut().zip(&mut self.state.failures) {
            detector.advance(to);
            signals.extend(detector.take_signals());
            if detector.failures() > 0 && *failures == 0 {
                let why = detector
                    .last_failure()
                    .map_or_else(|| "a score was not a number".to_owned(), ToString::to_string);
                said.push(format!("{} goes on without some answers: {why}", detector.info().name));
            }
            *failures = detector.failures();
        }
        for text in said {
            self.notice(text)?;
        }
        signals.into_iter().try_for_each(|signal| self.out.blocking_send(Item::Signal(signal)))
    }

    fn drain_decoder(&mut self) -> Result<()> {
        if let Some(mut decoder) = self.state.decoder.take() {
            let rest = decoder.finish();
            self.sound(rest)?;
            if decoder.errors() > 0 {
                self.notice(format!("{} packets of sound could not be decoded", decoder.errors()))?;
            }
        }
        Ok(())
    }

    fn drain_frames(&mut self) {
        if let Some(mut tap) = self.state.frame_tap.take() {
            let frames = tap.finish();
            self.frames(frames);
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.drain_decoder()?;
        self.drain_frames();
        let dropped = self.queue.dropped();
        if dropped > 0 {
            self.notice(format!("detectors fell behind: {dropped} packets were recorded but not looked at"))?;
        }
        if let Some(end) = self.state.audio_end.max(self.state.video_end) {
            self.advance(end)?;
            let wall = self.state.wall.map(|(at, wall)| wall.offset_micros(end.micros_since(at)));
            self.out.blocking_send(Item::Progress { camera: self.camera.clone(), at: end, wall })?;
        }
        Ok(())
    }
}
