//! Fits the shipped weights of fusion anew, and says what they are worth on streams they have not seen.
//!
//! `cargo run --release -p clipcore-examples --example fit_defaults -- DIR [WEIGHTS.toml]` where DIR holds
//! `labels.csv` and one `STREAM.jsonl.gz` of events for each labelled stream; without the second argument nothing is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use clipcore::detector::ChatBurst;
use clipcore::eval::{Durations, EvalConfig, Label, comparison_table, detections, evaluate, read_labels};
use clipcore::event::{AnyEvent, Kinds};
use clipcore::fusion::Weights;
use clipcore::tune::{Example, TuneOptions, cross_validate, fit};
use clipcore::{Error, Result, StreamId};

const SEED: u64 = 2026;
const FOLDS: usize = 5;

fn read_events(path: &Path) -> Result<Vec<AnyEvent>> {
    let kinds = Kinds::builtin();
    let file = File::open(path).map_err(|e| Error::io(e, path))?;
    BufReader::new(flate2::read::GzDecoder::new(file))
        .lines()
        .map(|line| kinds.parse(line?.as_bytes())?.resolve(&mut |_| None))
        .collect()
}

fn read_examples(dir: &Path) -> Result<(Vec<Label>, Vec<Example>)> {
    let path = dir.join("labels.csv");
    let labels = read_labels(BufReader::new(File::open(&path).map_err(|e| Error::io(e, path))?))?;
    let mut by_stream: BTreeMap<StreamId, Vec<Label>> = BTreeMap::new();
    for label in &labels {
        by_stream.entry(label.stream.clone()).or_default().push(label.clone());
    }
    let examples = by_stream
        .into_iter()
        .map(|(stream, labels)| {
            let events = read_events(&dir.join(format!("{stream}.jsonl.gz")))?;
            Ok(Example::observe(stream, &events, labels, vec![Box::new(ChatBurst::default())]))
        })
        .collect::<Result<_>>()?;
    Ok((labels, examples))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(dir) = arguments.next() else {
        println!("usage: fit_defaults DIR [WEIGHTS.toml]: DIR holds *.jsonl.gz of events and labels.csv");
        return Ok(());
    };
    let (labels, examples) = read_examples(Path::new(&dir))?;
    let durations: Durations =
        examples.iter().map(|e| (e.stream.clone(), Duration::from_secs_f64(e.hours * 3600.0))).collect();
    let template = Weights::builtin()?;
    let options = TuneOptions::default();
    let moments = cross_validate(&template, &examples, FOLDS, SEED, &options)?;
    let report = evaluate(&detections(&moments), &labels, &durations, &EvalConfig::default());
    println!("{}", comparison_table(&[("streams not fitted to", &report)]));
    match arguments.next() {
        Some(path) => fit(&template, &examples.iter().collect::<Vec<_>>(), &options)?.save(Path::new(&path)),
        None => Ok(()),
    }
}
