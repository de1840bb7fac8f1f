//! `clipcore demo`: a stream of its own making, through the whole path.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Draws and synthesises a two-minute stream with three moments (a crowd cheers and chat erupts) and three distractors
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
