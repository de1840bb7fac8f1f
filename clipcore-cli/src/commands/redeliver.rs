//! `clipcore redeliver`: dead letters, once more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clipcore::sink::layer::{Redelivered, redeliver};
use clipcore::sink::{ClipSink, SinkExt};
use clipcore::{Error, ErrorKind};

use crate::cli::Global;
use crate::config::Overrides;
use crate::exit::Exit;
use crate::{output, sinks};

/// Arguments of `redeliver`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore redeliver clipcore-out --config clipcore.toml     everything that was put aside there
  clipcore redeliver clipcore-out/dead-letters/webhook.studio.jsonl --config clipcore.toml

Each letter goes to the sink whose name it bears, out of the same [sinks] that the run had; those that are taken leave the
file. Stop the run first: it holds its files. Exit code 4 where some are still refused.")]
pub struct RedeliverArgs {
    /// A file of dead letters, or an output folder
    #[arg(value_name = "FILE|DIR")]
    pub from: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// For a wrong configuration, and where a file cannot be read, or is held by a run.
pub fn run(args: &RedeliverArgs, global: &Global) -> anyhow::Result<Exit> {
    let config = global.config(&Overrides::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let files = files(&args.from)?;
    runtime.block_on(async {
        let built = config.sinks.build()?;
        // A person waits for this: a few attempts, not half an hour of them.
        let retry = clipcore::sink::layer::RetryConfig { attempts: 3, ..config.sinks.retry.clone() };
        let sinks: Vec<Arc<dyn ClipSink>> =
            built.into_iter().map(|s| Arc::new(s.with_retry(retry.clone())) as Arc<dyn ClipSink>).collect();
        let mut all = Redelivered::default();
        for file in files {
            let done = redeliver(&file, &sinks, |letter, outcome| {
                if let Err(error) = outcome {
                    output::note(&format!(
                        "{} did not take {}: {error}",
                        letter.sink,
                        letter.delivery.item()
                    ));
                }
            })
            .await?;
            all.delivered += done.delivered;
            all.refused += done.refused;
            all.left += done.left;
        }
        if !global.quiet {
            let Redelivered { delivered, refused, left } = all;
            output::note(&format!(
                "{delivered} delivered, {refused} refused again, {left} for sinks that are not configured"
            ));
        }
        Ok(if all.refused + all.left > 0 { Exit::Sink } else { Exit::Done })
    })
}

fn files(from: &Path) -> clipcore::Result<Vec<PathBuf>> {
    if !from.is_dir() {
        return Ok(vec![from.to_owned()]);
    }
    let dir = sinks::dead_letters(from);
    let dir = if dir.is_dir() { dir } else { from.to_owned() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(|e| Error::io(e, &dir))? {
        let path = entry.map_err(|e| Error::io(e, &dir))?.path();
        if path.extension().is_some_and(|e| e == "jsonl") && dir.ends_with("dead-letters") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "there are no dead letters")
            .with_context("path", dir.display())
            .with_hint("name an output folder of run or serve, or a file of dead letters"));
    }
    Ok(files)
}
