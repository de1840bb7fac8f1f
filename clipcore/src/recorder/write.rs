use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::RecorderConfig;
use super::recording::Recording;
use super::segment::{SEGMENT_UUID, Segment, SegmentInfo, file_name};
use crate::media::mp4::{Fragment, FragmentSample, Row, fragment, init_segment, uuid_box};
use crate::media::{Sample, Track, TrackKind};
use crate::{CameraId, Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

/// Writes a recording. One recorder at a time writes a folder.
#[derive(Debug)]
pub struct Recorder {
    recording: Arc<Recording>,
    stream: StreamId,
    camera: CameraId,
    sequence: u64,
    session: Option<Session>,
    sessions: u32,
    file: Option<OpenFile>,
    part: Vec<Sample>,
    /// Per track, the decode time up to which samples are recorded already.
    skip_until: Vec<i64>,
    /// Where the first part lies that could not be written, since when none could.
    lost_since: Option<Timestamp>,
}

#[derive(Debug)]
struct Session {
    tracks: Arc<[Track]>,
    number: u32,
    epoch: u32,
    offset_us: i64,
    wall_zero: Option<WallTime>,
    /// Decode time of the last sample per track, to keep it rising.
    last_dts: Vec<Option<i64>>,
    /// End in microseconds of what is on disk, per track.
    written_us: Vec<Option<i64>>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    len: u64,
    first_us: i64,
    parts: u32,
}

impl Recorder {
    /// Opens a folder to record into, creating it where it is not there. Torn ends left by a crash are cut off;
    /// everything whole stays.
    ///
    /// # Errors
    /// `Config` for settings that make no sense, `Io` where the folder cannot be used.
    pub fn open(
        dir: impl Into<PathBuf>,
        stream: StreamId,
        camera: CameraId,
        config: RecorderConfig,
    ) -> Result<Self> {
        config.validate()?;
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(|e| Error::io(e, &dir).with_operation("recorder::open"))?;
        let recording = Recording::load(dir, config, true)?;
        let newest = recording.newest_info();
        Ok(Self {
            recording: Arc::new(recording),
            stream,
            camera,
            sequence: newest.as_ref().map_or(0, |i| i.sequence + 1),
            session: None,
            sessions: newest.as_ref().map_or(0, |i| i.session + 1),
            file: None,
            part: Vec::new(),
            skip_until: Vec::new(),
            lost_since: None,
        })
    }

    /// From when on nothing could be written; `None` while all is well.
    pub fn lost_since(&self) -> Option<Timestamp> {
        self.lost_since
    }

    /// The index that this recorder fills.
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// A new connection or epoch: the samples that follow do not continue the earlier ones.
    ///
    /// # Errors
    /// As [`push`](Self::push), for what was still buffered.
    pub fn begin(
        &mut self,
        tracks: &[Track],
        epoch: u32,
        offset_us: i64,
        wall_zero: Option<WallTime>,
    ) -> Result<()> {
        let ended = self.end_file();
        self.skip_until = vec![i64::MIN; tracks.len()];
        self.session = Some(Session {
            tracks: tracks.into(),
            number: self.sessions,
            epoch,
            offset_us,
            wall_zero,
            last_dts: vec![None; tracks.len()],
            written_us: vec![None; tracks.len()],
        });
        self.sessions += 1;
        self.recording.set_ended(false);
        ended
    }

    /// The same input is read again from its beginning, after a crash: what is recorded already is passed over, and what
    /// follows continues the last session without a seam. `false` where the recording is of something else.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn resume(&mut self, tracks: &[Track], epoch: u32, offset_us: i64) -> Result<bool> {
        let last = {
            let state = self.recording.lock();
            let Some(newest) = state.segments.back() else { return Ok(false) };
            if *newest.tracks != *tracks || newest.info.epoch != epoch || newest.info.offset_us != offset_us {
                return Ok(false);
            }
            let session = newest.info.session;
            let of_session = || state.segments.iter().rev().take_while(|s| s.info.session == session);
            let last = |t: usize| of_session().find_map(|s| s.rows[t].last()).map_or(i64::MIN, |row| row.dts);
            (session, (0..tracks.len()).map(last).collect::<Vec<_>>())
        };
        self.sessions = last.0;
        self.begin(tracks, epoch, offset_us, None)?;
        self.skip_until = last.1;
        Ok(true)
    }

    /// Takes a sample in; its times are stream time in its track's ticks.
    ///
    /// # Errors
    /// `DiskFull` or `Io` where a part could not be written: the part is lost and counted, the file stays whole,
    /// and the recorder goes on.
    pub fn push(&mut self, mut sample: Sample) -> Result<()> {
        let Some(session) = &mut self.session else {
            return Err(Error::new(ErrorKind::Internal, "a sample came before Recorder::begin"));
        };
        let Some(track) = session.tracks.get(sample.track) else {
            return Err(Error::new(ErrorKind::Internal, "a sample names a track that there is not"));
        };
        if sample.dts <= self.skip_until[sample.track] {
            return Ok(());
        }
        let slot = &mut session.last_dts[sample.track];
        if let Some(last) = *slot
            && sample.dts <= last
        {
            let shift = last + 1 - sample.dts;
            sample.dts += shift;
            sample.pts = sample.pts.max(sample.dts);
        }
        *slot = Some(sample.dts);
        let at_us = track.micros(sample.dts);
        let has_video = session.tracks.iter().any(|t| t.kind == TrackKind::Video);
        let can_begin = if has_video { track.kind == TrackKind::Video && sample.sync } else { true };
        let mut outcome = Ok(());
        if let Some(file) = &self.file {
            let span = at_us - file.first_us;
            if can_begin && span >= self.recording.config().segment.as_micros() as i64 {
                outcome = self.end_file();
            }
        }
        if let Some(first) = self.part.first() {
            let begun = self.track_of(first).map_or(at_us, |t| t.micros(first.dts));
            if at_us - begun >= self.recording.config().part.as_micros() as i64 {
                outcome = outcome.and(self.flush());
            }
        }
        self.part.push(sample);
        outcome
    }

    fn track_of(&self, sample: &Sample) -> Option<&Track> {
        self.session.as_ref().and_then(|s| s.tracks.get(sample.track))
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn flush(&mut self) -> Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::take(&mut self.part);
        let outcome = self.write_part(&part);
        if outcome.is_ok() {
            self.lost_since = None;
        } else {
            self.lost(&part);
        }
        outcome
    }

    /// A part could not be written: what follows does not continue what came before it.
    fn lost(&mut self, part: &[Sample]) {
        self.recording.lock().stats.lost_parts += 1;
        self.file = None;
        if self.lost_since.is_some() {
            return;
        }
        let first_us = part.iter().filter_map(|s| Some(self.track_of(s)?.micros(s.dts))).min();
        self.lost_since = first_us.map(Timestamp::from_micros);
        if let Some(session) = &mut self.session {
            session.number = self.sessions;
            self.sessions += 1;
        }
    }

    /// Ends the current file.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn end_file(&mut self) -> Result<()> {
        let outcome = self.flush();
        self.file = None;
        self.recording.trim(false);
        outcome
    }

    fn write_part(&mut self, part: &[Sample]) -> Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        let tracks = session.tracks.clone();
        if self.file.is_none() {
            let first_us = part.iter().map(|s| tracks[s.track].micros(s.dts)).min().unwrap_or(0);
            self.open_file(first_us)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let (bytes, mut rows) = layout(file.parts, tracks.len(), part);
        if let Err(error) = write_whole(file, &bytes) {
            // The oldest recording makes room for the newest; where that does not help, this part is lost.
            let retried = error.kind() == ErrorKind::DiskFull
                && self.recording.trim(true)
                && write_whole(file, &bytes).is_ok();
            if !retried {
                return Err(error.with_operation("recorder::write"));
            }
        }
        for row in &mut rows {
            row.offset += file.len;
        }
        file.len += bytes.len() as u64;
        file.parts += 1;
        let len = file.len;
        let Some(session) = &mut self.session else { return Ok(()) };
        let mut state = self.recording.lock();
        if let Some(segment) = state.segments.back_mut() {
            segment.bytes = len;
            for row in rows {
                let end = match tracks[row.track].kind {
                    // Everything presented before the last decode time has been decoded.
                    TrackKind::Video => row.dts,
                    TrackKind::Audio => row.pts.saturating_add(i64::from(row.duration)),
                };
                session.written_us[row.track] = Some(tracks[row.track].micros(end));
                segment.push(row);
            }
        }
        drop(state);
        self.recording.set_progress(reached(&session.written_us));
        Ok(())
    }

    fn open_file(&mut self, first_us: i64) -> Result<()> {
        let Some(session) = &self.session else { return Ok(()) };
        let path = self.recording.dir().join(file_name(self.sequence));
        let info = SegmentInfo {
            version: 1,
            stream: self.stream.clone(),
            camera: self.camera.clone(),
            sequence: self.sequence,
            session: session.number,
            epoch: session.epoch,
            offset_us: session.offset_us,
            wall_zero: session.wall_zero,
        };
        let mut head = init_segment(&session.tracks);
        let moov_at = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let info_box = uuid_box(&SEGMENT_UUID, &serde_json::to_vec(&info)?);
        head.splice(moov_at..moov_at, info_box);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(|e| Error::io(e, &path).with_operation("recorder::open_file"))?;
        let mut open = OpenFile { file, path: path.clone(), len: 0, first_us, parts: 0 };
        if let Err(error) = write_whole(&mut open, &head) {
            let retried = error.kind() == ErrorKind::DiskFull
                && self.recording.trim(true)
                && write_whole(&mut open, &head).is_ok();
            if !retried {
                let _ = fs::remove_file(&path);
                return Err(error.with_operation("recorder::open_file"));
            }
        }
        open.len = head.len() as u64;
        self.sequence += 1;
        let tracks = session.tracks.clone();
        self.recording.lock().segments.push_back(Segment::new(info, path, tracks, open.len));
        self.file = Some(open);
        Ok(())
    }

    /// The input has ended or is interrupted: writes what is buffered and says that no more will come for now.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<()> {
        let outcome = self.end_file();
        // What is recorded is all there will be: the last pictures' presentation ends count now.
        let end = self.recording.span().map(|s| s.end);
        if let Some(end) = end {
            self.recording.set_progress(end);
        }
        self.recording.set_ended(true);
        outcome
    }
}

/// Whoever waits for media that nobody will record waits no longer.
impl Drop for Recorder {
    fn drop(&mut self) {
        self.recording.set_ended(true);
    }
}

/// The slowest track bounds what is complete; one that has not begun yet, or has stopped, does not.
fn reached(written: &[Option<i64>]) -> Timestamp {
    const STOPPED_US: i64 = 5_000_000;
    let newest = written.iter().flatten().max().copied().unwrap_or(i64::MIN);
    let slowest = written.iter().flatten().filter(|w| newest - **w < STOPPED_US).min();
    slowest.map_or(Timestamp::MIN, |w| Timestamp::from_micros(*w))
}

/// One `write`; on failure the file is cut back to what it held before.
fn write_whole(open: &mut OpenFile, bytes: &[u8]) -> Result<()> {
    if let Err(error) = open.file.write_all(bytes) {
        let _ = open.file.set_len(open.len);
        let _ = std::io::Seek::seek(&mut open.file, std::io::SeekFrom::Start(open.len));
        return Err(Error::io(error, &open.path));
    }
    Ok(())
}

/// The bytes of a part, and its rows with offsets from the part's start.
fn layout(parts: u32, tracks: usize, part: &[Sample]) -> (Vec<u8>, Vec<Row>) {
    let mut fragments = Vec::with_capacity(tracks);
    let mut rows = Vec::with_capacity(part.len());
    for track in 0..tracks {
        let samples: Vec<&Sample> = part.iter().filter(|s| s.track == track).collect();
        let Some(first) = samples.first() else { continue };
        let mut described = Vec::with_capacity(samples.len());
        for (i, sample) in samples.iter().enumerate() {
            // The next decode time is the truth about a sample's duration; the muxer's word is used where there is
            // none yet.
            let duration = match samples.get(i + 1) {
                Some(next) => u32::try_from(next.dts - sample.dts).unwrap_or(sample.duration),
                None => sample.duration,
            };
            let (size, sync) = (sample.data.len() as u32, sample.sync);
            let offset = (sample.pts - sample.dts) as i32;
            described.push(FragmentSample { size, duration, offset, sync });
            rows.push(Row { track, dts: sample.dts, pts: sample.pts, duration, size, offset: 0, sync });
        }
        fragments.push(Fragment { track, dts: first.dts, samples: described });
    }
    let mut bytes = fragment(parts + 1, &fragments);
    let mut at = bytes.len() as u64;
    for row in &mut rows {
        row.offset = at;
        at += u64::from(row.size);
    }
    bytes.reserve(at as usize - bytes.len());
    for track in 0..tracks {
        for sample in part.iter().filter(|s| s.track == track) {
            bytes.extend_from_slice(&sample.data);
        }
    }
    (bytes, rows)
}
