//! `clipcore eval`: how good the moments are, against labels.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clipcore::detector::Signal;
use clipcore::eval::{
    AlarmRule, Baseline, Detection, Durations, DurationsBuilder, EvalConfig, Label, Observed, Plot, Report,
    Trace, comparison_table, cross_validated, detections, evaluate, folds, read_labels, read_moments,
    stream_table,
};
use clipcore::fusion::FusionSetup;
use clipcore::{Consent, StreamId};

use crate::cli::Global;
use crate::config::Overrides;
use crate::{input, recorded};

const EXAMPLES: &str = "\
A moment is a hit where its peak lies in [label start, label end + tolerance], each label once. \
Moments that were dropped or never confirmed do not count. \
Figures in brackets are 95 % bootstrap intervals over streams.

Examples:
  clipcore replay chat.jsonl.gz > moments.jsonl
  clipcore eval --truth labels.csv moments.jsonl
  clipcore eval --truth labels.csv moments.jsonl --events chat/*.jsonl.gz --baselines
  clipcore eval --truth labels.csv moments.jsonl --events chat/*.jsonl.gz --plot plots/
  clipcore eval --truth labels.csv --events chat/*.jsonl.gz --weights weights.toml
                                         finds the moments itself, as `clipcore replay` would

labels.csv:
  stream,start,end,kind
  match-7,291,296,hype";

/// Score moments against labels: precision, recall, F1, false alarms per hour, delays, coverage
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    /// Moments as JSONL, from `clipcore run` or `clipcore replay` (.gz and .zst are unpacked; - is standard input);
    /// without any they are found in the events
    #[arg(value_name = "MOMENTS", required_unless_present = "events")]
    moments: Vec<PathBuf>,

    /// True highlights as CSV with the header stream,start,end[,kind], times in seconds
    #[arg(long, value_name = "LABELS.csv")]
    truth: PathBuf,

    /// The events or signals behind the moments: they say how long each stream is, feed the baselines and are drawn
    #[arg(long, value_name = "FILE", num_args = 1..)]
    events: Vec<PathBuf>,

    /// Finds and draws with these weights, from `clipcore tune`, instead of those in use
    #[arg(long, value_name = "WEIGHTS.toml", requires = "events")]
    weights: Option<PathBuf>,

    /// What the people concerned agreed to, for detectors of chat's words: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST", requires = "events")]
    consent: Option<Consent>,

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
pub fn run(args: &EvalArgs, global: &Global, out: &mut dyn Write, remarks: &mut dyn Write) -> Result<()> {
    let tolerance =
        Duration::try_from_secs_f64(args.tolerance).context("--tolerance must be seconds from 0 up")?;
    let config = EvalConfig { tolerance, seed: args.seed, ..EvalConfig::default() };
    let flags = Overrides { consent: args.consent, ..Overrides::default() };
    let setup = global.config(&flags.with_weights(args.weights.as_ref()))?;
    let labels = read_labels(input::open(&args.truth)?).with_context(|| args.truth.display().to_string())?;
    let mut observed = recorded::observe(&args.events)?;
    if observed.bad > 0 {
        writeln!(remarks, "{} lines of the events could not be read and were passed over", observed.bad)?;
    }
    let seeks = args.moments.is_empty();
    let signals = match seeks || args.plot.is_some() {
        true => recorded::signals(&args.events, &setup, global.quiet)?,
        false => BTreeMap::new(),
    };
    let fusion = setup.fusion.setup()?;
    let moments = if seeks {
        let of = |(s, _): (&StreamId, _)| recorded::example(s, &signals, &[], &Durations::new());
        recorded::moments(&fusion, &signals.iter().map(of).collect::<Vec<_>>())
    } else {
        let mut moments = Vec::new();
        for path in &args.moments {
            moments.extend(read_moments(input::open(path)?).with_context(|| path.display().to_string())?);
        }
        moments
    };
    let found = detections(&moments);
    let durations = lengths(args, &observed, &labels, &found)?;
    if durations.is_empty() {
        bail!(
            clipcore::Error::invalid("there is no stream to score")
                .with_hint("give labels, moments or events")
        );
    }
    let known =
        if seeks { recorded::in_sample(&fusion.weights().fitted_to, durations.keys()).len() } else { 0 };
    let mut rows: Vec<(&str, Report)> = Vec::new();
    match known {
        0 => rows.push(("moments", evaluate(&found, &labels, &durations, &config))),
        n if args.baselines || args.plot.is_some() => writeln!(
            remarks,
            "the moments are not scored: these weights were fitted to {n} of the {} streams",
            durations.len()
        )?,
        n => bail!(
            clipcore::Error::invalid(format!(
                "these weights were fitted to {n} of the {} streams, so their score would be no result",
                durations.len()
            ))
            .with_hint("score other streams, or let clipcore tune --truth cross-validate over these")
        ),
    }
    if args.baselines {
        let groups = usize::from(args.folds);
        rows.extend(baselines(&observed, &labels, &durations, &found, &config, groups, args.seed));
    }
    if args.json {
        write_json(&rows, out)?;
    } else if !rows.is_empty() {
        let borrowed: Vec<(&str, &Report)> = rows.iter().map(|(name, report)| (*name, report)).collect();
        write!(out, "{}", comparison_table(&borrowed))?;
        if args.per_stream {
            write!(out, "\n{}", stream_table(&rows[0].1))?;
        }
    }
    if let Some(folder) = &args.plot {
        let plots =
            Plots { args, signals: &signals, fusion: &fusion, labels: &labels, found: &found, config };
        let n = plots.draw(folder, &mut observed, &durations)?;
        writeln!(remarks, "{n} plots in {}", folder.display())?;
    }
    Ok(())
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

/// Classic detectors on the same chat, and random alarms as many as `found`.
pub(super) fn baselines(
    observed: &Observed,
    labels: &[Label],
    durations: &Durations,
    found: &[Detection],
    config: &EvalConfig,
    groups: usize,
    seed: u64,
) -> Vec<(&'static str, Report)> {
    let rule = AlarmRule::default();
    let counts: BTreeMap<_, _> = observed
        .counts
        .iter()
        .filter(|(s, _)| durations.contains_key(*s))
        .map(|(s, c)| (s.clone(), c.clone()))
        .collect();
    let groups = folds(counts.keys().cloned(), groups, seed);
    let fitted = |baseline| cross_validated(baseline, &counts, labels, &rule, config.tolerance, &groups);
    let usual =
        |(stream, counts)| rule.alarms(stream, &Baseline::EwmaZ.scores(counts), Baseline::EWMA_THRESHOLD);
    let ewma: Vec<Detection> = counts.iter().flat_map(usual).collect();
    let like = if found.is_empty() { &ewma } else { found };
    let score = |d: &[Detection]| evaluate(d, labels, durations, config);
    // The draw whose F1 is the median one stands for chance.
    let plain = EvalConfig { resamples: 0, ..config.clone() };
    let mut draws: Vec<Vec<Detection>> =
        (0..RANDOM_ROWS).map(|i| rule.random(durations, like, seed.wrapping_add(i))).collect();
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

/// What the plots of all streams are drawn from.
struct Plots<'a> {
    args: &'a EvalArgs,
    signals: &'a BTreeMap<StreamId, Vec<Signal>>,
    fusion: &'a FusionSetup,
    labels: &'a [Label],
    found: &'a [Detection],
    config: EvalConfig,
}

impl Plots<'_> {
    fn draw(&self, folder: &Path, observed: &mut Observed, durations: &Durations) -> Result<usize> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        // The detectors' own signals and the recorded ones, which fusion saw together.
        observed.signals.clear();
        for signal in self.signals.values().flatten() {
            observed.add_signal(signal);
        }
        for (stream, duration) in durations {
            let mut traces = observed.traces(stream);
            traces.insert(usize::from(!traces.is_empty()), self.evidence(stream));
            for (name, value) in &self.args.threshold {
                traces.iter_mut().filter(|t| t.name == *name).for_each(|t| t.threshold = Some(*value));
            }
            let from = observed.durations.begin(stream).unwrap_or_default();
            let plot = Plot {
                title: stream.to_string(),
                from,
                to: from + *duration,
                traces,
                detections: self.found.iter().filter(|d| d.stream == *stream).cloned().collect(),
                labels: self.labels.iter().filter(|l| l.stream == *stream).cloned().collect(),
                config: self.config.clone(),
            };
            let path = folder.join(format!("{stream}.svg"));
            std::fs::write(&path, plot.to_svg()).with_context(|| path.display().to_string())?;
        }
        Ok(durations.len())
    }

    /// What all signals weigh together, in logits above the prior, and the threshold that opens a moment.
    fn evidence(&self, stream: &StreamId) -> Trace {
        let example = recorded::example(stream, self.signals, &[], &Durations::new());
        let weights = self.fusion.weights();
        let points = match example.signals.is_empty() {
            true => Vec::new(),
            false => example.log_odds(self.fusion),
        };
        Trace {
            name: "fused evidence".into(),
            points: points.into_iter().map(|(at, odds)| (at, odds - weights.bias)).collect(),
            threshold: Some(weights.decision.enter - weights.bias),
        }
    }
}
