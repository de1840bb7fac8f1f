//! What a person types.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::config::{Config, Overrides};
use crate::exit::Exit;

/// Turns live streams into clips, seconds after the moment happens.
#[derive(Debug, Parser)]
#[command(name = "clipcore", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 done; 2 usage or configuration; 3 input could not be read; 4 a sink failed for good;
130 interrupted. Results are JSON lines on standard output; progress and messages go to standard error.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Reads settings from this TOML file; CLIPCORE__SECTION__KEY in the environment and flags go over it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Settings of a program around this one, over file and environment
    #[arg(skip)]
    pub values: Option<serde_json::Value>,
    /// Says more; repeat for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Says nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,
}

impl Global {
    /// The configuration with `flags` over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, flags: &Overrides) -> clipcore::Result<Config> {
        Config::load_with(self.config.as_deref(), self.values.as_ref(), flags)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turns inputs into clips: a file, a live stream, several cameras
    Run(commands::run::RunArgs),
    /// Takes events in over HTTP, and gives moments and clips out
    Serve(commands::serve::ServeArgs),
    /// Takes pictures of an input now and then, and sends them to a server
    Snapshots(commands::snapshots::SnapshotsArgs),
    /// Gives the moments of recorded events again, without media and without a clock
    Replay(commands::replay::ReplayArgs),
    /// Shows what detectors find, before fusion
    Detect(commands::detect::DetectArgs),
    /// Cuts a clip out of a recording
    Cut(commands::cut::CutArgs),
    /// Says how good moments are, against labels
    Eval(commands::eval::EvalArgs),
    /// Fits weights and thresholds to labels, or to what people said of moments
    Tune(commands::tune::TuneArgs),
    /// Makes streams whose highlights are known
    Simulate(commands::simulate::SimulateArgs),
    /// Makes a stream of its own and takes it through the whole path
    Demo(commands::demo::DemoArgs),
    /// Lists, fetches, checks and removes the models that detectors use
    Models(commands::models::ModelsArgs),
    /// Delivers again what sinks refused for good
    Redeliver(commands::redeliver::RedeliverArgs),
    /// Says what is held about people, and takes it out
    Privacy(commands::privacy::PrivacyArgs),
    /// Checks that this machine has what clipcore needs
    Doctor(commands::doctor::DoctorArgs),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever the command meets; [`exit::of`](crate::exit::of) gives the code.
    pub fn run(self) -> Result<Exit> {
        match self.command {
            Command::Run(args) => commands::run::run(&args, &self.global),
            Command::Serve(args) => commands::serve::run(&args, &self.global),
            Command::Snapshots(args) => commands::snapshots::run(&args, &self.global),
            Command::Replay(args) => commands::replay::run(&args, &self.global),
            Command::Detect(args) => commands::detect::run(&args, &self.global),
            Command::Cut(args) => commands::cut::run(&args, &self.global),
            Command::Eval(args) => {
                commands::eval::run(&args, &self.global, &mut std::io::stdout(), &mut std::io::stderr())
                    .map(|()| Exit::Done)
            }
            Command::Tune(args) => {
                commands::tune::run(&args, &self.global, &mut std::io::stdout(), &mut std::io::stderr())
                    .map(|()| Exit::Done)
            }
            Command::Simulate(args) => {
                commands::simulate::run(&args, &mut std::io::stderr()).map(|()| Exit::Done)
            }
            Command::Demo(args) => commands::demo::run(&args, &self.global),
            Command::Models(args) => commands::models::run(&args, &self.global),
            Command::Redeliver(args) => commands::redeliver::run(&args, &self.global),
            Command::Privacy(args) => commands::privacy::run(&args, &self.global),
            Command::Doctor(args) => commands::doctor::run(&args, &self.global),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
