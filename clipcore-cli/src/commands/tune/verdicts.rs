//! A threshold from what people said of moments.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clipcore::Error;
use clipcore::eval::read_moments;
use clipcore::fusion::Weights;
use clipcore::tune::{
    Judged, Verdict, VerdictOptions, VerdictReport, cross_validate_verdicts, fit_verdicts, judged,
    read_feedback,
};
use serde::Serialize;

use super::TuneArgs;
use crate::config::Config;
use crate::input;

#[derive(Serialize)]
struct Told<'a> {
    verdicts: usize,
    approved: usize,
    by_hand: usize,
    about_unknown_moments: usize,
    enter_before: f64,
    enter_after: f64,
    /// `null` where there are too few streams to say anything of others.
    cross_validated: Option<VerdictReport>,
    recall: Option<f64>,
    weights: Option<&'a Path>,
}

pub(super) fn run(
    args: &TuneArgs,
    config: &Config,
    feedback: &Path,
    out: &mut dyn Write,
    remarks: &mut dyn Write,
) -> Result<()> {
    let said = read_feedback(input::open(feedback)?).with_context(|| feedback.display().to_string())?;
    let beside = [feedback.with_file_name("moments.jsonl")];
    let files: &[PathBuf] = if args.moments.is_empty() { &beside } else { &args.moments };
    let mut moments = Vec::new();
    for path in files {
        moments.extend(read_moments(input::open(path)?).with_context(|| path.display().to_string())?);
    }
    let (all, unknown) = judged(&moments, &said);
    if all.is_empty() && unknown > 0 {
        return Err(Error::invalid("no verdict is about any of these moments")
            .with_hint("name the moments that were judged with --moments FILE")
            .into());
    }
    // What found the moments: the weights with the configuration's changes, which are not to be written.
    let template = config.fusion.setup()?.weights().clone();
    let options = VerdictOptions { worth: args.worth, ..VerdictOptions::default() };
    let fitted = fit_verdicts(&template, &all.iter().collect::<Vec<_>>(), &options)?;
    let mut weights = config.fusion.weights.as_deref().map_or_else(Weights::builtin, Weights::load)?;
    let sensitivity = config.fusion.sensitivity.unwrap_or_default();
    weights.decision.enter = fitted.decision.enter + sensitivity;
    weights.decision.provisional = fitted.decision.provisional + sensitivity;
    weights.fitted_to = fitted.fitted_to.clone();
    let streams: BTreeSet<&str> = all.iter().map(|j| j.stream.as_str()).collect();
    weights.version =
        args.name.clone().unwrap_or_else(|| format!("{}+{} verdicts", template.version, all.len()));

    let folds = usize::from(args.folds).min(streams.len());
    let report = match folds {
        0 | 1 => None,
        k => Some(cross_validate_verdicts(&template, &all, k, args.seed, &options)?),
    };
    if unknown > 0 {
        writeln!(remarks, "{unknown} verdicts are about moments that are not here, and were passed over")?;
    }
    if args.json {
        let told = Told {
            verdicts: all.len(),
            approved: all.iter().filter(|j| j.verdict == Verdict::Approved).count(),
            by_hand: all.iter().filter(|j| j.by_hand).count(),
            about_unknown_moments: unknown,
            enter_before: template.decision.enter,
            enter_after: fitted.decision.enter,
            cross_validated: report,
            recall: None,
            weights: args.output.as_deref(),
        };
        serde_json::to_writer_pretty(&mut *out, &told)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", text(&all, &template, &fitted, report.as_ref()))?;
    }
    args.save(&weights, remarks)
}

fn text(all: &[Judged], before: &Weights, after: &Weights, report: Option<&VerdictReport>) -> String {
    let approved = all.iter().filter(|j| j.verdict == Verdict::Approved).count();
    let by_hand = all.iter().filter(|j| j.by_hand).count();
    let mut text = format!(
        "{} verdicts: {approved} approved, {} rejected{}\n",
        all.len(),
        all.len() - approved,
        if by_hand > 0 {
            format!("; {by_hand} are about moments asked for by hand and move nothing")
        } else {
            String::new()
        }
    );
    let (from, to) = (before.decision.enter, after.decision.enter);
    let direction = match to.total_cmp(&from) {
        std::cmp::Ordering::Less => "lower: more will be found than was judged",
        std::cmp::Ordering::Equal => "as it was",
        std::cmp::Ordering::Greater => "higher: less will be found",
    };
    text += &format!("threshold {from:.3} -> {to:.3} ({direction})\n");
    match report {
        Some(r) => {
            text += &format!(
                "on streams that the threshold was not learned from: {} of {} approved and {} of {} rejected moments are kept; \
                 precision of what was judged {:.3} -> {:.3}\n",
                r.approved_kept,
                r.approved,
                r.rejected_kept,
                r.rejected,
                r.precision_before(),
                r.precision_after()
            );
        }
        None => {
            text += "no figures: all verdicts are on one stream, and what a threshold does to the moments that it was learned \
                     from is no result. Judge moments of a second stream.\n";
        }
    }
    text + "recall is unknown: nobody was asked about what was not found. Labels of whole streams tell it (--truth).\n"
}
