//! Reading an input for as long as it lasts: connections, the watchdog, epochs, and what is handed to recorder and tap.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::MediaConfig;
use super::input::Input;
use super::process::{Block, Process, Transcode};
use super::queue::BoundedQueue;
use super::tap::TapItem;
use super::timeline::{Timeline, WallEstimate};
use crate::clock::TimeSource;
use crate::media::ffmpeg::Ffmpeg;
use crate::media::h264::{self, AvcConfig};
use crate::media::mp4::{FragmentReader, Read};
use crate::media::{Sample, Track, TrackKind};
use crate::recorder::Recorder;
use crate::{Error, ErrorKind, Result, Timestamp, WallTime};

/// How often a stop is noticed.
const POLL: Duration = Duration::from_millis(200);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// What a connection may take beyond the stall limit before it gives anything: ffmpeg listens to some seconds of
/// the stream before it says what is in it, and on a busy machine many start at once.
const START: Duration = Duration::from_secs(12);
/// Without an IDR for this long, pictures that ffmpeg calls keyframes are taken for places where decoding can begin.
const IDR_PATIENCE_US: i64 = 12_000_000;

pub(super) struct Ingest {
    input: Input,
    recorder: Recorder,
    config: MediaConfig,
    ffmpeg: Ffmpeg,
    time: Arc<dyn TimeSource>,
    tap: Arc<BoundedQueue<TapItem>>,
    stop: CancellationToken,
    timeline: Timeline,
    wall: WallEstimate,
    /// Civil time of the monotonic clock's zero, read once: a step of the system's clock must not move cuts.
    wall_anchor: WallTime,
    transcode: Transcode,
    /// Monotonic time of the last sample.
    last_arrival: Option<Duration>,
    /// Whether the recording was there before this run, and its session could be continued.
    resumed: bool,
    recorder_failed: bool,
}

/// How a connection ended.
enum Ended {
    /// The input is over.
    Done,
    /// It may come back.
    Lost(String),
    Stopped,
}

/// What is known about a connection.
struct Connection {
    tracks: Vec<Track>,
    /// Bytes of a NAL unit's length prefix, for tracks of H.264.
    length_sizes: Vec<Option<usize>>,
    first: bool,
    epoch: Option<u32>,
    offset_us: i64,
    last_idr_us: Option<i64>,
    /// Steps of a single tick in a row: ffmpeg bends timestamps that went back.
    bent: u32,
    last_dts: Option<i64>,
}

impl Ingest {
    pub(super) fn new(
        input: Input,
        recorder: Recorder,
        config: MediaConfig,
        ffmpeg: Ffmpeg,
        time: Arc<dyn TimeSource>,
        tap: Arc<BoundedQueue<TapItem>>,
        stop: CancellationToken,
    ) -> Self {
        let elapsed_us = i64::try_from(time.elapsed().as_micros()).unwrap_or(i64::MAX);
        let mut ingest = Self {
            wall_anchor: time.wall().offset_micros(-elapsed_us),
            input,
            recorder,
            config,
            ffmpeg,
            time,
            tap,
            stop,
            timeline: Timeline::new(),
            wall: WallEstimate::new(),
            transcode: Transcode::default(),
            last_arrival: None,
            resumed: false,
            recorder_failed: false,
        };
        let recording = ingest.recorder.recording();
        if let (Some(info), Some(span)) = (recording.newest_info(), recording.span()) {
            ingest.resumed = true;
            if ingest.input.is_live() {
                ingest.timeline = Timeline::resume(info.epoch, info.offset_us, span.end);
                // How long the outage lasted follows from civil time, where that was known.
                let now = ingest.time.wall().as_unix_micros();
                let outage =
                    info.wall_zero.map_or(0, |zero| now - zero.as_unix_micros() - span.end.as_micros());
                let passed = Duration::from_micros(u64::try_from(outage).unwrap_or(0));
                ingest.last_arrival = Some(ingest.time.elapsed().saturating_sub(passed));
            }
        }
        ingest
    }

    pub(super) fn run(mut self) -> Result<()> {
        let outcome = self.connect_until_over();
        let finished = self.recorder.finish();
        outcome.and(finished)
    }

    fn connect_until_over(&mut self) -> Result<()> {
        let mut backoff = BACKOFF.0;
        let mut lost_since: Option<Duration> = None;
        let mut ever = false;
        loop {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let mut received = false;
            let why = match self.connection(&mut received) {
                Ok(Ended::Done | Ended::Stopped) => return Ok(()),
                Ok(Ended::Lost(why)) => why,
                // What cannot work now will not work later either, for a file or for what was never there.
                Err(error) if !self.input.is_live() => return Err(error),
                Err(error) if !ever && !received && !worth_waiting(&error) => return Err(error),
                Err(error) => error.to_string(),
            };
            ever |= received;
            if received {
                (backoff, lost_since) = (BACKOFF.0, None);
            }
            self.recorder.finish()?;
            let now = self.time.elapsed();
            let since = *lost_since.get_or_insert(now);
            if !self.config.give_up.is_zero() && now.saturating_sub(since) >= self.config.give_up {
                if ever {
                    self.notice(format!(
                        "the input did not come back within {:?}: it has ended",
                        self.config.give_up
                    ));
                    return Ok(());
                }
                return Err(Error::new(ErrorKind::Unavailable, "the input cannot be had")
                    .with_context("input", self.input.display_name())
                    .with_context("last", why));
            }
            self.notice(format!("connection lost ({why}); trying again in {:.1} s", backoff.as_secs_f64()));
            self.wait(jitter(backoff, now));
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    fn wait(&self, how_long: Duration) {
        let until = self.time.elapsed() + how_long;
        while self.time.elapsed() < until && !self.stop.is_cancelled() {
            std::thread::sleep(POLL.min(until.saturating_sub(self.time.elapsed())));
        }
    }

    fn notice(&self, text: String) {
        self.tap.push_dropping(TapItem::Notice(text));
    }

    fn connection(&mut self, received: &mut bool) -> Result<Ended> {
        let process = Process::start(&self.ffmpeg, &self.input, self.config.stall, self.transcode)?;
        let mut reader = FragmentReader::new();
        let mut connection: Option<Connection> = None;
        let mut last_byte = self.time.elapsed();
        let mut patience = self.config.stall + START;
        loop {
            if self.stop.is_cancelled() {
                process.stop();
                return Ok(Ended::Stopped);
            }
            match process.read(POLL) {
                Block::Bytes(bytes) => {
                    last_byte = self.time.elapsed();
                    patience = self.config.stall;
                    reader.push(&bytes);
                }
                Block::Nothing => {
                    if self.input.is_live() && self.time.elapsed().saturating_sub(last_byte) > patience {
                        process.stop();
                        return Ok(Ended::Lost(format!("nothing came for {patience:?}")));
                    }
                    continue;
                }
                Block::End => return self.ended(process, received),
            }
            while let Some(found) = reader.next()? {
                match found {
                    Read::Init(tracks) => {
                        self.tap_push(TapItem::Tracks(tracks.clone()));
                        connection = Some(Connection::new(tracks));
                    }
                    Read::Samples(samples) => {
                        *received = true;
                        let Some(connection) = &mut connection else { continue };
                        for sample in samples {
                            self.sample(connection, sample)?;
                        }
                        if self.input.is_live() && connection.bent > 12 && process.bends_timestamps() {
                            process.stop();
                            return Ok(Ended::Lost("the publisher's timestamps went back".to_owned()));
                        }
                    }
                    Read::Uuid(..) => {}
                }
            }
        }
    }

    fn ended(&mut self, process: Process, received: &mut bool) -> Result<Ended> {
        match process.end() {
            Ok(()) if !*received => Err(Error::new(
                ErrorKind::Unsupported,
                "the input has neither sound nor pictures that can be read",
            )),
            Ok(()) if self.input.ends() => Ok(Ended::Done),
            // An exit code of 0 still means "lost" for what has no end of its own.
            Ok(()) => Ok(Ended::Lost("the server ended it".to_owned())),
            Err(error) => {
                let said = error.to_string();
                if let Some((needed, codec)) = Process::refused(&said) {
                    let already =
                        (needed.video && self.transcode.video) || (needed.audio && self.transcode.audio);
                    if !already && !*received {
                        self.transcode.video |= needed.video;
                        self.transcode.audio |= needed.audio;
                        let into = if needed.audio { "AAC" } else { "H.264" };
                        self.notice(format!(
                            "{codec} has no place in MP4: it is recorded as {into}, which costs CPU"
                        ));
                        return self.connection(received);
                    }
                }
                if *received && !self.input.is_live() {
                    self.notice(format!(
                        "the input ended with an error, what came before it counts: {error}"
                    ));
                    return Ok(Ended::Done);
                }
                Err(error.with_context("input", self.input.display_name()))
            }
        }
    }

    /// Live inputs drop what the detectors cannot take; files wait for them.
    fn tap_push(&self, item: TapItem) {
        if self.input.is_live() {
            self.tap.push_dropping(item);
        } else {
            self.tap.push_waiting(item);
        }
    }

    fn sample(&mut self, connection: &mut Connection, mut sample: Sample) -> Result<()> {
        let Some(track) = connection.tracks.get(sample.track).cloned() else { return Ok(()) };
        let arrival = self.time.elapsed();
        let live = self.input.is_live();
        let passed = match self.last_arrival.replace(arrival) {
            Some(last) if live => i64::try_from(arrival.saturating_sub(last).as_micros()).unwrap_or(i64::MAX),
            _ => 0,
        };
        let pts_us = track.micros(sample.dts);
        let mapped = self.timeline.map(pts_us, connection.first, passed);
        let at_us = pts_us.saturating_add(mapped.offset_us);
        if let Some((at, mut epoch)) = mapped.begins {
            self.wall.reset();
            self.wall.observe(at_us, arrival.as_micros() as i64);
            epoch.wall = self.wall_at(at);
            self.tap_push(TapItem::Epoch { at, epoch });
        } else if live {
            self.wall.observe(at_us, arrival.as_micros() as i64);
        }
        if connection.epoch != Some(mapped.epoch) || connection.first {
            if connection.epoch.is_none_or(|e| mapped.epoch > e) || connection.first {
                self.begin_recording(connection, mapped.epoch, mapped.offset_us)?;
            }
            connection.epoch = Some(mapped.epoch);
            connection.offset_us = mapped.offset_us;
        }
        connection.first = false;
        connection.note_bent(&track, &sample);
        connection.mark_sync(&track, &mut sample, at_us);

        let shift = track.ticks(mapped.offset_us);
        sample.dts = sample.dts.saturating_add(shift);
        sample.pts = sample.pts.saturating_add(shift);
        let at = Timestamp::from_micros(at_us);
        let wall = self.wall_at(at);
        self.tap_push(TapItem::Sample { sample: sample.clone(), at, wall });
        match self.recorder.push(sample) {
            Ok(()) => {
                if std::mem::take(&mut self.recorder_failed) {
                    self.notice("recording again".to_owned());
                }
                Ok(())
            }
            // The stream is still listened to, and recording resumes when there is room again.
            Err(error) if matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Io) => {
                if !std::mem::replace(&mut self.recorder_failed, true) {
                    self.notice(format!("part of the recording is lost: {error}"));
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn begin_recording(&mut self, connection: &Connection, epoch: u32, offset_us: i64) -> Result<()> {
        if std::mem::take(&mut self.resumed)
            && !self.input.is_live()
            && self.recorder.resume(&connection.tracks, epoch, offset_us)?
        {
            return Ok(());
        }
        let wall_zero = self.wall_at(Timestamp::ZERO);
        self.recorder.begin(&connection.tracks, epoch, offset_us, wall_zero)
    }

    fn wall_at(&self, at: Timestamp) -> Option<WallTime> {
        if !self.input.is_live() {
            return None;
        }
        Some(self.wall_anchor.offset_micros(self.wall.zero_us()?.saturating_add(at.as_micros())))
    }
}

impl Connection {
    fn new(tracks: Vec<Track>) -> Self {
        let length_size = |t: &Track| {
            t.is_h264().then(|| AvcConfig::parse(&t.config).ok()).flatten().map(|config| config.length_size)
        };
        Self {
            length_sizes: tracks.iter().map(length_size).collect(),
            tracks,
            first: true,
            epoch: None,
            offset_us: 0,
            last_idr_us: None,
            bent: 0,
            last_dts: None,
        }
    }

    fn note_bent(&mut self, track: &Track, sample: &Sample) {
        if track.kind != TrackKind::Video && self.tracks.len() > 1 {
            return;
        }
        // The muxer scales ticks up to at least 10 kHz, so one tick of the input may be a few of ours.
        let one_tick = i64::from(track.timescale / 1000).max(1);
        match self.last_dts.replace(sample.dts) {
            Some(last) if (1..=one_tick).contains(&(sample.dts - last)) => self.bent += 1,
            _ => self.bent = 0,
        }
    }

    /// ffmpeg calls recovery points keyframes too; copying can begin at an IDR only.
    fn mark_sync(&mut self, track: &Track, sample: &mut Sample, at_us: i64) {
        let Some(length_size) = self.length_sizes[sample.track].filter(|_| track.is_h264()) else { return };
        if !sample.sync {
            return;
        }
        if h264::is_idr(&sample.data, length_size) {
            self.last_idr_us = Some(at_us);
        } else {
            sample.sync = self.last_idr_us.is_none_or(|last| at_us - last > IDR_PATIENCE_US);
        }
    }
}

/// A server that is not up yet may come up; a wrong address will not become right.
fn worth_waiting(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Timeout | ErrorKind::Media
    )
}

/// Up to half as much again, so that many inputs lost at once do not all come back at once.
fn jitter(backoff: Duration, seed: Duration) -> Duration {
    let bits = (seed.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    backoff + backoff.mul_f64(bits as f64 / f64::from(u32::MAX) / 2.0)
}
