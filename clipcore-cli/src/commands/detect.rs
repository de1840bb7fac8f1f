//! `clipcore detect`: what detectors find, before fusion.

use std::path::PathBuf;

use clap::Args;
use clipcore::{Consent, Result, StreamId};

use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::inputs;

/// Arguments of `detect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore detect gala.mp4                          every detector that the input can feed
  clipcore detect gala.mp4 --detector loudness      only this one
  clipcore detect chat.jsonl --detector chat_burst  events instead of media")]
pub struct DetectArgs {
    /// A file, a URL, - for standard input, or a .jsonl file of events
    #[arg(value_name = "INPUT")]
    pub input: String,
    /// Only this detector; may be given several times
    #[arg(long = "detector", value_name = "NAME")]
    pub detectors: Vec<String>,
    /// The stream's id in the signals
    #[arg(long, value_name = "ID", value_parser = inputs::stream_id)]
    pub stream: Option<StreamId>,
    /// Chat and other events as JSON lines, beside the media
    #[arg(long, value_name = "FILE")]
    pub chat: Option<PathBuf>,
    /// What the people concerned agreed to: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
}

impl DetectArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> Result<Config> {
        global.config(&Overrides {
            stream: self.stream.clone(),
            consent: self.consent,
            ..Overrides::default()
        })
    }

    /// The stream's id: the flag's, else from the input's name.
    pub fn stream_id(&self, config: &Config) -> StreamId {
        config.stream.clone().unwrap_or_else(|| inputs::stream_id_of(&self.input))
    }
}
