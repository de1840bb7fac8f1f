use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;

use super::encode::{Encoded, Files, encode};
use super::plan::{Encode, Plan, VideoPlan, plan};
use super::{Profile, Span, verify};
use crate::media::ffmpeg::Ffmpeg;
use crate::media::h264::AvcConfig;
use crate::media::mp4::{Edit, FragmentSample, ProgressiveTrack, ProgressiveWriter, with_avc_config};
use crate::media::{Track, TrackKind};
use crate::recorder::{IndexedSample, Recording, Slice};
use crate::{Error, ErrorKind, Result, Timestamp};

/// What to cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CutRequest {
    /// The bounds wanted.
    pub span: Span,
    /// The instant that matters most: where a gap divides the span, the part that holds it is cut.
    pub peak: Option<Timestamp>,
    /// How.
    pub profile: Profile,
}

/// What was cut.
#[derive(Debug, Clone, PartialEq)]
pub struct CutReport {
    /// The bounds that the file has.
    pub achieved: Span,
    /// Whether it starts and ends on the frames asked for.
    pub exact: bool,
    /// Why not, and what else is worth knowing.
    pub reasons: Vec<String>,
    /// Codecs as RFC 6381 names them.
    pub codec: String,
    /// Columns; 0 without pictures.
    pub width: u32,
    /// Rows; 0 without pictures.
    pub height: u32,
    /// Mean pictures per second; 0 without pictures.
    pub fps: f64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file in hex.
    pub sha256: String,
}

/// The beginning of a clip, encoded before its end is known.
#[derive(Debug, Clone)]
pub struct PreparedHead {
    pts: Vec<i64>,
    encoded: Encoded,
}

/// Encodes the head of a clip that will start at `start`, while its end is still to come. `None` where nothing needs to be
/// encoded, or where too little is recorded yet to know.
///
/// Blocks; call it from a thread that may.
///
/// # Errors
/// `Media` where ffmpeg fails.
pub fn prepare_head(
    ffmpeg: &Ffmpeg,
    recording: &Recording,
    start: Timestamp,
) -> Result<Option<PreparedHead>> {
    let Some(recorded) = recording.span() else { return Ok(None) };
    let span = Span { start, end: recorded.end };
    let slice = recording.slice(span, Some(start))?;
    let plan = plan(&slice, span, Profile::Exact)?;
    let (Some(v), Some(VideoPlan { encode: Some(what), copy, .. })) = (slice.video(), plan.video) else {
        return Ok(None);
    };
    if copy.is_empty() {
        return Ok(None);
    }
    let files = Files::open(&slice)?;
    let join = AvcConfig::parse(&slice.tracks[v].config)?;
    let encoded = encode(ffmpeg, &slice, &files, v, &what, Some(&join))?;
    Ok(Some(PreparedHead { pts: what.pts, encoded }))
}

/// Cuts a clip out of a recording into `path`. The file appears there whole and verified, or not at all.
///
/// Where the exact cut fails, a keyframe cut is made and the report says so. Blocks; call it from a thread that
/// may.
///
/// # Errors
/// `NotFound` where nothing of the span is recorded, `DiskFull` or `Io` where it cannot be written, `Media` where what
/// was written does not verify.
pub fn cut(
    ffmpeg: &Ffmpeg,
    recording: &Recording,
    request: &CutRequest,
    head: Option<&PreparedHead>,
    path: &Path,
) -> Result<CutReport> {
    if request.span.end <= request.span.start {
        return Err(Error::invalid(format!(
            "a clip cannot end ({}) before it starts ({})",
            request.span.end, request.span.start
        )));
    }
    let slice = recording.slice(request.span, request.peak)?;
    let files = Files::open(&slice)?;
    match cut_as(ffmpeg, &slice, &files, request, request.profile, head, path) {
        Err(error) if request.profile == Profile::Exact && error.kind() == ErrorKind::Media => {
            let mut report = cut_as(ffmpeg, &slice, &files, request, Profile::Keyframe, None, path)?;
            report.exact = false;
            report.reasons.insert(0, format!("the exact cut failed: {error}"));
            Ok(report)
        }
        other => other,
    }
}

/// Describes a clip that a cut with the same request has made before. The recording may have been trimmed since; then
/// this fails, and the clip is cut anew if it still can be.
pub(super) fn describe_existing(
    recording: &Recording,
    request: &CutRequest,
    path: &Path,
) -> Result<CutReport> {
    let verified = verify::verify_alone(path)?;
    let slice = recording.slice(request.span, request.peak)?;
    let plan = plan(&slice, request.span, request.profile)?;
    let track = |kind| slice.tracks.iter().find(move |t| t.kind == kind);
    let sound = plan.audio.as_ref().and_then(|_| track(TrackKind::Audio));
    let tracks: Vec<&Track> = track(TrackKind::Video).into_iter().chain(sound).collect();
    Ok(report(plan, &tracks, verified))
}

fn cut_as(
    ffmpeg: &Ffmpeg,
    slice: &Slice,
    files: &Files,
    request: &CutRequest,
    profile: Profile,
    head: Option<&PreparedHead>,
    path: &Path,
) -> Result<CutReport> {
    let plan = plan(slice, request.span, profile)?;
    let mut media = Vec::new();
    if let (Some(v), Some(video)) = (slice.video(), &plan.video) {
        media.push(pictures(ffmpeg, slice, files, v, video, head)?);
    }
    if let (Some(a), Some(range)) = (slice.audio(), plan.audio.clone()) {
        media.push(sound(slice, a, range, plan.achieved, media.first().map(|m| m.out.track.timescale)));
    }
    let temporary = path.with_extension("mp4.tmp");
    let outcome = write(&temporary, &media, files).and_then(|file| {
        let meant: Vec<_> = media.iter().map(|m| &m.out).collect();
        // The disk and the processor work at the same time; the clip gets its name when both are content.
        let (synced, verified) = thread::scope(|scope| {
            let synced = scope.spawn(|| file.sync_all());
            let verified = verify::verify(&temporary, &meant);
            (synced.join(), verified)
        });
        synced
            .map_err(|_| Error::new(ErrorKind::Internal, "the thread that syncs the clip has panicked"))?
            .map_err(|e| Error::io(e, &temporary).with_operation("cutter::sync"))?;
        let verified = verified?;
        fs::rename(&temporary, path).map_err(|e| Error::io(e, path))?;
        if let Some(dir) =
            path.parent().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
        {
            File::open(dir).and_then(|d| d.sync_all()).map_err(|e| Error::io(e, dir))?;
        }
        Ok(verified)
    });
    let verified = outcome.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    let tracks: Vec<&Track> = media.iter().map(|m| &m.out.track).collect();
    Ok(report(plan, &tracks, verified))
}

fn report(plan: Plan, tracks: &[&Track], verified: verify::Verified) -> CutReport {
    let video = tracks.iter().find(|t| t.kind == TrackKind::Video);
    let shown = plan.video.as_ref().map_or(0, |v| v.shown) as f64;
    CutReport {
        achieved: plan.achieved,
        exact: plan.exact,
        reasons: plan.reasons,
        codec: tracks.iter().map(|t| t.codec_name()).collect::<Vec<_>>().join(","),
        width: video.map_or(0, |t| t.width),
        height: video.map_or(0, |t| t.height),
        fps: (shown / plan.achieved.secs().max(1e-3) * 1000.0).round() / 1000.0,
        bytes: verified.bytes,
        sha256: verified.sha256,
    }
}

/// A track to be written and where its samples' bytes come from.
struct Media {
    out: ProgressiveTrack,
    bytes: Vec<SampleBytes>,
}

enum SampleBytes {
    Recorded(IndexedSample),
    Made(bytes::Bytes),
}

fn pictures(
    ffmpeg: &Ffmpeg,
    slice: &Slice,
    files: &Files,
    v: usize,
    video: &VideoPlan,
    head: Option<&PreparedHead>,
) -> Result<Media> {
    let mut track = slice.tracks[v].clone();
    let copied = &slice.samples[v][video.copy.clone()];
    // dts, pts, duration, sync and bytes of every sample, in decode order.
    let mut rows: Vec<(i64, i64, bool, SampleBytes, u32)> = Vec::new();
    if let Some(what) = &video.encode {
        let join = if copied.is_empty() { None } else { Some(AvcConfig::parse(&track.config)?) };
        let prepared = head.filter(|h| join.is_some() && h.pts == what.pts).map(|h| h.encoded.clone());
        let encoded = match prepared {
            Some(encoded) => encoded,
            None => encode(ffmpeg, slice, files, v, what, join.as_ref())?,
        };
        rows.extend(head_rows(what, encoded.units.clone(), copied));
        track = joined_track(&track, join, &encoded)?;
    }
    for sample in copied {
        let row = &sample.row;
        rows.push((row.dts, row.pts, row.sync, SampleBytes::Recorded(sample.clone()), row.duration));
    }
    let Some(&(base, ..)) = rows.first() else {
        return Err(Error::new(ErrorKind::NotFound, "no picture is recorded in that span"));
    };
    let next: Vec<i64> = rows.iter().skip(1).map(|r| r.0).collect();
    let samples = rows
        .iter()
        .enumerate()
        .map(|(i, (dts, pts, sync, bytes, duration))| FragmentSample {
            size: match bytes {
                SampleBytes::Recorded(s) => s.row.size,
                SampleBytes::Made(b) => b.len() as u32,
            },
            duration: next.get(i).map_or(*duration, |n| (n - dts).max(0) as u32),
            offset: (pts - dts).max(0) as i32,
            sync: *sync,
        })
        .collect();
    let edit = Edit {
        media_time: (video.first_pts - base).max(0) as u64,
        duration: (video.end_pts - video.first_pts).max(0) as u64,
        delay: 0,
    };
    Ok(Media {
        out: ProgressiveTrack { track, edit, samples },
        bytes: rows.into_iter().map(|r| r.3).collect(),
    })
}

/// Encoded pictures keep their source's presentation times. They have no reordering of their own, so each is decoded
/// as long before it is presented as the first copied picture is, which keeps decode times rising across the seam.
fn head_rows(
    what: &Encode,
    units: Vec<bytes::Bytes>,
    copied: &[IndexedSample],
) -> Vec<(i64, i64, bool, SampleBytes, u32)> {
    let delay = copied.first().map_or(0, |s| s.row.pts - s.row.dts);
    let typical = match what.pts[..] {
        [first, .., last] => ((last - first) / (what.pts.len() as i64 - 1)) as u32,
        _ => 0,
    };
    what.pts
        .iter()
        .zip(units)
        .enumerate()
        .map(|(i, (pts, unit))| {
            let sync = crate::media::h264::is_idr(&unit, 4) || i == 0;
            (pts - delay, *pts, sync, SampleBytes::Made(unit), typical)
        })
        .collect()
}

/// One sample entry for both: its configuration holds the parameter sets of the encoder beside the recorded ones.
fn joined_track(track: &Track, join: Option<AvcConfig>, encoded: &Encoded) -> Result<Track> {
    let mut out = track.clone();
    match join {
        Some(mut config) => {
            config.sps.push(encoded.sps.clone());
            config.pps.push(encoded.pps.clone());
            out.config = config.to_bytes().into();
            out.stsd = with_avc_config(&track.stsd, &out.config)?;
        }
        None => {
            let config = AvcConfig {
                profile_level: [encoded.sps[1], encoded.sps[2], encoded.sps[3]],
                length_size: 4,
                sps: vec![encoded.sps.clone()],
                pps: vec![encoded.pps.clone()],
                tail: bytes::Bytes::from_static(&[0xfd, 0xf8, 0xf8, 0]),
            };
            out.config = config.to_bytes().into();
            out.fourcc = *b"avc1";
            out.stsd = crate::media::mp4::avc_sample_entry(track.width, track.height, &out.config);
        }
    }
    Ok(out)
}

fn sound(
    slice: &Slice,
    a: usize,
    range: std::ops::Range<usize>,
    shown: Span,
    movie_timescale: Option<u32>,
) -> Media {
    let track = slice.tracks[a].clone();
    let all = &slice.samples[a][range];
    let samples: Vec<FragmentSample> = all
        .iter()
        .enumerate()
        .map(|(i, s)| FragmentSample {
            size: s.row.size,
            duration: all.get(i + 1).map_or(s.row.duration, |n| (n.row.dts - s.row.dts).max(0) as u32),
            offset: 0,
            sync: true,
        })
        .collect();
    let first = all.first().map_or(0, |s| s.row.pts);
    let last = all.last().map_or(0, |s| s.row.pts + i64::from(s.row.duration));
    let (start, end) = (track.ticks(shown.start.as_micros()), track.ticks(shown.end.as_micros()).min(last));
    let movie = movie_timescale.unwrap_or(track.timescale);
    let in_movie = |ticks: i64| {
        (ticks.max(0) as u128 * u128::from(movie) + u128::from(track.timescale) / 2)
            / u128::from(track.timescale)
    } as u64;
    let edit = Edit {
        media_time: (start - first).max(0) as u64,
        duration: in_movie(end - start.max(first)),
        delay: in_movie(first - start),
    };
    let bytes = all.iter().cloned().map(SampleBytes::Recorded).collect();
    Media { out: ProgressiveTrack { track, edit, samples }, bytes }
}

fn write(path: &Path, media: &[Media], files: &Files) -> Result<File> {
    let timescale = media.first().map_or(1000, |m| m.out.track.timescale);
    let tracks: Vec<ProgressiveTrack> = media.iter().map(|m| m.out.clone()).collect();
    let layout = ProgressiveWriter::new(timescale, &tracks);
    let io = |e| Error::io(e, path).with_operation("cutter::write");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(io)?);
    out.write_all(&layout.header).map_err(io)?;
    let mut buffer = Vec::new();
    for (track, first, end) in layout.chunks {
        let mut samples = media[track].bytes[first..end].iter().peekable();
        while let Some(sample) = samples.next() {
            match sample {
                SampleBytes::Made(bytes) => out.write_all(bytes).map_err(io)?,
                SampleBytes::Recorded(IndexedSample { row, file }) => {
                    // Samples of a part lie one after another: one read for all of them.
                    let mut until = row.offset + u64::from(row.size);
                    while let Some(SampleBytes::Recorded(next)) = samples.next_if(
                        |next| matches!(next, SampleBytes::Recorded(s) if s.file == *file && s.row.offset == until),
                    ) {
                        until += u64::from(next.row.size);
                    }
                    buffer.resize((until - row.offset) as usize, 0);
                    files.read_at(*file, row.offset, &mut buffer)?;
                    out.write_all(&buffer).map_err(io)?;
                }
            }
        }
    }
    out.into_inner().map_err(|e| io(e.into_error()))
}
