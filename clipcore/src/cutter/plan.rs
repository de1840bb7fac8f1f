use super::{Profile, Span};
use crate::media::h264::{AvcConfig, Sps};
use crate::media::{Track, TrackKind};
use crate::recorder::{IndexedSample, Slice};
use crate::{Error, ErrorKind, Result, Timestamp};

/// Publishers round to milliseconds; a frame this little before an asked bound is meant by it.
const SLACK_US: i64 = 2_000;

/// Which samples a clip is made of.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The pictures; `None` for a recording of sound alone.
    pub(super) video: Option<VideoPlan>,
    /// Range of the sound samples in the slice, one for settling included.
    pub(super) audio: Option<std::ops::Range<usize>>,
    /// What the clip will show.
    pub(super) achieved: Span,
    /// Whether those are the frames asked for.
    pub(super) exact: bool,
    pub(super) reasons: Vec<String>,
}

/// How the pictures are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VideoPlan {
    /// The pictures to be encoded anew, if any.
    pub(super) encode: Option<Encode>,
    /// Samples of the slice that are copied.
    pub(super) copy: std::ops::Range<usize>,
    /// Presentation time of the first picture shown, in ticks.
    pub(super) first_pts: i64,
    /// End of the last picture shown, in ticks.
    pub(super) end_pts: i64,
    /// How many pictures are shown.
    pub(super) shown: usize,
}

/// Pictures to be encoded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encode {
    /// Samples of the slice to decode.
    pub(super) decode: std::ops::Range<usize>,
    /// Presentation times of the pictures wanted, in ticks, rising.
    pub(super) pts: Vec<i64>,
}

/// Decides which samples make the clip.
pub(super) fn plan(slice: &Slice, asked: Span, profile: Profile) -> Result<Plan> {
    let mut reasons = slice.reasons.clone();
    let Some(v) = slice.video() else { return sound_only(slice, asked, reasons) };
    let (track, samples) = (&slice.tracks[v], &slice.samples[v]);
    let from = track.ticks(slice.available.start.as_micros() - SLACK_US);
    let to = track.ticks(slice.available.end.as_micros() - SLACK_US);
    let mut shown: Vec<i64> = samples.iter().map(|s| s.row.pts).filter(|p| (from..to).contains(p)).collect();
    shown.sort_unstable();
    let Some(&first) = shown.first() else {
        return Err(Error::new(ErrorKind::NotFound, "no picture is recorded in that span"));
    };
    // Where the recording begins after the last sync sample before the start, decoding begins at the next one.
    let Some(begin) = samples.iter().position(|s| s.row.sync) else {
        return Err(Error::new(
            ErrorKind::Media,
            "the recording holds no picture at which decoding can begin",
        ));
    };
    let undecodable = samples[begin].row.pts > first;
    if undecodable {
        reasons.push("starts at the first picture that can be decoded".to_owned());
    }
    let first = first.max(samples[begin].row.pts);
    let last = samples.iter().rposition(|s| s.row.pts < to).map_or(samples.len(), |i| i + 1);
    let end_pts = end_of(samples, to);

    let mut video = match profile {
        Profile::Keyframe => copy_from(samples, begin, last, end_pts),
        Profile::Exact => match unsafe_to_join(track) {
            Some(why) => {
                reasons.push(format!("all of it is encoded anew: {why}"));
                VideoPlan {
                    encode: encode(samples, begin, last, first, to),
                    copy: last..last,
                    first_pts: first,
                    end_pts,
                    shown: 0,
                }
            }
            None => exact(samples, begin, last, first, to, end_pts),
        },
    };
    video.shown = samples.iter().filter(|s| (video.first_pts..video.end_pts).contains(&s.row.pts)).count();
    let achieved_start = Timestamp::from_micros(track.micros(video.first_pts));
    let early = slice.available.start.secs_since(achieved_start);
    if profile == Profile::Keyframe && video.first_pts < first {
        reasons.push(format!("starts {early:.3} s early: a keyframe cut begins where decoding can begin"));
    }
    let achieved = Span { start: achieved_start, end: Timestamp::from_micros(track.micros(video.end_pts)) };
    let exact = slice.reasons.is_empty() && !undecodable && video.first_pts == first;
    let audio = sound(slice, achieved);
    if audio.is_none() && slice.audio().is_some() {
        reasons.push("no sound is recorded in that span".to_owned());
    }
    Ok(Plan { video: Some(video), audio, achieved, exact, reasons })
}

fn exact(
    samples: &[IndexedSample],
    begin: usize,
    last: usize,
    first: i64,
    to: i64,
    end_pts: i64,
) -> VideoPlan {
    let at = samples.iter().position(|s| s.row.pts == first).unwrap_or(begin);
    if samples[at].row.sync {
        return copy_from(samples, at, last, end_pts);
    }
    // The next place where copying can begin; where the clip ends before it, all of it is encoded.
    let join = (at + 1..last)
        .find(|&i| samples[i].row.sync && samples[i].row.pts > first && is_closed(samples, i))
        .unwrap_or(last);
    let until = samples.get(join).filter(|_| join < last).map_or(to, |s| s.row.pts.min(to));
    VideoPlan {
        encode: encode(samples, begin, join, first, until),
        copy: join..last,
        first_pts: first,
        end_pts,
        shown: 0,
    }
}

fn copy_from(samples: &[IndexedSample], begin: usize, last: usize, end_pts: i64) -> VideoPlan {
    VideoPlan { encode: None, copy: begin..last, first_pts: samples[begin].row.pts, end_pts, shown: 0 }
}

fn encode(samples: &[IndexedSample], begin: usize, end: usize, first: i64, until: i64) -> Option<Encode> {
    // Decoding begins at the last sync sample that leaves the first wanted picture intact.
    let begin =
        (begin..end).rev().find(|&i| samples[i].row.sync && samples[i].row.pts <= first).unwrap_or(begin);
    let mut pts: Vec<i64> = samples[begin..end].iter().map(|s| s.row.pts).collect();
    pts.sort_unstable();
    let pts: Vec<i64> = pts.into_iter().filter(|p| (first..until).contains(p)).collect();
    (!pts.is_empty()).then_some(Encode { decode: begin..end, pts })
}

/// Whether nothing that is decoded after this sync sample is presented before it: no picture of an open GOP that
/// refers to what came earlier.
pub(crate) fn is_closed(samples: &[IndexedSample], at: usize) -> bool {
    /// More pictures than any H.264 stream may reorder.
    const REORDER: usize = 17;
    samples[at + 1..].iter().take(REORDER).all(|s| s.row.pts > samples[at].row.pts)
}

/// The end of the last picture presented before `to`: where the next one begins, else by its duration.
fn end_of(samples: &[IndexedSample], to: i64) -> i64 {
    let last = samples.iter().map(|s| &s.row).filter(|r| r.pts < to).max_by_key(|r| r.pts);
    let next = samples.iter().map(|s| s.row.pts).filter(|p| *p >= to).min();
    last.map_or(to, |r| {
        let by_duration = r.pts + i64::from(r.duration);
        next.map_or(by_duration, |n| n.min(by_duration.max(r.pts + 1)))
    })
}

/// Why joining pictures of our encoder to the recorded ones could go wrong; `None` where it cannot.
pub(super) fn unsafe_to_join(track: &Track) -> Option<&'static str> {
    if !track.is_h264() {
        return Some("only H.264 can be joined without encoding");
    }
    let Ok(config) = AvcConfig::parse(&track.config) else {
        return Some("its parameter sets cannot be read");
    };
    for set in &config.sps {
        match Sps::parse(set) {
            Ok(sps) if !sps.frames_only => return Some("it is interlaced"),
            Ok(sps) if sps.chroma_format != 1 || sps.bit_depth != 8 => return Some("it is not 8-bit 4:2:0"),
            Ok(_) => {}
            Err(_) => return Some("its parameter sets cannot be read"),
        }
    }
    None
}

fn sound(slice: &Slice, span: Span) -> Option<std::ops::Range<usize>> {
    let a = slice.audio()?;
    let (track, samples) = (&slice.tracks[a], &slice.samples[a]);
    let (start, end) = (track.ticks(span.start.as_micros()), track.ticks(span.end.as_micros()));
    let first = samples.iter().rposition(|s| s.row.pts <= start).map_or(0, |i| i.saturating_sub(1));
    let last = samples.iter().rposition(|s| s.row.pts < end).map_or(0, |i| i + 1);
    let reaches =
        samples.get(first..last)?.last().is_some_and(|s| s.row.pts + i64::from(s.row.duration) > start);
    (first < last && reaches).then_some(first..last)
}

fn sound_only(slice: &Slice, asked: Span, reasons: Vec<String>) -> Result<Plan> {
    let a = slice
        .tracks
        .iter()
        .position(|t| t.kind == TrackKind::Audio)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "neither sound nor pictures are recorded"))?;
    let audio = sound(slice, slice.available)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "no sound is recorded in that span"))?;
    let last = &slice.samples[a][audio.end - 1].row;
    let end =
        slice.tracks[a].micros(last.pts + i64::from(last.duration)).min(slice.available.end.as_micros());
    let achieved = Span { start: slice.available.start, end: Timestamp::from_micros(end) };
    let exact = achieved == asked;
    Ok(Plan { video: None, audio: Some(audio), achieved, exact, reasons })
}
