use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use crate::cutter::Span;
use crate::fusion::{Moment, MomentState};
use crate::ids::shorten;
use crate::{Error, Result, StreamId, Timestamp};

/// What is scored: a confirmed moment in its last revision, or a baseline's alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The stream.
    pub stream: StreamId,
    /// The clip that was asked for.
    pub span: Span,
    /// The instant of maximum score.
    pub peak: Timestamp,
    /// When it was first told, provisional included.
    pub told_at: Timestamp,
    /// When it was first confirmed.
    pub decided_at: Timestamp,
    /// How sure; only the order matters.
    pub score: f64,
}

/// What moments were in the end: the last revision of each, without those that were dropped or never confirmed.
///
/// Transitions may come in any order and from several streams; duplicates do no harm.
pub fn detections(moments: &[Moment]) -> Vec<Detection> {
    let mut by_id: HashMap<Arc<str>, (&Moment, Timestamp, Option<Timestamp>)> = HashMap::new();
    for m in moments {
        let confirmed = matches!(m.state, MomentState::Open | MomentState::Closed).then_some(m.decided_at);
        let entry = by_id.entry(m.id.clone()).or_insert((m, m.decided_at, None));
        if m.rev > entry.0.rev {
            entry.0 = m;
        }
        entry.1 = entry.1.min(m.decided_at);
        entry.2 = entry.2.into_iter().chain(confirmed).min();
    }
    let mut found: Vec<Detection> = by_id
        .into_values()
        .filter(|(last, ..)| last.state != MomentState::Dropped)
        .filter_map(|(last, told_at, decided)| {
            Some(Detection {
                stream: last.stream.clone(),
                span: Span { start: last.start, end: last.end },
                peak: last.peak,
                told_at,
                decided_at: decided?,
                score: last.score,
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.stream, a.peak, a.decided_at).cmp(&(&b.stream, b.peak, b.decided_at)));
    found
}

/// Reads moments as JSONL, one transition a line; empty lines are skipped.
///
/// # Errors
/// `InvalidInput` that names the line; `Io` where the reader fails.
pub fn read_moments(reader: impl BufRead) -> Result<Vec<Moment>> {
    let mut moments = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let line = line.map_err(|e| Error::from(e).with_context("line", index + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        moments.push(serde_json::from_str(&line).map_err(|e| {
            Error::invalid("this is not a moment")
                .with_source(e)
                .with_context("line", index + 1)
                .with_context("text", shorten(&line))
                .with_hint("give the JSONL that clipcore run or clipcore replay wrote")
        })?);
    }
    Ok(moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, rev: u32, state: &str, decided_at: f64, peak: f64) -> String {
        format!(
            r#"{{"id":"{id}","rev":{rev},"stream":"s","state":"{state}","start":1,"peak":{peak},"end":20,"decided_at":{decided_at},"score":2.5,"label":"hype","evidence":[]}}"#
        )
    }

    #[test]
    fn the_last_revision_counts_and_the_first_confirmation_is_the_decision() {
        let text = [
            line("a", 3, "closed", 40.0, 12.0),
            line("a", 1, "provisional", 8.0, 7.0),
            line("a", 2, "open", 15.0, 10.0),
            line("b", 1, "provisional", 30.0, 30.0),
            line("b", 2, "dropped", 60.0, 30.0),
            line("c", 1, "provisional", 90.0, 90.0),
        ]
        .join("\n");
        let found = detections(&read_moments(text.as_bytes()).unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].peak, Timestamp::from_secs(12));
        assert_eq!(found[0].told_at, Timestamp::from_secs(8));
        assert_eq!(found[0].decided_at, Timestamp::from_secs(15));
    }

    #[test]
    fn a_line_that_is_no_moment_is_named() {
        let text = format!("{}\n\n{{\"id\":1}}\n", line("a", 1, "open", 1.0, 1.0));
        let err = read_moments(text.as_bytes()).unwrap_err().to_string();
        assert!(err.contains("not a moment") && err.contains("line: 3"), "{err}");
    }
}
