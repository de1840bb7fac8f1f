//! `clipcore demo`: a stream of its own making, through the whole path.

use std::path::PathBuf;

use clap::Args;
use clipcore::{CameraId, Consent, Error, StreamId};

use crate::cli::Global;
use crate::commands::run::{StreamPlan, run_streams};
use crate::config::Overrides;
use crate::exit::Exit;
use crate::{demo, output};

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Draws and synthesises a two-minute stream with two moments (a crowd cheers and chat erupts) and three distractors
(a beep, a bang, a burst of chat about nothing), runs it through recorder, detectors, fusion and cutter, and
prints what was found beside what is true.")]
pub struct DemoArgs {
    /// Where the stream and its clips go
    #[arg(long, value_name = "DIR", default_value = "clipcore-demo")]
    pub out: PathBuf,
    /// Another seed makes other crowds and other chat
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// Runs the command.
///
/// # Errors
/// Where the stream cannot be made or run.
pub fn run(args: &DemoArgs, global: &Global) -> anyhow::Result<Exit> {
    let progress = output::Progress::start("drawing two minutes of pictures", global.quiet);
    let made = demo::make(&args.out, args.seed, &progress)?;
    progress.finish();
    let stream = StreamId::new(demo::STREAM)?;
    let out = args.out.join("out");
    // A demo shows the whole path each time, so an earlier one makes room.
    if out.exists() {
        std::fs::remove_dir_all(&out).map_err(|e| Error::io(e, &out))?;
    }
    let config =
        global.config(&Overrides { out: Some(out), consent: Some(Consent::ALL), ..Overrides::default() })?;
    let input = made.media.display().to_string();
    let plans = [StreamPlan { stream, cameras: vec![(CameraId::main(), input)] }];
    let outcome = run_streams(&config, &plans, Some(&made.chat), global.quiet)?;
    let report = demo::report(&outcome.moments, &outcome.clips);
    let exit = outcome.exit(global.quiet)?;
    output::text(&report)?;
    Ok(exit)
}
