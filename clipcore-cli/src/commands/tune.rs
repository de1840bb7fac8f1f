//! `clipcore tune`: weights and thresholds from labels, or from what people said of moments.

mod truth;
mod verdicts;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{ArgGroup, Args};
use clipcore::fusion::Weights;
use clipcore::{Consent, Error};

use crate::cli::Global;
use crate::config::{Config, Overrides};

/// Arguments of `tune`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("teacher").required(true).args(["truth", "feedback"]))]
#[command(after_help = "\
From labels, everything is fitted: what each detector's scores are worth, how the groups of detectors weigh, the \
threshold, and the bounds of moments of chat alone. The table scores every stream by weights that were fitted \
without it (cross-validation over streams), beside the weights in use and the classic baselines. Scores on streams \
that weights were fitted to are not told: they are no results.

From feedback, only the threshold moves. Verdicts tell how many of the moments found are good (precision); they \
tell nothing of what was not found, so recall and F1 stay unknown.

Examples:
  clipcore tune --truth labels.csv chat/*.jsonl.gz -o weights.toml
  clipcore replay --weights weights.toml tonight.jsonl.gz > moments.jsonl

  clipcore detect video.mp4 --stream match-7 > match-7.sound.jsonl     sound, beside the chat of the same stream
  clipcore tune --truth labels.csv match-7.jsonl match-7.sound.jsonl others/*.jsonl.gz -o weights.toml

  clipcore tune --feedback clipcore-out/feedback.jsonl -o mine.toml    the moments lie beside, in moments.jsonl

feedback.jsonl:
  {\"moment\":\"6f1c0a9be2d34c55\",\"verdict\":\"approved\",\"by\":\"anna\"}
  {\"moment\":\"0d93b1f20c7e4a68\",\"verdict\":\"rejected\"}")]
pub struct TuneArgs {
    /// Events, log records or signals (as `clipcore detect` writes them) as JSON lines; .gz and .zst are unpacked
    #[arg(value_name = "EVENTS", required_unless_present = "feedback", conflicts_with = "feedback")]
    pub events: Vec<PathBuf>,
    /// True highlights as CSV with the header stream,start,end[,kind], times in seconds; streams without any
    /// highlight are left out
    #[arg(long, value_name = "LABELS.csv")]
    pub truth: Option<PathBuf>,
    /// What people said of moments, as JSON lines
    #[arg(long, value_name = "FEEDBACK.jsonl")]
    pub feedback: Option<PathBuf>,
    /// The moments that the feedback is about, by the weights in use [default: moments.jsonl beside the feedback]
    #[arg(long, value_name = "MOMENTS.jsonl", requires = "feedback")]
    pub moments: Vec<PathBuf>,
    /// Writes the fitted weights to this file, for `fusion.weights` in a configuration and for --weights
    #[arg(short, long, value_name = "WEIGHTS.toml")]
    pub output: Option<PathBuf>,
    /// Begins with these weights instead of those in use: time constants and groups stay as they are there
    #[arg(long, value_name = "WEIGHTS.toml")]
    pub weights: Option<PathBuf>,
    /// Names the fitted weights; from what they were fitted to where absent
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How many groups of streams are cross-validated
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    pub folds: u16,
    /// Seed of the groups, of the bootstrap and of the random alarms
    #[arg(long, value_name = "N", default_value_t = 2026)]
    pub seed: u64,
    /// False alarms an hour that are tolerated [default: 7.5]
    #[arg(long, value_name = "N", requires = "truth")]
    pub max_false_alarms: Option<f64>,
    /// How long the median clip may be, in seconds [default: 44.5]
    #[arg(long, value_name = "SECONDS", requires = "truth")]
    pub median_clip: Option<f64>,
    /// How long all but a tenth of the clips may be, in seconds [default: 90]
    #[arg(long, value_name = "SECONDS", requires = "truth")]
    pub longest_clip: Option<f64>,
    /// How likely a moment must be approved for it to be worth finding
    #[arg(long, value_name = "CHANCE", default_value_t = 0.3, requires = "feedback")]
    pub worth: f64,
    /// What the people concerned agreed to: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
    /// Prints JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl TuneArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> clipcore::Result<Config> {
        let flags = Overrides { consent: self.consent, ..Overrides::default() };
        global.config(&flags.with_weights(self.weights.as_ref()))
    }

    fn seconds(text: &str, value: Option<f64>, default: Duration) -> clipcore::Result<Duration> {
        let seconds = value.unwrap_or(default.as_secs_f64());
        Duration::try_from_secs_f64(seconds)
            .map_err(|e| Error::config(format!("{text} must be seconds from 0 up")).with_source(e))
    }

    /// Writes the weights where a file was named.
    fn save(&self, weights: &Weights, remarks: &mut dyn Write) -> Result<()> {
        if let Some(path) = &self.output {
            weights.save(path)?;
            writeln!(remarks, "weights {:?} are in {}", weights.version, path.display())?;
        }
        Ok(())
    }
}

/// Runs `clipcore tune`; figures go to `out`, remarks to `remarks`.
///
/// # Errors
/// Where an input cannot be read, there is nothing to learn from, or the weights cannot be written.
pub fn run(args: &TuneArgs, global: &Global, out: &mut dyn Write, remarks: &mut dyn Write) -> Result<()> {
    let config = args.config(global)?;
    match (&args.truth, &args.feedback) {
        (Some(truth), _) => truth::run(args, &config, truth, global.quiet, out, remarks),
        (None, Some(feedback)) => verdicts::run(args, &config, feedback, out, remarks),
        (None, None) => Err(Error::config("there is nothing to learn from").into()),
    }
}
