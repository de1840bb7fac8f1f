//! `clipcore replay`: recorded events in, moments out.

use std::path::PathBuf;

use clap::Args;
use clipcore::{Consent, Result};

use crate::cli::Global;
use crate::config::{Config, Overrides};

/// Arguments of `replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore replay clipcore-out > moments.jsonl      the log of an earlier run: the same moments, byte for byte
  clipcore replay chat.jsonl --consent chat_text    a file of events, sorted by their times

No media is read and no clock: the same input gives the same output on every machine.")]
pub struct ReplayArgs {
    /// A file of events as JSON lines, or the folder of an earlier run
    #[arg(value_name = "EVENTS.jsonl|DIR")]
    pub events: PathBuf,
    /// What the people concerned agreed to: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
}

impl ReplayArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> Result<Config> {
        global.config(&Overrides { consent: self.consent, ..Overrides::default() })
    }
}
