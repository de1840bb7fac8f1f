//! `clipcore eval`: how good the moments are, against labels.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clipcore::StreamId;
use clipcore::eval::{
    AlarmRule, Baseline, Detection, Durations, DurationsBuilder, EvalConfig, Label, Observed, Plot, Report,
    comparison_table, cross_validated, detections, evaluate, folds, read_labels, read_moments, stream_table,
};
use clipcore::event::Kinds;
use rayon::prelude::*;

use crate::input;

const EXAMPLES: &str = "\
A moment is a hit where its peak lies in [label start, label end + tolerance], each label once. \
Moments that were dropped or never confirmed do not count. \
Figures in brackets are 95 % bootstrap intervals over streams.

Examples:
  clipcore replay chat.jsonl.gz > moments.jsonl
  clipcore eval --truth labels.csv moments.jsonl
  clipcore eval --truth labels.csv moments.jsonl --events chat/*.jsonl.gz --baselines
  clipcore eval --truth labels.csv moments.jsonl --events chat/*.jsonl.gz --plot plots/

labels.csv:
  stream,start,end,kind
  match-7,291,296,hype";

/// Score moments against labels: precision, recall, F1, false alarms per hour, delays, coverage
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    /// Moments as JSONL, from `clipcore run` or `clipcore replay` (.gz and .zst are unpacked; - is standard input)
    #[arg(value_name = "MOMENTS", required_unless_present = "baselines")]
    moments: Vec<PathBuf>,

    /// True highlights as CSV with the header stream,start,end[,kind], times in seconds
    #[arg(long, value_name = "LABELS.csv")]
    truth: PathBuf,

    /// The events or signals behind the moments: they say how long each stream is, feed the baselines and are drawn
    #[arg(long, value_name = "FILE", num_args = 1..)]
    events: Vec<PathBuf>,

    /// How long a stream is, where the events do not say; may be given several times
    #[arg(long, value_name = "STREAM=SECONDS", value_parser = pair)]
    duration: Vec<(String, f64)>,

    /// How many seconds after the end of a label a peak still hits it
    #[arg(long, value_name = "SECONDS", default_value_t = 35.0)]
    tolerance: f64,

    /// Compare with classic detectors on the same chat: fixed count and trailing z (thresholds cross-validated over
    /// streams), EWMA z at 3.2, and random alarms
    #[arg(long, requires = "events")]
    baselines: bool,

    /// How many groups of streams the baselines' thresholds are cross-validated on
    #[arg(long, value_name = "K", default_value_t = 5, requires = "baselines", value_parser = clap::value_parser!(u16).range(2..))]
    folds: u16,

    /// Seed of the bootstrap, of the folds and of the random alarms
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Print a line for each stream too
    #[arg(long)]
    per_stream: bool,

    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Draw an SVG of each stream into this folder: signals, thresholds, moments and labels
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,

    /// A level to mark in the lane of that name of the plots, for example "chat_burst burst=3.2"
    #[arg(long, value_name = "LANE=VALUE", requires = "plot", value_parser = pair)]
    threshold: Vec<(String, f64)>,
}

fn pair(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.rsplit_once('=').ok_or("write it as NAME=NUMBER")?;
    match value.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok((name.to_owned(), value)),
        _ => Err(format!("{value:?} is not a number from 0 up")),
    }
}

/// How many random alarm rows are averaged over: one draw is luck.
const RANDOM_ROWS: u64 = 20;

/// Runs `clipcore eval`; the result goes to `out`, remarks to `remarks`.
///
/// # Errors
/// Where an input cannot be read, or a plot cannot be written.
pub fn run(args: &EvalArgs, out: &mut dyn Write, remarks: &mut dyn Write) -> Result<()> {
    let tolerance =
        Duration::try_from_secs_f64(args.tolerance).context("--tolerance must be seconds from 0 up")?;
    let config = EvalConfig { tolerance, seed: args.seed, ..EvalConfig::default() };
    let labels = read_labels(input::open(&args.truth)?).with_context(|| args.truth.display().to_string())?;
    let mut moments = Vec::new();
    for path in &args.moments {
        moments.extend(read_moments(input::open(path)?).with_context(|| path.display().to_string())?);
    }
    let found = detections(&moments);
    let observed = observe(&args.events)?;
    if observed.bad > 0 {
        writeln!(remarks, "{} lines of the events could not be read and were passed over", observed.bad)?;
    }
    let durations = lengths(args, &observed, &labels, &found)?;
    if durations.is_empty() {
        bail!(
            clipcore::Error::invalid("there is no stream to score")
                .with_hint("give labels, moments or events")
        );
    }

    let mut rows: Vec<(&str, Report)> = Vec::new();
    if !args.moments.is_empty() {
        rows.push(("moments", evaluate(&found, &labels, &durations, &config)));
    }
    if args.baselines {
        rows.extend(baselines(args, &observed, &labels, &durations, &found, &config));
    }
    if args.json {
        write_json(&rows, out)?;
    } else {
        let borrowed: Vec<(&str, &Report)> = rows.iter().map(|(name, report)| (*name, report)).collect();
        write!(out, "{}", comparison_table(&borrowed))?;
        if args.per_stream {
            write!(out, "\n{}", stream_table(&rows[0].1))?;
        }
    }
    if let Some(folder) = &args.plot {
        let n = plot(args, folder, &observed, &labels, &durations, &found, &config)?;
        writeln!(remarks, "{n} plots in {}", folder.display())?;
    }
    Ok(())
}

/// Reads what recordings say about their streams, several files at once.
///
/// # Errors
/// Where a file cannot be read.
pub(crate) fn observe(paths: &[PathBuf]) -> Result<Observed> {
    let kinds = Kinds::builtin();
    let parts: Vec<Observed> = paths
        .par_iter()
        .map(|path| {
            let mut part = Observed::default();
            part.read(&mut input::open(path)?, &kinds).with_context(|| path.display().to_string())?;
            Ok(part)
        })
        .collect::<Result<_>>()?;
    let mut all = Observed::default();
    parts.into_iter().for_each(|part| all.merge(part));
    Ok(all)
}

/// The streams that count: those that events or `--duration` name, else those of labels and moments.
fn lengths(args: &EvalArgs, observed: &Observed, labels: &[Label], found: &[Detection]) -> Result<Durations> {
    let mut durations = observed.durations.build();
    for (stream, secs) in &args.duration {
        let secs = Duration::try_from_secs_f64(*secs).context("--duration is out of range")?;
        durations.insert(StreamId::new(stream)?, secs);
    }
    if durations.is_empty() {
        let mut builder = DurationsBuilder::default();
        builder.see_all(labels, found);
        durations = builder.build();
    }
    Ok(durations)
}

fn baselines(
    args: &EvalArgs,
    observed: &Observed,
    labels: &[Label],
    durations: &Durations,
    found: &[Detection],
    config: &EvalConfig,
) -> Vec<(&'static str, Report)> {
    let rule = AlarmRule::default();
    let counts: BTreeMap<_, _> = observed
        .counts
        .iter()
        .filter(|(s, _)| durations.contains_key(*s))
        .map(|(s, c)| (s.clone(), c.clone()))
        .collect();
    let groups = folds(counts.keys().cloned(), usize::from(args.folds), args.seed);
    let fitted = |baseline| cross_validated(baseline, &counts, labels, &rule, config.tolerance, &groups);
    let usual =
        |(stream, counts)| rule.alarms(stream, &Baseline::EwmaZ.scores(counts), Baseline::EWMA_THRESHOLD);
    let ewma: Vec<Detection> = counts.iter().flat_map(usual).collect();
    let like = if found.is_empty() { &ewma } else { found };
    let score = |d: &[Detection]| evaluate(d, labels, durations, config);
    // The draw whose F1 is the median one stands for chance.
    let plain = EvalConfig { resamples: 0, ..config.clone() };
    let mut draws: Vec<Vec<Detection>> =
        (0..RANDOM_ROWS).map(|i| rule.random(durations, like, args.seed.wrapping_add(i))).collect();
    draws.sort_by_cached_key(|d| evaluate(d, labels, durations, &plain).hits);
    let random = score(&draws[draws.len() / 2]);
    vec![
        ("fixed count, CV", score(&fitted(Baseline::FixedCount))),
        ("trailing z, CV", score(&fitted(Baseline::TrailingZ))),
        ("EWMA z at 3.2", score(&ewma)),
        ("random alarms", random),
    ]
}

fn write_json(rows: &[(&str, Report)], out: &mut dyn Write) -> Result<()> {
    let mut all = serde_json::Map::new();
    for (name, report) in rows {
        all.insert((*name).to_owned(), serde_json::to_value(report)?);
    }
    serde_json::to_writer_pretty(&mut *out, &all)?;
    writeln!(out)?;
    Ok(())
}

fn plot(
    args: &EvalArgs,
    folder: &Path,
    observed: &Observed,
    labels: &[Label],
    durations: &Durations,
    found: &[Detection],
    config: &EvalConfig,
) -> Result<usize> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (stream, duration) in durations {
        let mut traces = observed.traces(stream);
        for (name, value) in &args.threshold {
            traces.iter_mut().filter(|t| t.name == *name).for_each(|t| t.threshold = Some(*value));
        }
        let labels: Vec<Label> = labels.iter().filter(|l| l.stream == *stream).cloned().collect();
        let detections: Vec<Detection> = found.iter().filter(|d| d.stream == *stream).cloned().collect();
        let from = observed.durations.begin(stream).unwrap_or_default();
        let plot = Plot {
            title: stream.to_string(),
            from,
            to: from + *duration,
            traces,
            detections,
            labels,
            config: config.clone(),
        };
        let path = folder.join(format!("{stream}.svg"));
        std::fs::write(&path, plot.to_svg()).with_context(|| path.display().to_string())?;
    }
    Ok(durations.len())
}
