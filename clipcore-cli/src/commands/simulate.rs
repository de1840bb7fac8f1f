//! `clipcore simulate`: streams whose highlights are known.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clipcore::eval::{DurationsBuilder, Label, labels_to_csv, read_labels};
use clipcore::log::Record;
use clipcore::simulate::{Scenario, SignalsConfig};
use rayon::prelude::*;

use crate::input;
use crate::recorded::observe;

const EXAMPLES: &str = "\
The streams are DIR/<stream>.jsonl.gz, the true highlights DIR/labels.csv. The same seed gives the same files, and a \
disturbance that is added leaves the rest as it was.

What is simulated:
  chat        messages draw answers (a Hawkes process), so that counts cluster as on live streams (--fano)
  highlights  lift chat to 2 times its usual rate, 17 to 23 s late; every fourth leaves chat unmoved
  --raids     a crowd of strangers who all write at once, announced by a platform.event
  --spam      three users who repeat one text, four times a second for 20 s
  --ads       platform.events ad_start and ad_end, and chat that complains
  --silences  two minutes with hardly a message
  --latency-steps, --skew-ppm   chat's clock against the media's
  --signals   what an audio tagger, loudness and faces would find: hits, misses and errors

Examples:
  clipcore simulate --out sim --streams 20 --hours 2
  clipcore eval --truth sim/labels.csv --events sim/*.jsonl.gz --baselines
  clipcore tune --truth sim/labels.csv sim/*.jsonl.gz -o weights.toml

  clipcore simulate --out sim --raids 2 --spam 3 --ads 2 --silences 1 --latency-steps 2 --skew-ppm 200 --signals
  clipcore simulate --out sim --like labels.csv      audio and face signals for chat that was recorded

scenario.toml, for --scenario (all keys are in clipcore::simulate::Scenario):
  length = 3600.0
  [chat]
  rate = 2.0
  fano = 4.0
  raids_per_hour = 1.0
  [highlights]
  per_hour = 20.0
  lift = 1.1
  unanswered = 0.25

A simulation shows that a detector copes with what is simulated, not that it works on people: tune on recordings.";

/// Simulate streams whose highlights are known: bursty chat, raids, spam, audio and face signals
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArgs {
    /// The folder to write to; it is made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How many streams: sim-0, sim-1, …
    #[arg(long, value_name = "N", default_value_t = 1)]
    streams: u32,

    /// Hours of each stream [default: 1]
    #[arg(long, value_name = "HOURS")]
    hours: Option<f64>,

    /// Everything random follows from it [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// A scenario as TOML, for everything that has no option here; options override it
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Usual chat messages a second; live streams have 0.4 to 5 [default: 2]
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,

    /// How much chat clusters: variance over mean of the counts in 10 s; live streams have 2.5 to 6.4, 1 is none
    /// [default: 4]
    #[arg(long, value_name = "FANO")]
    fano: Option<f64>,

    /// Highlights an hour [default: 20]
    #[arg(long, value_name = "N")]
    highlights: Option<f64>,

    /// Raids an hour [default: 0]
    #[arg(long, value_name = "N")]
    raids: Option<f64>,

    /// Spam waves an hour [default: 0]
    #[arg(long, value_name = "N")]
    spam: Option<f64>,

    /// Advertisements an hour, which chat complains of [default: 0]
    #[arg(long, value_name = "N")]
    ads: Option<f64>,

    /// Two-minute silences an hour [default: 0]
    #[arg(long, value_name = "N")]
    silences: Option<f64>,

    /// Jumps of chat's delay against the media, an hour [default: 0]
    #[arg(long, value_name = "N")]
    latency_steps: Option<f64>,

    /// How fast chat's clock runs, parts per million [default: 0]
    #[arg(long, value_name = "PPM", allow_negative_numbers = true)]
    skew_ppm: Option<f64>,

    /// Write what audio and face detectors would find, too
    #[arg(long)]
    signals: bool,

    /// Write clock records each second, as the log of a live run has them
    #[arg(long)]
    clocks: bool,

    /// Simulate no chat, but audio and face signals for these highlights of recorded streams; replay them together
    /// with the recorded chat
    #[arg(long, value_name = "LABELS.csv", conflicts_with_all = ["streams", "rate", "fano", "highlights", "raids", "spam", "ads", "silences", "latency_steps", "skew_ppm", "clocks"])]
    like: Option<PathBuf>,

    /// The recorded events that --like goes with: they say how long each stream is, which is else taken to end with
    /// its last label
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "like")]
    events: Vec<PathBuf>,
}

/// Runs `clipcore simulate`; what was written is told on `remarks`.
///
/// # Errors
/// Where a setting is out of range, or a file cannot be read or written.
pub fn run(args: &SimulateArgs, remarks: &mut dyn Write) -> Result<()> {
    let scenario = scenario(args)?;
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let written = match &args.like {
        Some(truth) => like(&scenario, truth, args)?,
        None => {
            let each: Vec<(Vec<Label>, usize)> = (0..args.streams)
                .into_par_iter()
                .map(|i| {
                    let simulation =
                        Scenario { stream: format!("{}-{i}", scenario.stream), ..scenario.clone() }.run()?;
                    let lines = simulation.lines()?;
                    write_lines(&args.out, &format!("{}-{i}", scenario.stream), &lines)?;
                    Ok((simulation.labels, lines.len()))
                })
                .collect::<Result<_>>()?;
            let labels: Vec<Label> = each.iter().flat_map(|(labels, _)| labels.clone()).collect();
            let path = args.out.join("labels.csv");
            fs::write(&path, labels_to_csv(&labels)).with_context(|| path.display().to_string())?;
            each.iter().map(|(_, lines)| lines).sum()
        }
    };
    writeln!(remarks, "{written} lines in {}", args.out.display())?;
    Ok(())
}

fn scenario(args: &SimulateArgs) -> Result<Scenario> {
    let mut s = match &args.scenario {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| clipcore::Error::io(e, path))?;
            toml::from_str(&text).map_err(|e| {
                clipcore::Error::config("the scenario is not as it should be")
                    .with_source(e)
                    .with_context("path", path.display())
            })?
        }
        None => Scenario::default(),
    };
    let set = |value: Option<f64>, to: &mut f64| *to = value.unwrap_or(*to);
    set(args.hours.map(|h| h * 3600.0), &mut s.length);
    set(args.rate, &mut s.chat.rate);
    set(args.fano, &mut s.chat.fano);
    set(args.highlights, &mut s.highlights.per_hour);
    set(args.raids, &mut s.chat.raids_per_hour);
    set(args.spam, &mut s.chat.spam_per_hour);
    set(args.ads, &mut s.chat.ads_per_hour);
    set(args.silences, &mut s.chat.silences_per_hour);
    set(args.latency_steps, &mut s.chat.latency_steps_per_hour);
    set(args.skew_ppm, &mut s.chat.skew_ppm);
    s.seed = args.seed.unwrap_or(s.seed);
    s.clocks |= args.clocks;
    if args.signals || args.like.is_some() {
        s.signals.get_or_insert_with(SignalsConfig::default);
    }
    s.validate()?;
    Ok(s)
}

fn like(scenario: &Scenario, truth: &Path, args: &SimulateArgs) -> Result<usize> {
    let labels = read_labels(input::open(truth)?).with_context(|| truth.display().to_string())?;
    if labels.is_empty() {
        bail!(clipcore::Error::invalid("there are no labels to simulate signals for"));
    }
    let mut lengths = DurationsBuilder::default();
    lengths.see_all(&labels, &[]);
    lengths.merge(&observe(&args.events)?.durations);
    let signals = scenario.signals.clone().unwrap_or_default();
    let mut written = 0;
    for (stream, length) in lengths.build() {
        let lines: Vec<String> = signals
            .sample(&stream, length.as_secs_f64(), &labels, scenario.seed)
            .into_iter()
            .map(|signal| Record::Signal(signal).to_json())
            .collect::<clipcore::Result<_>>()?;
        write_lines(&args.out, &format!("{stream}.signals"), &lines)?;
        written += lines.len();
    }
    Ok(written)
}

fn write_lines(folder: &Path, name: &str, lines: &[String]) -> Result<()> {
    let path = folder.join(format!("{name}.jsonl.gz"));
    let write = || -> std::io::Result<()> {
        let packed = flate2::write::GzEncoder::new(fs::File::create(&path)?, flate2::Compression::default());
        let mut file = BufWriter::new(packed);
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.into_inner()?.finish()?.sync_all()
    };
    write().map_err(|e| clipcore::Error::io(e, &path).with_operation("simulate").into())
}
