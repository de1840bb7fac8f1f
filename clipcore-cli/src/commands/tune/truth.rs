//! Weights from labels, and what they are worth on streams that they were not fitted to.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use clipcore::eval::{
    Detection, Durations, EvalConfig, Label, Observed, Report, comparison_table, detections, evaluate,
    read_labels,
};
use clipcore::fusion::Weights;
use clipcore::stable_id;
use clipcore::tune::{Example, TuneOptions, cross_validate, fit};
use clipcore::{Error, StreamId};
use serde::Serialize;

use super::TuneArgs;
use crate::commands::eval::baselines;
use crate::config::Config;
use crate::{input, output, recorded};

#[derive(Serialize)]
struct Told<'a> {
    /// Figures on streams that were not fitted to; empty where there are too few streams.
    rows: serde_json::Map<String, serde_json::Value>,
    refused: Vec<String>,
    streams: Vec<&'a StreamId>,
    weights: &'a Weights,
}

pub(super) fn run(
    args: &TuneArgs,
    config: &Config,
    truth: &Path,
    quiet: bool,
    out: &mut dyn Write,
    remarks: &mut dyn Write,
) -> Result<()> {
    let defaults = TuneOptions::default();
    let options = TuneOptions {
        max_false_alarms_per_hour: args.max_false_alarms.unwrap_or(defaults.max_false_alarms_per_hour),
        median_clip: TuneArgs::seconds("--median-clip", args.median_clip, defaults.median_clip)?,
        longest_clip: TuneArgs::seconds("--longest-clip", args.longest_clip, defaults.longest_clip)?,
    };
    let labels = read_labels(input::open(truth)?).with_context(|| truth.display().to_string())?;
    let observed = recorded::observe(&args.events)?;
    let signals = recorded::signals(&args.events, config, quiet)?;
    let all = observed.durations.build();
    let (durations, labels) = labelled(&all, labels, remarks)?;
    let examples: Vec<Example> =
        durations.keys().map(|s| recorded::example(s, &signals, &labels, &durations)).collect();
    let template = config.fusion.weights.as_deref().map_or_else(Weights::builtin, Weights::load)?;

    let mut refused = Vec::new();
    let scores = EvalConfig { seed: args.seed, ..EvalConfig::default() };
    let progress = output::Progress::start("fitting", quiet);
    let mut rows: Vec<(String, Report)> = Vec::new();
    let score = |found: &[Detection]| evaluate(found, &labels, &durations, &scores);
    let folds = usize::from(args.folds).min(examples.len());
    if folds < 2 {
        refused.push(
            "no figures: there is one labelled stream, and scores on the stream that weights were fitted to are no \
             results. Label a second stream, better ten."
                .to_owned(),
        );
    } else {
        progress.update(format!("fitting, {folds} times on part of {} streams", examples.len()));
        let found = detections(&cross_validate(&template, &examples, folds, args.seed, &options)?);
        rows.push((format!("tuned, CV in {folds}"), score(&found)));
        in_use(config, &template, &examples, &score, &mut rows, &mut refused)?;
        if observed.counts.values().any(|c| c.per_second().iter().any(|n| *n > 0)) {
            let kept = only(observed, &durations);
            let others = baselines(&kept, &labels, &durations, &found, &scores, folds, args.seed);
            rows.extend(others.into_iter().map(|(name, report)| (name.to_owned(), report)));
        }
    }
    progress.update(format!("fitting to {} streams", examples.len()));
    let mut weights = fit(&template, &examples.iter().collect::<Vec<_>>(), &options)?;
    progress.finish();
    weights.version = args.name.clone().unwrap_or_else(|| name(&weights, args));
    if args.json {
        let mut told = serde_json::Map::new();
        for (name, report) in &rows {
            told.insert(name.clone(), serde_json::to_value(report)?);
        }
        let streams = durations.keys().collect();
        serde_json::to_writer_pretty(&mut *out, &Told { rows: told, refused, streams, weights: &weights })?;
        writeln!(out)?;
    } else {
        if !rows.is_empty() {
            let borrowed: Vec<(&str, &Report)> =
                rows.iter().map(|(n, report)| (n.as_str(), report)).collect();
            write!(out, "{}", comparison_table(&borrowed))?;
        }
        for text in refused {
            writeln!(out, "{text}")?;
        }
        if args.output.is_none() {
            writeln!(
                remarks,
                "nothing was written; -o WEIGHTS.toml keeps the weights fitted to all streams"
            )?;
        }
    }
    args.save(&weights, remarks)
}

/// The streams that have both events and labels, with their labels; says what is left out.
fn labelled(all: &Durations, labels: Vec<Label>, remarks: &mut dyn Write) -> Result<(Durations, Vec<Label>)> {
    let names: BTreeSet<&StreamId> = labels.iter().map(|l| &l.stream).collect();
    let durations: Durations =
        all.iter().filter(|(s, _)| names.contains(s)).map(|(s, d)| (s.clone(), *d)).collect();
    let unlabelled = all.len() - durations.len();
    if unlabelled > 0 {
        writeln!(remarks, "{unlabelled} streams have no labels and were left out")?;
    }
    let missing: Vec<&str> =
        names.iter().filter(|s| !all.contains_key(**s)).map(|s| s.as_str()).take(3).collect();
    if !missing.is_empty() {
        let n = names.iter().filter(|s| !all.contains_key(**s)).count();
        writeln!(remarks, "{n} labelled streams have no events and were left out: {} …", missing.join(", "))?;
    }
    if durations.is_empty() {
        return Err(Error::invalid("there is nothing to learn from: no stream has both events and labels")
            .with_hint("check that the stream names in the labels are those of the events")
            .into());
    }
    let kept = labels.into_iter().filter(|l| durations.contains_key(&l.stream)).collect();
    Ok((durations, kept))
}

/// A row for the weights in use, unless they know these streams already.
fn in_use(
    config: &Config,
    template: &Weights,
    examples: &[Example],
    score: &dyn Fn(&[Detection]) -> Report,
    rows: &mut Vec<(String, Report)>,
    refused: &mut Vec<String>,
) -> Result<()> {
    let known = recorded::in_sample(&template.fitted_to, examples.iter().map(|e| &e.stream));
    if known.is_empty() {
        let found = detections(&recorded::moments(&config.fusion.setup()?, examples));
        rows.push((format!("in use: {}", template.version), score(&found)));
    } else {
        refused.push(format!(
            "not shown: weights {:?} were fitted to {} of these {} streams, so their scores here would be no result",
            template.version,
            known.len(),
            examples.len()
        ));
    }
    Ok(())
}

/// Without the streams that do not count.
fn only(mut observed: Observed, durations: &Durations) -> Observed {
    observed.counts.retain(|stream, _| durations.contains_key(stream));
    observed
}

/// What the weights were fitted to and how, in few letters: the same input gives the same name.
fn name(weights: &Weights, args: &TuneArgs) -> String {
    let asked =
        format!("{:?} {:?} {:?} {}", args.max_false_alarms, args.median_clip, args.longest_clip, args.seed);
    let parts: Vec<&[u8]> =
        weights.fitted_to.iter().map(String::as_bytes).chain([asked.as_bytes()]).collect();
    format!("tuned-{}-{}", weights.fitted_to.len(), &stable_id(&parts)[..6])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn streams_without_labels_or_events_are_left_out_and_told() {
        let stream = |s: &str| StreamId::new(s).unwrap();
        let all: Durations = ["a", "b"].iter().map(|s| (stream(s), Duration::from_secs(60))).collect();
        let labels = read_labels("stream,start,end\na,1,2\nc,1,2\n".as_bytes()).unwrap();
        let mut said = Vec::new();
        let (durations, kept) = labelled(&all, labels, &mut said).unwrap();
        assert_eq!((durations.len(), kept.len()), (1, 1));
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.contains("1 streams have no labels") && said.contains("no events") && said.contains('c')
        );
        let other = read_labels("stream,start,end\nc,1,2\n".as_bytes()).unwrap();
        assert!(labelled(&all, other, &mut Vec::new()).is_err());
    }
}
