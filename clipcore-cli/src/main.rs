//! `clipcore`: the command line over the library of the same name.

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use clipcore::detector::ChatBurst;
use clipcore::engine::Engine;
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::replay::Found;
use clipcore::{Consent, StreamId};
use clipcore_cli::commands;
use clipcore_cli::replay_files::Files;

#[derive(Parser)]
enum Command {
    Eval(commands::eval::EvalArgs),
    Simulate(commands::simulate::SimulateArgs),
    /// Recorded events in, moments out
    Replay {
        events: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Eval(args) => commands::eval::run(&args, &mut std::io::stdout(), &mut std::io::stderr()),
        Command::Simulate(args) => commands::simulate::run(&args, &mut std::io::stderr()),
        Command::Replay { events } => replay(&events),
    }
}

fn replay(events: &[PathBuf]) -> anyhow::Result<()> {
    let fusion = FusionConfig::default().factory()?;
    let engine = |stream: &StreamId| {
        Engine::new(stream.clone(), fusion(stream)).with_detector(Box::new(ChatBurst::default()))
    };
    let (kinds, stream_of) = (Kinds::builtin(), |_: &std::path::Path| None);
    let files =
        Files { kinds: &kinds, consent: Consent::NONE, stream_of: &stream_of, threads: 0, engine: &engine };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let reports = files.replay::<anyhow::Error>(events, &|_| {}, &mut |_, found| {
        if let Found::Moment(moment) = found {
            serde_json::to_writer(&mut out, &moment)?;
            writeln!(out)?;
        }
        Ok(())
    })?;
    out.flush()?;
    let (events, bad) = reports.iter().fold((0, 0), |n, r| (n.0 + r.report.events, n.1 + r.report.bad));
    eprintln!("{events} events, {bad} bad lines");
    reports.into_iter().find_map(|r| r.error).map_or(Ok(()), |e| Err(e.into()))
}
