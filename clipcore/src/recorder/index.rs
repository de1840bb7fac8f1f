use std::path::PathBuf;
use std::sync::Arc;

use super::segment::Segment;
use crate::cutter::{Span, is_closed};
use crate::media::mp4::Row;
use crate::media::{Track, TrackKind};
use crate::{Error, ErrorKind, Result, Timestamp};

/// A recorded sample and the file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedSample {
    /// Times, size and place.
    pub row: Row,
    /// Which of [`Slice::files`] holds it.
    pub file: usize,
}

/// A stretch of a recording that can be decoded: the samples of one session, from a place where decoding can begin.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The tracks.
    pub tracks: Arc<[Track]>,
    /// Samples per track, in decode order. Pictures begin with the last sync sample at or before the start;
    /// sound begins one sample before the start, so that its decoder can settle.
    pub samples: Vec<Vec<IndexedSample>>,
    /// The files that hold them.
    pub files: Vec<PathBuf>,
    /// What of the asked span is recorded without a break.
    pub available: Span,
    /// Why that is less than what was asked for; empty where it is not.
    pub reasons: Vec<String>,
}

impl Slice {
    /// The index of the track of pictures.
    pub fn video(&self) -> Option<usize> {
        self.tracks.iter().position(|t| t.kind == TrackKind::Video)
    }

    /// The index of the track of sound.
    pub fn audio(&self) -> Option<usize> {
        self.tracks.iter().position(|t| t.kind == TrackKind::Audio)
    }
}

/// How far apart two samples of a track may be before that counts as a gap.
const GAP_US: i64 = 1_000_000;

/// A run of samples without a gap: part of one session's files.
struct Run<'a> {
    segments: Vec<&'a Segment>,
    start_us: i64,
    end_us: i64,
}

/// Groups segments into stretches that can be shown without a break.
fn runs<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for segment in segments {
        let Some((start_us, end_us)) = segment.span_us() else { continue };
        let continues = runs.last().and_then(|run| run.segments.last().map(|last| (run, *last))).is_some_and(
            |(run, last)| {
                last.info.session == segment.info.session
                    && last.info.epoch == segment.info.epoch
                    && last.tracks == segment.tracks
                    && (start_us - run.end_us).abs() <= GAP_US
            },
        );
        match runs.last_mut().filter(|_| continues) {
            Some(run) => {
                run.segments.push(segment);
                run.end_us = run.end_us.max(end_us);
            }
            None => runs.push(Run { segments: vec![segment], start_us, end_us }),
        }
    }
    runs
}

/// What can be shown without a break.
pub(super) fn stretches<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<Span> {
    let span = |run: &Run<'_>| Span {
        start: Timestamp::from_micros(shown_from(run)),
        end: Timestamp::from_micros(shown_until(run)),
    };
    runs(segments).iter().map(span).filter(|span| span.start < span.end).collect()
}

/// Finds what is recorded of `asked`; where a gap divides it, the part that holds `peak` (else the longest).
pub(super) fn slice<'a>(
    segments: impl Iterator<Item = &'a Segment>,
    asked: Span,
    peak: Option<Timestamp>,
) -> Result<Slice> {
    let (from, to) = (asked.start.as_micros(), asked.end.as_micros());
    let runs = runs(segments);
    let overlap = |run: &Run<'_>| run.end_us.min(to) - run.start_us.max(from);
    let holds_peak = |run: &&Run<'_>| {
        peak.is_some_and(|p| (run.start_us..run.end_us).contains(&p.as_micros())) && overlap(run) > 0
    };
    let run = runs
        .iter()
        .find(holds_peak)
        .or_else(|| runs.iter().filter(|r| overlap(r) > 0).max_by_key(|r| overlap(r)))
        .ok_or_else(|| {
            let recorded = match (runs.first(), runs.last()) {
                (Some(first), Some(last)) => {
                    format!("{:.3} to {:.3} s", first.start_us as f64 / 1e6, last.end_us as f64 / 1e6)
                }
                _ => "nothing".to_owned(),
            };
            Error::new(
                ErrorKind::NotFound,
                format!("nothing is recorded between {} and {}", asked.start, asked.end),
            )
            .with_context("recorded", recorded)
        })?;
    let (start_us, end_us) = (shown_from(run), shown_until(run));
    let mut reasons = Vec::new();
    let before = runs.iter().any(|r| r.end_us <= run.start_us);
    let after = runs.iter().any(|r| r.start_us >= run.end_us);
    if start_us > from {
        let why = if before { "a gap in the recording ends there" } else { "the recording begins there" };
        reasons.push(format!("starts {:.3} s late: {why}", (start_us - from) as f64 / 1e6));
    }
    if end_us < to {
        let why = if after { "a gap in the recording begins there" } else { "the recording ends there" };
        reasons.push(format!("ends {:.3} s early: {why}", (to - end_us) as f64 / 1e6));
    }
    let available = Span {
        start: Timestamp::from_micros(start_us.max(from)),
        end: Timestamp::from_micros(end_us.min(to)),
    };
    Ok(collect(run, available, reasons))
}

/// The files that can hold samples of a clip: those of its span and some before it, since sound and pictures do not
/// begin together in a file and an open GOP needs the one before.
fn near<'a, 'b>(run: &'b Run<'a>, span: Span) -> &'b [&'a Segment] {
    const EARLIER: usize = 3;
    let begins =
        |at: Timestamp| move |s: &&Segment| s.span_us().is_some_and(|(start, _)| start <= at.as_micros());
    let first = run.segments.iter().rposition(begins(span.start)).unwrap_or(0).saturating_sub(EARLIER);
    let last = run.segments.iter().rposition(begins(span.end)).map_or(run.segments.len(), |i| i + 1);
    // Pictures before the first one of an open GOP are decoded after it, in the next file.
    &run.segments[first..(last + 1).min(run.segments.len())]
}

/// Where a run begins for a viewer: at the first picture that can be decoded, though sound may come before it.
fn shown_from(run: &Run<'_>) -> i64 {
    let first = run.segments.iter().find_map(|s| {
        let v = s.tracks.iter().position(|t| t.kind == TrackKind::Video)?;
        let row = s.rows[v].iter().find(|row| row.sync)?;
        Some(s.tracks[v].micros(row.pts))
    });
    first.map_or(run.start_us, |first| first.max(run.start_us))
}

/// Where a run ends for a viewer. Where it breaks off, pictures that refer to later ones may be missing between the
/// last ones, since those are decoded, and recorded, before them: what is shown ends at the first such hole.
fn shown_until(run: &Run<'_>) -> i64 {
    /// More pictures than any stream may reorder.
    const TAIL: usize = 34;
    let Some(last) = run.segments.last() else { return run.end_us };
    let Some(v) = last.tracks.iter().position(|t| t.kind == TrackKind::Video) else { return run.end_us };
    let rows = run.segments.iter().rev().flat_map(|s| s.rows[v].iter().rev());
    let mut tail: Vec<Row> = rows.take(TAIL).copied().collect();
    let Some(decoded) = tail.first().map(|row| row.dts + i64::from(row.duration)) else { return run.end_us };
    let longest = tail.iter().map(|row| i64::from(row.duration)).max().unwrap_or(0);
    tail.sort_unstable_by_key(|row| row.pts);
    let hole = tail
        .windows(2)
        .find(|pair| pair[1].pts > decoded && pair[1].pts - pair[0].pts > longest + longest / 2)
        .map(|pair| last.tracks[v].micros(pair[0].pts + i64::from(pair[0].duration)));
    hole.map_or(run.end_us, |hole| hole.min(run.end_us))
}

fn collect(run: &Run<'_>, available: Span, reasons: Vec<String>) -> Slice {
    let tracks = run.segments[0].tracks.clone();
    let segments = near(run, available);
    let mut samples = Vec::with_capacity(tracks.len());
    for (t, track) in tracks.iter().enumerate() {
        let all: Vec<IndexedSample> = segments
            .iter()
            .enumerate()
            .flat_map(|(file, s)| s.rows[t].iter().map(move |row| IndexedSample { row: *row, file }))
            .collect();
        let start = track.ticks(available.start.as_micros());
        let end = track.ticks(available.end.as_micros());
        let first = match track.kind {
            // The last sync sample at or before the first picture that is wanted.
            TrackKind::Video => all.iter().rposition(|s| s.row.sync && s.row.pts <= start).map(|i| {
                // Pictures of an open GOP refer to the one before it.
                match (is_closed(&all, i), all[..i].iter().rposition(|s| s.row.sync)) {
                    (false, Some(earlier)) => earlier,
                    _ => i,
                }
            }),
            TrackKind::Audio => all.iter().rposition(|s| s.row.pts <= start).map(|i| i.saturating_sub(1)),
        }
        .or_else(|| all.iter().position(|s| s.row.sync))
        .unwrap_or(all.len());
        // Whatever a wanted picture refers to comes before it in decode order.
        let last = all.iter().rposition(|s| s.row.pts < end).map_or(first, |i| i + 1);
        samples.push(all.get(first..last.max(first)).unwrap_or_default().to_vec());
    }
    let files = segments.iter().map(|s| s.path.clone()).collect();
    Slice { tracks, samples, files, available, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::SegmentInfo;
    use crate::{CameraId, StreamId};

    const FRAME: i64 = 40;

    /// Pictures as an encoder with two B-pictures hands them out, of 40 ms each: presented 0, 3, 1, 2, 6, 4, 5 …
    fn segment(session: u32, decoded: std::ops::Range<i64>) -> Segment {
        let row = |n: i64| {
            let shown = match n % 3 {
                _ if n == 0 => 0,
                1 => n + 2,
                _ => n - 1,
            };
            let (dts, pts) = (n * FRAME, (shown + 1) * FRAME);
            Row { track: 0, dts, pts, duration: FRAME as u32, size: 1, offset: 0, sync: n == decoded.start }
        };
        let info = SegmentInfo {
            version: 1,
            stream: StreamId::new("s").unwrap(),
            camera: CameraId::main(),
            sequence: u64::from(session),
            session,
            epoch: 0,
            offset_us: 0,
            wall_zero: None,
        };
        let track = Track {
            kind: TrackKind::Video,
            timescale: 1000,
            fourcc: *b"avc1",
            stsd: bytes::Bytes::new(),
            width: 320,
            height: 180,
            channels: 0,
            sample_rate: 0,
            config: bytes::Bytes::new(),
        };
        let mut segment = Segment::new(info, format!("{session}.mp4").into(), Arc::from([track]), 1);
        decoded.clone().map(row).for_each(|row| segment.push(row));
        segment
    }

    fn cut(segments: &[Segment], start: f64, end: f64, peak: f64) -> (f64, f64, String) {
        let at = |secs| Timestamp::try_from_secs_f64(secs).unwrap();
        let asked = Span { start: at(start), end: at(end) };
        let slice = slice(segments.iter(), asked, Some(at(peak))).unwrap();
        let span = slice.available;
        (span.start.as_secs_f64(), span.end.as_secs_f64(), slice.reasons.join("; "))
    }

    #[test]
    fn a_run_that_breaks_off_is_shown_up_to_the_first_picture_that_is_missing() {
        // Whole groups: presented 0 to 30, in decode order 0 to 30.
        assert_eq!(cut(&[segment(0, 0..31)], 0.1, 9.0, 0.5).1, 1.28);
        // Picture 33 is there, those presented before it are not.
        let (_, end, why) = cut(&[segment(0, 0..32)], 0.1, 9.0, 0.5);
        assert_eq!(end, 1.28, "{why}");
        // Picture 33 and 31 are there, 32 is not.
        assert_eq!(cut(&[segment(0, 0..33)], 0.1, 9.0, 0.5).1, 1.32);
        assert_eq!(cut(&[segment(0, 0..34)], 0.1, 9.0, 0.5).1, 1.4);
    }

    #[test]
    fn a_gap_keeps_the_part_with_the_peak_and_says_so() {
        let both = [segment(0, 0..31), segment(1, 150..301)];
        let held: Vec<_> =
            stretches(both.iter()).iter().map(|s| (s.start.as_secs_f64(), s.end.as_secs_f64())).collect();
        assert_eq!(held, [(0.04, 1.28), (6.0, 12.08)]);
        let (_, end, why) = cut(&both, 0.2, 5.0, 1.0);
        assert_eq!((end, why.as_str()), (1.28, "ends 3.720 s early: a gap in the recording begins there"));
        let (start, end, why) = cut(&both, 1.0, 8.0, 7.0);
        assert!(start > 5.9 && end == 8.0 && why.ends_with("a gap in the recording ends there"), "{why}");
        let (_, _, why) = cut(&both, 8.0, 20.0, 9.0);
        assert!(why.ends_with("the recording ends there"), "{why}");
    }
}
