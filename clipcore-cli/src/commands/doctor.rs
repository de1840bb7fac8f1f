//! `clipcore doctor`: does this machine have what clipcore needs?

mod checks;
mod inference;
mod servers;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::output;

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit code 2 where something that is needed is missing; what is optional only costs the feature it names.")]
pub struct DoctorArgs {
    /// The folder whose disk is looked at
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// One JSON line for each check
    #[arg(long)]
    pub json: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is there.
    Ok,
    /// It is not there, and only the feature named suffers.
    Optional,
    /// It is not there, and clipcore cannot do its work.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Check {
    fn new(name: &str, verdict: Verdict, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict, found: found.into(), advice: advice.into() }
    }
}

/// Runs the checks and prints them.
///
/// # Errors
/// For a wrong configuration, and where standard output cannot be written.
pub fn run(args: &DoctorArgs, global: &Global) -> Result<Exit> {
    let flags = crate::config::Overrides { out: args.out.clone(), ..Default::default() };
    let config = global.config(&flags)?;
    let mut checks = checks::all(&config.out);
    checks.extend(inference::checks(&config.models));
    checks.extend(servers::checks(&config.sinks)?);
    if args.json {
        for check in &checks {
            output::json_line(check)?;
        }
    } else {
        output::text(&report(&checks))?;
    }
    let missing = checks.iter().any(|c| c.verdict == Verdict::Missing);
    Ok(if missing { Exit::Usage } else { Exit::Done })
}

fn report(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok      ",
            Verdict::Optional => "optional",
            Verdict::Missing => "MISSING ",
        };
        text.push_str(&format!("{mark}  {:width$}  {}\n", check.name, check.found));
        if !check.advice.is_empty() {
            text.push_str(&format!("{:10}{:width$}  → {}\n", "", "", check.advice));
        }
    }
    let missing = checks.iter().filter(|c| c.verdict == Verdict::Missing).count();
    text.push_str(&match missing {
        0 => "\nEverything that is needed is there.\n".to_owned(),
        1 => "\n1 thing that is needed is missing.\n".to_owned(),
        n => format!("\n{n} things that are needed are missing.\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_missing_and_what_to_do() {
        let checks = [
            Check::new("ffmpeg", Verdict::Missing, "not found", "install ffmpeg"),
            Check::new("disk", Verdict::Ok, "74 GB free", ""),
        ];
        let text = report(&checks);
        assert!(text.contains("MISSING   ffmpeg  not found\n"), "{text}");
        assert!(
            text.contains("→ install ffmpeg\n") && text.contains("1 thing that is needed is missing"),
            "{text}"
        );
    }
}
