//! Reading an input for as long as it lasts: connections, the watchdog, epochs, and what is handed to recorder and tap.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::MediaConfig;
use super::connection::Connection;
use super::first_picture::FirstPicture;
use super::input::Input;
use super::process::{Block, Process, Remedy};
use super::queue::BoundedQueue;
use super::rejoin::Rejoin;
use super::standard_input::StandardInput;
use super::tap::TapItem;
use super::timeline::{Timeline, WallEstimate};
use crate::clock::TimeSource;
use crate::media::Sample;
use crate::media::ffmpeg::Ffmpeg;
use crate::media::mp4::{FragmentReader, Read};
use crate::recorder::Recorder;
use crate::{Error, ErrorKind, Result, Timestamp, WallTime};

/// How often a stop is noticed.
const POLL: Duration = Duration::from_millis(200);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// What a connection may take beyond the stall limit before it gives anything: ffmpeg listens to some seconds of
/// the stream before it says what is in it, and on a busy machine many start at once.
const START: Duration = Duration::from_secs(12);
/// An input that comes faster than in real time waits this long for detectors that are behind.
const PATIENCE: Duration = Duration::from_secs(2);

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
    remedy: Remedy,
    rejoin: Rejoin,
    stdin: Option<StandardInput>,
    /// Samples that came, of all connections.
    samples: u64,
    /// Monotonic time of the last sample.
    last_arrival: Option<Duration>,
    /// How long nothing was recorded before this run; counts once, for its first sample.
    outage_us: i64,
    /// Whether the recording was there before this run, and its session could be continued.
    resumed: bool,
    /// Where the latest sample lies on the timeline.
    reached_us: Option<i64>,
    /// From when on nothing could be recorded.
    lost_since: Option<Timestamp>,
    told_room: bool,
}

/// How a connection ended.
enum Ended {
    /// The input is over.
    Done,
    /// It may come back.
    Lost(String),
    Stopped,
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
            remedy: Remedy::default(),
            rejoin: Rejoin::default(),
            stdin: None,
            samples: 0,
            last_arrival: None,
            outage_us: 0,
            resumed: false,
            reached_us: None,
            lost_since: None,
            told_room: false,
        };
        let recording = ingest.recorder.recording();
        if let (Some(info), Some(span)) = (recording.newest_info(), recording.span()) {
            ingest.resumed = true;
            if ingest.input.is_live() {
                ingest.timeline = Timeline::resume(info.epoch, info.offset_us, span.end);
                ingest.reached_us = Some(span.end.as_micros());
                // How long the outage lasted follows from civil time, where that was known.
                let now = ingest.time.wall().as_unix_micros();
                let outage =
                    info.wall_zero.map_or(0, |zero| now - zero.as_unix_micros() - span.end.as_micros());
                ingest.outage_us = outage.max(0);
            }
        }
        ingest
    }

    pub(super) fn run(mut self) -> Result<()> {
        if self.input == Input::Stdin {
            self.stdin = Some(StandardInput::read(std::io::stdin())?);
        }
        let outcome = self.connect_until_over();
        let finished = self.recorder.finish();
        outcome.and(self.recorded(finished))
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
            // It may go on: clips that wait for the rest wait a while longer.
            let flushed = self.recorder.end_file();
            self.recorded(flushed)?;
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
            let what = if ever { "connection lost" } else { "no connection" };
            self.notice(format!("{what} ({why}); trying again in {:.1} s", backoff.as_secs_f64()));
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
        let process =
            Process::start(&self.ffmpeg, &self.input, self.config.stall, self.remedy, self.stdin.as_ref())?;
        let mut reader = FragmentReader::new();
        let mut connection: Option<Connection> = None;
        let mut first_picture = self.input.is_rtsp().then(FirstPicture::default);
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
                        self.samples += samples.len() as u64;
                        self.stdin.iter().for_each(StandardInput::forget);
                        let Some(connection) = &mut connection else { continue };
                        let samples = match &mut first_picture {
                            Some(first) => first.admit(&connection.tracks, samples),
                            None if matches!(self.input, Input::File(_)) => {
                                self.rejoin.admit(&connection.tracks, samples)
                            }
                            None => samples,
                        };
                        for sample in samples {
                            self.sample(connection, sample)?;
                        }
                        if self.input.is_live() && connection.bent > 12 && process.bends_timestamps() {
                            process.stop();
                            return Ok(Ended::Lost("the publisher's timestamps went back".to_owned()));
                        }
                        if !self.input.is_live() && connection.bent > 12 && !connection.told_bent {
                            connection.told_bent = true;
                            let at = Timestamp::from_micros(connection.last_at_us);
                            if matches!(self.input, Input::File(_)) && !self.rejoin.is_again() {
                                self.notice(format!(
                                    "timestamps go back at {at}: the file was joined from parts; what follows is \
                                     continued from there"
                                ));
                                process.stop();
                                self.rejoin.again();
                                // An earlier run may have recorded what lies behind the joint.
                                let recorded = self.recorder.recording().span();
                                self.resumed = recorded.is_some_and(|s| s.end > at + Duration::from_secs(1));
                                self.remedy.joined = true;
                                return self.connection(received);
                            }
                            // What cannot be read twice cannot be had again with timestamps that go on.
                            self.notice(format!(
                                "timestamps go back at {at}: what follows stands at that instant until they have \
                                 caught up; run the parts one by one to keep all of it"
                            ));
                        }
                    }
                    Read::Uuid(..) => {}
                }
            }
        }
    }

    fn ended(&mut self, process: Process, received: &mut bool) -> Result<Ended> {
        match process.end(&self.input) {
            Ok(()) if !*received => Err(Error::new(
                ErrorKind::Unsupported,
                "the input has neither sound nor pictures that can be read",
            )
            .with_context("input", self.input.display_name())),
            Ok(()) if self.input.ends() && self.samples == 1 => Err(Error::new(
                ErrorKind::Unsupported,
                "the input is a single picture: there is nothing to clip",
            )
            .with_context("input", self.input.display_name())
            .with_hint("name a recording of a stream, or the stream itself")),
            Ok(()) if self.input.ends() => Ok(Ended::Done),
            // An exit code of 0 still means "lost" for what has no end of its own.
            Ok(()) => Ok(Ended::Lost("the server ended it".to_owned())),
            Err(error) => {
                let said = error.to_string();
                let needed = Process::remedy(&said).filter(|_| !*received);
                if let Some((needed, codec)) = needed {
                    let before = self.remedy;
                    self.remedy.video |= needed.video;
                    self.remedy.audio |= needed.audio;
                    self.remedy.not_aac |= needed.not_aac;
                    if self.remedy != before {
                        if needed.audio || needed.video {
                            let into = if needed.audio { "AAC" } else { "H.264" };
                            self.notice(format!(
                                "{codec} has no place in MP4: it is recorded as {into}, which costs CPU"
                            ));
                        }
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
        }
        .saturating_add(std::mem::take(&mut self.outage_us));
        let pts_us = track.micros(sample.dts);
        let mapped = self.timeline.map(pts_us, connection.first, passed);
        let at_us = pts_us.saturating_add(mapped.offset_us);
        let arrival_us = arrival.as_micros() as i64;
        if connection.first && live {
            self.tell_gap(at_us, mapped.begins.is_some());
        }
        self.reached_us = self.reached_us.max(Some(at_us));
        if let Some((at, mut epoch)) = mapped.begins {
            self.wall.reset();
            self.wall.observe(at_us, arrival_us);
            connection.paced_us = None;
            epoch.wall = self.wall_at(at);
            self.tap_push(TapItem::Epoch { at, epoch });
        } else if live {
            self.wall.observe(at_us, arrival_us);
        }
        if connection.epoch != Some(mapped.epoch) || connection.first {
            if connection.epoch.is_none_or(|e| mapped.epoch > e) || connection.first {
                self.begin_recording(connection, mapped.epoch, mapped.offset_us)?;
            }
            connection.epoch = Some(mapped.epoch);
        }
        connection.first = false;
        connection.last_at_us = at_us;
        connection.note_bent(&track, &sample);
        connection.mend_duration(&track, &mut sample);
        connection.mark_sync(&track, &mut sample, at_us);

        let shift = track.ticks(mapped.offset_us);
        sample.dts = sample.dts.saturating_add(shift);
        sample.pts = sample.pts.saturating_add(shift);
        let at = Timestamp::from_micros(at_us);
        let wall = self.wall_at(at);
        let shown = TapItem::Sample { sample: sample.clone(), at, wall };
        connection.note_pace(at_us, arrival_us);
        if live && connection.hurries {
            // It would have waited at the server: detectors need not miss any of it, unless they hang.
            connection.hurries = self.tap.push_within(shown, PATIENCE);
        } else {
            self.tap_push(shown);
        }
        let pushed = self.recorder.push(sample);
        self.recorded(pushed)
    }

    /// The stream is still listened to where it cannot be recorded, and recording resumes when there is room again.
    fn recorded(&mut self, outcome: Result<()>) -> Result<()> {
        if self.recorder.made_room() && !std::mem::replace(&mut self.told_room, true) {
            self.notice("the disk is full: the oldest recordings are deleted to make room".to_owned());
        }
        let lost_since = self.recorder.lost_since();
        match (self.lost_since, lost_since, &outcome) {
            (None, Some(at), Err(error)) => {
                self.notice(format!("nothing is recorded from {:.1} s on: {error}", at.as_secs_f64()));
            }
            (Some(lost), None, _) => {
                let reached = Timestamp::from_micros(self.reached_us.unwrap_or_default());
                self.notice(format!(
                    "recording again; what came between {:.1} s and {:.1} s is lost",
                    lost.as_secs_f64(),
                    reached.as_secs_f64()
                ));
            }
            _ => {}
        }
        self.lost_since = lost_since;
        match outcome {
            Err(error) if matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Io) => Ok(()),
            other => other,
        }
    }

    /// Says how much of the stream was missed between connections.
    fn tell_gap(&self, at_us: i64, anew: bool) {
        let Some(reached) = self.reached_us else { return };
        let gap = at_us.saturating_sub(reached).max(0) as f64 / 1e6;
        let anew = if anew { "; the publisher's timestamps began anew" } else { "" };
        self.notice(format!("connected again: {gap:.1} s are missing{anew}"));
    }

    fn begin_recording(&mut self, connection: &Connection, epoch: u32, offset_us: i64) -> Result<()> {
        if std::mem::take(&mut self.resumed)
            && !self.input.is_live()
            && self.recorder.resume(&connection.tracks, epoch, offset_us)?
        {
            return Ok(());
        }
        let wall_zero = self.wall_at(Timestamp::ZERO);
        let begun = self.recorder.begin(&connection.tracks, epoch, offset_us, wall_zero);
        self.recorded(begun)
    }

    fn wall_at(&self, at: Timestamp) -> Option<WallTime> {
        if !self.input.is_live() {
            return None;
        }
        Some(self.wall_anchor.offset_micros(self.wall.zero_us()?.saturating_add(at.as_micros())))
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
