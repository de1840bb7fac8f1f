//! The program's commands, for Python: what they print is what they return.

use std::ffi::OsString;

use anyhow::Context;
use clap::Parser;
use clipcore::detector::Signal;
use clipcore::eval::Label;
use clipcore::simulate::Scenario;
use clipcore::tune::Example;
use clipcore::{Error, ErrorKind};
use clipcore_cli::cli::{Cli, Command};
use clipcore_cli::commands;
use pyo3::prelude::*;

use crate::detached::detached;
use crate::error::OrRaise;
use crate::settings::Settings;

/// `clipcore eval` or `clipcore tune` with these arguments: what it prints, and its remarks.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, settings: Settings, args: Vec<OsString>) -> PyResult<(String, String)> {
    detached(py, None, |_| -> anyhow::Result<(String, String)> {
        let global = settings.global()?;
        let cli = Cli::try_parse_from(std::iter::once("clipcore".into()).chain(args))
            .map_err(|e| Error::config(e.to_string().trim().to_owned()))?;
        let (mut out, mut remarks) = (Vec::new(), Vec::new());
        // Threads of a pool that all share would be missing in a forked process.
        let pool = rayon::ThreadPoolBuilder::new().build().context("no threads can be had")?;
        pool.install(|| match &cli.command {
            Command::Eval(args) => commands::eval::run(args, &global, &mut out, &mut remarks),
            Command::Tune(args) => commands::tune::run(args, &global, &mut out, &mut remarks),
            _ => Err(Error::new(ErrorKind::Unsupported, "this command returns nothing").into()),
        })?;
        Ok((String::from_utf8(out)?, String::from_utf8(remarks)?))
    })
}

/// The whole program, on the process's own standard streams; its exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| clipcore_cli::run(args) as u8)
}

/// A stream with known truth: its lines, its labels as JSON.
#[pyfunction]
pub(crate) fn simulate(py: Python<'_>, scenario: String) -> PyResult<(Vec<String>, String)> {
    detached(py, None, |_| -> clipcore::Result<_> {
        let scenario: Scenario = serde_json::from_str(&scenario)
            .map_err(|e| Error::config(format!("the scenario is not as it should be: {e}")))?;
        let simulation = scenario.run()?;
        Ok((simulation.lines()?, serde_json::to_string(&simulation.labels)?))
    })
}

/// Reads labels, as JSON.
#[pyfunction]
pub(crate) fn read_labels(py: Python<'_>, csv: Vec<u8>) -> PyResult<String> {
    let labels: Vec<Label> = clipcore::eval::read_labels(&*csv).or_raise(py)?;
    serde_json::to_string(&labels).map_err(Error::from).or_raise(py)
}

/// All settings in force, as TOML.
#[pyfunction]
pub(crate) fn settings(py: Python<'_>, settings: Settings) -> PyResult<String> {
    settings.config().and_then(|config| config.to_toml()).or_raise(py)
}

/// What the signals of one stream weigh together, once a second, and the threshold.
#[pyfunction]
pub(crate) fn log_odds(
    py: Python<'_>,
    settings: Settings,
    signals: Vec<String>,
) -> PyResult<(Vec<f64>, Vec<f64>, f64)> {
    detached(py, None, |_| -> clipcore::Result<_> {
        let setup = settings.config()?.fusion.setup()?;
        let mut signals: Vec<Signal> =
            signals.iter().map(|line| Ok(serde_json::from_str(line)?)).collect::<clipcore::Result<_>>()?;
        signals.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let enter = setup.weights().decision.enter;
        let Some(first) = signals.first() else { return Ok((Vec::new(), Vec::new(), enter)) };
        let example = Example { stream: first.stream.clone(), signals, labels: Vec::new(), hours: 0.0 };
        let points = example.log_odds(&setup);
        let (at, value) = points.into_iter().map(|(at, odds)| (at.as_secs_f64(), odds)).unzip();
        Ok((at, value, enter))
    })
}
