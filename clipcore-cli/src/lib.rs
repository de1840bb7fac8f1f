//! The program `clipcore`, as a library, so that its parts can be tested.
//!
//! [`cli`] is what a person types, [`config`] what a file, the environment and flags say together,
//! [`commands`] has one file a command, [`output`] writes for people and for programs, [`exit`] says how it went.

pub mod assembly;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod exit;
mod input;
pub mod inputs;
pub mod models;
pub mod output;
pub mod privacy;

mod recorded;
pub mod replay_files;
pub mod shared;
pub mod sinks;
pub mod sources;
mod spelling;
pub mod streams;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::exit::Exit;

/// The whole program: reads the arguments, runs the command, prints the error, gives the exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run(args).into()
}

/// As [`main`], for a program around this one.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to standard output and are no failure.
            let code = if e.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = e.print();
            return code;
        }
    };
    let log = output::start_log(cli.global.verbose, cli.global.quiet).map_err(anyhow::Error::from);
    match log.and_then(|_traces| cli.run()) {
        Ok(code) => code,
        Err(e) => {
            let code = exit::of(&e);
            // A reader that closed the pipe (`| head`) has what it wanted.
            if code != Exit::Done {
                output::print_error(&e);
            }
            code
        }
    }
}
