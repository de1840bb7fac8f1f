use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cutter::Span;
use crate::fusion::Moment;
use crate::ids::shorten;
use crate::{Error, Result, StreamId, Timestamp, WallTime};

/// What a person says of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is worth a clip.
    Approved,
    /// It is not.
    Rejected,
}

/// A line of `feedback.jsonl`, beside `moments.jsonl`: a person's verdict on a moment.
///
/// ```
/// use clipcore::tune::{Feedback, Verdict};
///
/// let line = r#"{"moment":"6f1c0a9be2d34c55","verdict":"rejected","by":"anna","time":"2026-11-23T01:02:03Z"}"#;
/// let feedback: Feedback = serde_json::from_str(line)?;
/// assert_eq!(feedback.verdict, Verdict::Rejected);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The moment's id.
    pub moment: Arc<str>,
    /// What was said.
    pub verdict: Verdict,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// When it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<WallTime>,
}

/// Reads verdicts as JSON lines; empty lines are skipped, and members that are not known.
///
/// # Errors
/// `InvalidInput` that names the line; `Io` where the reader fails.
pub fn read_feedback(reader: impl BufRead) -> Result<Vec<Feedback>> {
    let mut feedback = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let line = line.map_err(|e| Error::from(e).with_context("line", index + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        feedback.push(serde_json::from_str(&line).map_err(|e| {
            Error::invalid("this is not a verdict on a moment")
                .with_source(e)
                .with_context("line", index + 1)
                .with_context("text", shorten(&line))
                .with_hint(r#"write {"moment":"ID","verdict":"approved"} or "rejected", one a line"#)
        })?);
    }
    Ok(feedback)
}

/// A moment with a verdict: a label of a partial kind. An approved one is a true moment with its clip's bounds, a
/// rejected one is known to be none, and of all the time that no verdict speaks of nothing is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The moment's id.
    pub moment: Arc<str>,
    /// Its stream.
    pub stream: StreamId,
    /// Its clip's bounds in its last revision.
    pub span: Span,
    /// When its score was highest.
    pub peak: Timestamp,
    /// That score, in log-odds, by the weights that found it.
    pub score: f64,
    /// Whether a person asked for it by hand: no threshold is to blame for such a moment.
    pub by_hand: bool,
    /// What was said of it.
    pub verdict: Verdict,
}

/// The moments that somebody has judged, in order of stream and peak, and how many verdicts were about moments that
/// are not among `moments`. Of several verdicts on one moment the last in the file stands.
pub fn judged(moments: &[Moment], feedback: &[Feedback]) -> (Vec<Judged>, usize) {
    let mut last: HashMap<&str, &Moment> = HashMap::new();
    for moment in moments {
        let known = last.entry(&moment.id).or_insert(moment);
        if moment.rev > known.rev {
            *known = moment;
        }
    }
    let verdicts: HashMap<&str, Verdict> = feedback.iter().map(|f| (&*f.moment, f.verdict)).collect();
    let mut found: Vec<Judged> = verdicts
        .iter()
        .filter_map(|(id, verdict)| {
            let m = last.get(id)?;
            Some(Judged {
                moment: m.id.clone(),
                stream: m.stream.clone(),
                span: Span { start: m.start, end: m.end },
                peak: m.peak,
                score: m.score,
                by_hand: m.evidence.iter().any(|e| &*e.detector == "marker"),
                verdict: *verdict,
            })
        })
        .collect();
    found.sort_by(|a, b| (&a.stream, a.peak, &a.moment).cmp(&(&b.stream, b.peak, &b.moment)));
    let unknown = verdicts.len() - found.len();
    (found, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::read_moments;

    #[test]
    fn the_last_verdict_stands_and_the_last_revision_gives_the_bounds() {
        let line = |id: &str, rev: u32, end: u32| {
            format!(
                r#"{{"id":"{id}","rev":{rev},"stream":"s","state":"open","start":1,"peak":9,"end":{end},"decided_at":10,"score":2.5,"label":"hype","evidence":[]}}"#
            )
        };
        let text = [line("a", 2, 30), line("a", 1, 20), line("b", 1, 20)].join("\n");
        let moments = read_moments(text.as_bytes()).unwrap();
        let said = r#"{"moment":"a","verdict":"rejected","by":"x"}

{"moment":"gone","verdict":"approved"}
{"moment":"a","verdict":"approved","note":"a member of later days"}"#;
        let (found, unknown) = judged(&moments, &read_feedback(said.as_bytes()).unwrap());
        assert_eq!((found.len(), unknown), (1, 1));
        assert_eq!((found[0].verdict, found[0].span.end), (Verdict::Approved, Timestamp::from_secs(30)));
    }

    #[test]
    fn a_line_that_is_no_verdict_is_named() {
        let said = "{\"moment\":\"a\",\"verdict\":\"approved\"}\n{\"moment\":\"b\",\"verdict\":\"maybe\"}\n";
        let error = read_feedback(said.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("not a verdict") && error.contains("line: 2"), "{error}");
    }
}
