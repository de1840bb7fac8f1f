//! `clipcore`: the command line over the library of the same name.

fn main() -> std::process::ExitCode {
    clipcore_cli::main(std::env::args_os())
}
