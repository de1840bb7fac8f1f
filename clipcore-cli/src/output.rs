//! Output for programs (JSON lines on standard output) and for people (standard error).

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clipcore::Result;
#[cfg(feature = "otlp")]
use clipcore::otlp::Otlp;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::exit::Failure;

/// Writes one JSON line to standard output and flushes it, so that a reader sees it at once.
///
/// # Errors
/// Where the reader has gone (`BrokenPipe`) or the value has no JSON form.
pub fn json_line(value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Writes text to standard output: what a person asked for, such as a report.
///
/// # Errors
/// Where the reader has gone.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Starts the log on standard error: warnings, more with each `verbose`, only errors when `quiet`. The variable
/// `CLIPCORE_LOG` overrides with a filter such as `clipcore=debug`; with `CLIPCORE_LOG_FORMAT=json` each line is a JSON object, what
/// is told to people included, and what is done for a producer's trace has its `trace_id`.
///
/// # Errors
/// `Config` where traces are to be exported and cannot be as the environment says.
pub fn start_log(verbose: u8, quiet: bool) -> Result<Traces> {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let mut filter = EnvFilter::try_from_env("CLIPCORE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let json = json();
    // What is told to people is told whatever is logged.
    if let Ok(told) = format!("{TOLD}=info").parse()
        && json
    {
        filter = filter.add_directive(told);
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match json {
        true => lines.json().with_ansi(false).with_span_list(false).boxed(),
        false => lines.with_ansi(colour()).with_target(verbose > 1).boxed(),
    };
    let registry = tracing_subscriber::registry();
    #[cfg(feature = "otlp")]
    let traces = Traces(Otlp::from_env()?);
    #[cfg(feature = "otlp")]
    let registry = registry.with(traces.0.as_ref().map(Otlp::layer));
    #[cfg(not(feature = "otlp"))]
    let traces = Traces();
    if registry.with(lines.with_filter(filter)).try_init().is_ok() && json {
        std::panic::set_hook(Box::new(|panic| tracing::error!(target: TOLD, "{panic}")));
    }
    Ok(traces)
}

/// What is told to people, where everything on standard error is JSON.
const TOLD: &str = "clipcore_cli::output";

/// Whether every line on standard error is to be a JSON object.
fn json() -> bool {
    std::env::var_os("CLIPCORE_LOG_FORMAT").is_some_and(|format| format == "json")
}

/// Whether the log takes what is told to people: as JSON, once it has been started.
fn logged() -> bool {
    json() && tracing::dispatcher::has_been_set()
}

/// Traces that are exported, where that is built in and asked for. Dropped, it sends what is left.
#[derive(Debug)]
#[must_use]
pub struct Traces(#[cfg(feature = "otlp")] Option<Otlp>);

#[cfg(feature = "otlp")]
impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(traces) = self.0.take() {
            traces.shutdown();
        }
    }
}

/// Whether standard error takes colour: a terminal, and neither `NO_COLOR` nor a dumb one.
pub fn colour() -> bool {
    io::stderr().is_terminal() && colour_wanted(|name| std::env::var_os(name))
}

fn colour_wanted(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> bool {
    var("NO_COLOR").is_none_or(|v| v.is_empty()) && var("TERM").is_none_or(|t| t != "dumb")
}

/// Prints an error to standard error: what, where, why and what to do.
pub fn print_error(error: &anyhow::Error) {
    let text = render_error(error);
    if logged() {
        return tracing::error!(target: TOLD, "{}", text.trim_start_matches("error: ").trim_end());
    }
    let mut err = io::stderr().lock();
    // Where standard error is closed there is nobody to tell.
    let _ = match text.strip_prefix("error:").filter(|_| colour()) {
        Some(rest) => err.write_all(format!("\x1b[1;31merror:\x1b[0m{rest}").as_bytes()),
        None => err.write_all(text.as_bytes()),
    };
}

/// An error as [`print_error`] prints it, without colour.
pub fn render_error(error: &anyhow::Error) -> String {
    let error = error.downcast_ref::<Failure>().map_or(error, Failure::source);
    let mut text = String::new();
    let mut hints = Vec::new();
    for (i, cause) in error.chain().enumerate() {
        let lead = if i == 0 { "error:" } else { "  because:" };
        match cause.downcast_ref::<clipcore::Error>() {
            None => text.push_str(&format!("{lead} {}\n", indented(&cause.to_string()))),
            Some(e) => {
                text.push_str(&format!("{lead} {}\n", indented(e.message())));
                for (key, value) in e.context() {
                    text.push_str(&format!("  {key}: {}\n", indented(value)));
                }
                hints.extend(e.hint().map(str::to_owned));
            }
        }
    }
    for hint in hints {
        text.push_str(&format!("  hint: {}\n", indented(&hint)));
    }
    text
}

/// Later lines of a text that has several are indented to stand under the first. Control characters, which come from
/// hostile names and servers, are made visible instead of reaching the terminal.
fn indented(text: &str) -> String {
    let clean: String =
        text.trim_end().chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    clean.replace('\n', "\n    ")
}

/// A line of progress on a terminal; nothing elsewhere.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    /// A spinner with a message; hidden where standard error is no terminal or `quiet` is set.
    pub fn start(message: impl Into<String>, quiet: bool) -> Self {
        let bar = if quiet || !io::stderr().is_terminal() {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
        } else {
            ProgressBar::new_spinner()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, quiet }
    }

    /// Replaces the message.
    pub fn update(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Prints a line for people above the progress; nothing when quiet.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.bar.suspend(|| note(text.as_ref()));
        }
    }

    /// Takes the line away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a line for people.
pub fn note(text: &str) {
    if logged() {
        return tracing::info!(target: TOLD, "{text}");
    }
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_why_and_what_to_do() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = clipcore::Error::io(source, "in.mp4").with_hint("check the path");
        let text = render_error(&anyhow::Error::new(error).context("cannot read the input"));
        assert_eq!(
            text,
            "error: cannot read the input\n  because: there is no such file or folder\n  path: in.mp4\n  \
             because: entity not found\n  hint: check the path\n"
        );
    }

    #[test]
    fn hostile_text_does_not_reach_the_terminal() {
        let text = render_error(&anyhow::anyhow!("no file \x1b[2Jx\nnext"));
        assert_eq!(text, "error: no file \u{fffd}[2Jx\n    next\n");
    }

    #[test]
    fn no_color_is_obeyed() {
        let env = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| std::ffi::OsString::from(value))
        };
        assert!(!colour_wanted(env("NO_COLOR", "1")));
        assert!(colour_wanted(env("NO_COLOR", "")));
        assert!(!colour_wanted(env("TERM", "dumb")));
        assert!(colour_wanted(env("TERM", "xterm")));
    }
}
