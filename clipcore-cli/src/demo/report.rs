//! What the demo found, beside what is true.

use clipcore::Timestamp;
use clipcore::cutter::{Clip, ClipState};
use clipcore::fusion::{Moment, MomentState};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

use super::{DISTRACTORS, Happening, MOMENTS};

/// Says for every true moment and every distractor whether a clip shows it.
pub fn report(moments: &[Moment], clips: &[Clip]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["what happens", "from", "to", "is", "found"]);
    for (happening, is) in
        MOMENTS.iter().map(|m| (m, "a moment")).chain(DISTRACTORS.iter().map(|d| (d, "none")))
    {
        let found = found(happening, moments, clips).unwrap_or_else(|| "no clip".to_owned());
        let (from, to) = (format!("{:.1}", happening.start), format!("{:.1}", happening.end));
        table.add_row([happening.kind, &from, &to, is, &found]);
    }
    format!("{table}\n")
}

/// The clip whose moment peaks while this happens or soon after it, and how much of it the clip shows.
fn found(happening: &Happening, moments: &[Moment], clips: &[Clip]) -> Option<String> {
    let at = |secs: f64| Timestamp::try_from_secs_f64(secs).unwrap_or_default();
    let near = |peak: Timestamp| (at(happening.start - 1.0)..=at(happening.end + 12.0)).contains(&peak);
    let ready = clips.iter().rev().filter(|c| c.state == ClipState::Ready);
    let closed = |m: &&Moment| m.state == MomentState::Closed;
    let clip = ready
        .into_iter()
        .find(|c| moments.iter().filter(closed).any(|m| m.id == c.moment && near(m.peak)))?;
    let achieved = clip.achieved?;
    if achieved.end <= at(happening.start) || achieved.start >= at(happening.end) {
        return None;
    }
    let whole = achieved.start <= at(happening.start) && achieved.end >= at(happening.end);
    let name =
        clip.path.as_ref().and_then(|p| p.file_name()).unwrap_or_default().to_string_lossy().into_owned();
    Some(format!("{name}, {}", if whole { "all of it" } else { "part of it" }))
}
