//! `clipcore replay`: recorded events in, moments out.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use clipcore::event::Kinds;
use clipcore::replay::{Found, ReplayReport};
use clipcore::{Consent, Error, StreamId};

use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::exit::Exit;
use crate::replay_files::Files;
use crate::{assembly, inputs, output};

/// Arguments of `replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore replay clipcore-out > moments.jsonl      the log of an earlier run: the same moments, byte for byte
  clipcore replay chat.jsonl --consent chat_text    a file of events, sorted by their times

No media is read and no clock: the same input gives the same output on every machine.")]
pub struct ReplayArgs {
    /// Files of events as JSON lines (.gz and .zst are unpacked; - is standard input), or folders of earlier runs
    #[arg(required = true, value_name = "EVENTS.jsonl|DIR")]
    pub events: Vec<PathBuf>,
    /// How many files are replayed at once; 0 is one for each core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// What the people concerned agreed to: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
    /// Decides with these weights, from `clipcore tune`, instead of those in use
    #[arg(long, value_name = "WEIGHTS.toml")]
    pub weights: Option<PathBuf>,
}

impl ReplayArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> clipcore::Result<Config> {
        let flags = Overrides { consent: self.consent, ..Overrides::default() };
        global.config(&flags.with_weights(self.weights.as_ref()))
    }
}

/// Runs the command.
///
/// # Errors
/// Where an input cannot be read at all; bad lines are told and passed over.
pub fn run(args: &ReplayArgs, global: &Global) -> anyhow::Result<Exit> {
    let config = args.config(global)?;
    let fusion = config.fusion.factory()?;
    let engine = |stream: &StreamId| assembly::engine(&config, &fusion, stream);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        args.events.iter().cloned().partition(|p| p.is_dir());
    let (kinds, stream_of) = (Kinds::builtin(), |path: &Path| Some(stream_of(path)));
    let all = Files {
        kinds: &kinds,
        consent: config.consent,
        stream_of: &stream_of,
        threads: args.threads,
        engine: &engine,
    };
    for folder in &folders {
        let replayed = all.folder(folder, &mut |found| print(&mut out, found))?;
        if replayed.trimmed {
            let folder = folder.display();
            output::note(&format!(
                "{folder}: the beginning of the log is gone, dropped by pipeline.log_retain or pipeline.log_max_bytes: \
                 moments before it are missing, and those near it may differ from those of the run"
            ));
        }
        told(folder, &replayed.report.report, global.quiet);
    }
    if files.is_empty() {
        out.flush()?;
        return Ok(Exit::Done);
    }
    let progress =
        output::Progress::start(format!("replaying {} files", files.len()), global.quiet || files.len() < 2);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let count = |_: &Path| {
        let n = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        progress.update(format!("replaying {} files, {n} done", files.len()));
    };
    let reports = all.replay::<anyhow::Error>(&files, &count, &mut |_, found| print(&mut out, found))?;
    out.flush()?;
    progress.finish();
    let mut failed = None;
    for file in reports {
        if file.error.is_none() || file.report.lines > 0 {
            told(&file.path, &file.report, global.quiet);
        }
        let read = &file.report;
        let nothing = read.bad > 0 && read.events + read.signals + read.skipped + read.withheld == 0;
        let nothing = nothing.then(|| {
            Error::invalid("none of its lines is an event").with_context("path", file.path.display())
        });
        failed = failed.or(file.error).or(nothing);
    }
    failed.map_or(Ok(Exit::Done), |error| Err(error.into()))
}

fn stream_of(path: &Path) -> StreamId {
    inputs::stream_id_of(&path.display().to_string())
}

fn print(out: &mut impl Write, found: Found) -> anyhow::Result<()> {
    if let Found::Moment(moment) = found {
        serde_json::to_writer(&mut *out, &moment)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// What people are told on standard error.
fn told(path: &Path, report: &ReplayReport, quiet: bool) {
    for bad in &report.bad_lines {
        output::note(&format!("{}, line {}: {}", path.display(), bad.line, bad.error));
    }
    if report.bad > report.bad_lines.len() as u64 {
        output::note(&format!("{}: {} bad lines in all", path.display(), report.bad));
    }
    if report.withheld > 0 && !quiet {
        output::note(&format!("{}: {} events are not covered by consent", path.display(), report.withheld));
    }
    if report.events == 0 && report.signals == 0 && !quiet {
        let empty = Error::invalid("no events in it");
        output::note(&format!("{}: {empty}", path.display()));
    }
}
