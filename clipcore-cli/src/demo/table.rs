//! The table at the end of `demo` and `run`: each moment, its clip, and why.

use clipcore::cutter::{Clip, ClipState, Span};
use clipcore::fusion::{Moment, MomentState};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{ContentArrangement, Table};

/// Lays out moments that were closed, each with its clips; `moments` and `clips` may hold every transition, the newest of an
/// id counts.
pub fn table(moments: &[Moment], clips: &[Clip]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["moment", "peak", "clip", "asked", "achieved", "evidence"]);
    for moment in newest_moments(moments) {
        let clips = newest_clips(clips, &moment.id);
        let evidence = evidence(moment);
        let (label, peak) = (moment.label.to_string(), clock(moment.peak.as_secs_f64()));
        if clips.is_empty() {
            let asked = span(&Span { start: moment.start, end: moment.end });
            table.add_row([&label, &peak, "none", &asked, "", &evidence]);
        }
        for clip in clips {
            let (file, achieved) = outcome(clip);
            table.add_row([&label, &peak, &file, &span(&clip.asked), &achieved, &evidence]);
        }
    }
    table
}

fn newest_moments(moments: &[Moment]) -> Vec<&Moment> {
    let mut newest: Vec<&Moment> = Vec::new();
    for moment in moments {
        match newest.iter_mut().find(|m| m.id == moment.id) {
            Some(known) if known.rev < moment.rev => *known = moment,
            Some(_) => {}
            None => newest.push(moment),
        }
    }
    newest.retain(|m| m.state == MomentState::Closed);
    newest.sort_by(|a, b| (&a.stream, a.start, &a.id).cmp(&(&b.stream, b.start, &b.id)));
    newest
}

fn newest_clips<'a>(clips: &'a [Clip], moment: &str) -> Vec<&'a Clip> {
    let mut newest: Vec<&Clip> = Vec::new();
    for clip in clips.iter().filter(|c| *c.moment == *moment) {
        // Transitions come in order, so a later line replaces an earlier one.
        match newest.iter_mut().find(|c| c.id == clip.id) {
            Some(known) => *known = clip,
            None => newest.push(clip),
        }
    }
    newest
}

fn outcome(clip: &Clip) -> (String, String) {
    let name = clip.path.as_ref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    let reasons = clip.reasons.join("; ");
    match clip.state {
        ClipState::Pending => ("pending".to_owned(), String::new()),
        ClipState::Failed => ("failed".to_owned(), reasons),
        ClipState::Ready => {
            let mut achieved = clip.achieved.as_ref().map(span).unwrap_or_default();
            if clip.exact {
                achieved.push_str(" exact");
            } else if !reasons.is_empty() {
                achieved.push_str(&format!(" ({reasons})"));
            }
            (name.unwrap_or_default(), achieved)
        }
    }
}

/// The strongest three, with their shares.
fn evidence(moment: &Moment) -> String {
    let mut strongest: Vec<_> = moment.evidence.iter().collect();
    strongest.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
    let shown: Vec<_> = strongest
        .iter()
        .take(3)
        .map(|e| format!("{} {} {:+.2}", e.detector, e.label, e.contribution))
        .collect();
    let more = strongest.len().saturating_sub(3);
    match more {
        0 => shown.join("\n"),
        n => format!("{}\nand {n} more", shown.join("\n")),
    }
}

fn span(span: &Span) -> String {
    format!("{} – {}", clock(span.start.as_secs_f64()), clock(span.end.as_secs_f64()))
}

/// `m:ss.mmm`, with hours where there are any.
fn clock(secs: f64) -> String {
    let millis = (secs.abs() * 1000.0).round() as u64;
    let (h, m, s, ms) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60, millis % 1000);
    let sign = if secs < 0.0 { "-" } else { "" };
    match h {
        0 => format!("{sign}{m}:{s:02}.{ms:03}"),
        _ => format!("{sign}{h}:{m:02}:{s:02}.{ms:03}"),
    }
}

#[cfg(test)]
mod tests {
    use clipcore::fusion::Evidence;
    use clipcore::{CameraId, StreamId, Timestamp};

    use super::*;

    fn moment(id: &str, rev: u32, state: MomentState, start: i64) -> Moment {
        let at = Timestamp::from_secs;
        let evidence = |detector: &str, contribution| Evidence {
            detector: detector.into(),
            label: "burst".into(),
            camera: None,
            at: at(start + 3),
            score: 5.0,
            contribution,
        };
        Moment {
            id: id.into(),
            rev,
            stream: StreamId::new("demo").unwrap(),
            state,
            start: at(start),
            peak: at(start + 3),
            end: at(start + 12),
            decided_at: at(start + 20),
            start_time: None,
            peak_time: None,
            end_time: None,
            score: 3.0,
            label: "cheer".into(),
            evidence: vec![evidence("loudness", 1.0), evidence("chat_burst", 2.0)],
            trace: None,
        }
    }

    fn clip(moment: &str, state: ClipState, exact: bool) -> Clip {
        let span = Span { start: Timestamp::from_millis(34_500), end: Timestamp::from_secs(46) };
        Clip {
            id: format!("clip-{moment}").into(),
            moment: moment.into(),
            rev: 2,
            stream: StreamId::new("demo").unwrap(),
            camera: CameraId::main(),
            state,
            path: (state == ClipState::Ready).then(|| format!("clips/{moment}.mp4").into()),
            url: None,
            thumbnail: None,
            preview: None,
            asked: span,
            achieved: (state == ClipState::Ready).then_some(span),
            exact,
            reasons: if exact { vec![] } else { vec!["the recording has a gap".to_owned()] },
            codec: None,
            width: None,
            height: None,
            fps: None,
            bytes: None,
            sha256: None,
            edit: 0,
            trace: None,
        }
    }

    #[test]
    fn the_newest_transition_of_each_closed_moment_is_shown() {
        let moments = [
            moment("b", 1, MomentState::Open, 70),
            moment("a", 1, MomentState::Provisional, 30),
            moment("a", 2, MomentState::Closed, 35),
            moment("b", 2, MomentState::Closed, 71),
            moment("c", 1, MomentState::Dropped, 90),
        ];
        let clips = [
            clip("a", ClipState::Pending, false),
            clip("a", ClipState::Ready, true),
            clip("b", ClipState::Failed, false),
        ];
        let text = table(&moments, &clips).to_string();
        assert!(text.contains("a.mp4") && text.contains("0:34.500 – 0:46.000 exact"), "{text}");
        assert!(text.contains("failed") && text.contains("the recording has a gap"), "{text}");
        assert!(!text.contains("pending") && !text.contains("1:33.000"), "{text}");
        assert!(text.find("a.mp4") < text.find("failed"), "{text}");
        let (first, second) = (text.find("chat_burst burst +2.00"), text.find("loudness burst +1.00"));
        assert!(first.is_some() && first < second, "{text}");
    }
}
