//! `clipcore`: the command line over the library of the same name.

mod commands;
mod input;

use clap::Parser;

#[derive(Parser)]
enum Command {
    Eval(commands::eval::EvalArgs),
    Simulate(commands::simulate::SimulateArgs),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Eval(args) => commands::eval::run(&args, &mut std::io::stdout(), &mut std::io::stderr()),
        Command::Simulate(args) => commands::simulate::run(&args, &mut std::io::stderr()),
    }
}
