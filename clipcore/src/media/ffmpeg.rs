//! The ffmpeg program: where it is, and how children of it are run.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// How many of a child's last lines are kept for messages.
const KEPT_LINES: usize = 8;
/// Lines longer than this are cut, so that a hostile input cannot fill memory through a log line.
const MAX_LINE: u64 = 4096;

/// Where ffmpeg is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ffmpeg {
    path: PathBuf,
}

impl Default for Ffmpeg {
    /// `CLIPCORE_FFMPEG` where it is set, else `ffmpeg` on the path.
    fn default() -> Self {
        Self { path: std::env::var_os("CLIPCORE_FFMPEG").unwrap_or_else(|| "ffmpeg".into()).into() }
    }
}

impl Ffmpeg {
    /// A certain program.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The program.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What `ffmpeg -version` says first, for example `ffmpeg version 5.1.9`.
    ///
    /// # Errors
    /// `Unsupported` where the program cannot be run.
    pub fn version(&self) -> Result<String> {
        let out = self.output(["-version"])?;
        Ok(out.lines().next().unwrap_or_default().split(" Copyright").next().unwrap_or_default().to_owned())
    }

    /// Runs to the end and gives standard output as text.
    ///
    /// # Errors
    /// `Unsupported` where the program cannot be run, `Media` where it fails.
    pub fn output<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let out = self.command().args(args).output().map_err(|e| self.missing(e))?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            let tail: Vec<&str> = said.lines().rev().take(3).collect();
            let mut error = Error::new(ErrorKind::Media, "ffmpeg failed")
                .with_context("program", self.path.display())
                .with_context("status", out.status)
                .with_hint("run it by hand; CLIPCORE_FFMPEG names another one");
            if !tail.is_empty() {
                error = error.with_context("said", tail.into_iter().rev().collect::<Vec<_>>().join(" / "));
            }
            return Err(error);
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// A command that reads nothing from the terminal and prints warnings only.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(["-hide_banner", "-nostdin", "-v", "warning"]).stdin(Stdio::null());
        command
    }

    /// Starts a child whose standard output is read by the caller and whose messages are drained.
    ///
    /// # Errors
    /// `Unsupported` where the program cannot be run.
    pub fn spawn(&self, command: &mut Command) -> Result<Running> {
        self.spawn_heard(command, |_| false)
    }

    /// As [`spawn`](Self::spawn); lines for which `heard` says `true` are no messages but were meant for it.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub(crate) fn spawn_heard(
        &self,
        command: &mut Command,
        heard: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Running> {
        let mut child = command.stderr(Stdio::piped()).spawn().map_err(|e| self.missing(e))?;
        let messages = Messages::default();
        let drain = match child.stderr.take() {
            Some(stderr) => {
                let messages = messages.clone();
                // A child whose messages nobody reads stops when the pipe is full.
                let drain = thread::Builder::new().name("ffmpeg-messages".into());
                Some(drain.spawn(move || messages.drain(stderr, heard))?)
            }
            None => None,
        };
        Ok(Running { child, messages, drain })
    }

    fn missing(&self, source: std::io::Error) -> Error {
        Error::new(ErrorKind::Unsupported, "ffmpeg cannot be run")
            .with_context("program", self.path.display())
            .with_source(source)
            .with_hint("install it (Debian: apt-get install ffmpeg) or set CLIPCORE_FFMPEG to its path")
    }
}

/// The last lines a child printed.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    lines: Arc<Mutex<std::collections::VecDeque<String>>>,
}

impl Messages {
    fn drain(&self, stderr: impl Read, mut heard: impl FnMut(&str) -> bool) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            if text.is_empty() || heard(&text) {
                continue;
            }
            let mut lines = self.lock();
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(text);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::VecDeque<String>> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    /// Whether a line holds `text`.
    pub fn contain(&self, text: &str) -> bool {
        self.lock().iter().any(|line| line.contains(text))
    }
}

/// A running child; killed and reaped when dropped.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    /// What it printed.
    pub messages: Messages,
    drain: Option<JoinHandle<()>>,
}

/// So long is waited for the last words of a child that has ended: its messages come through a thread that may not have
/// had its turn yet.
const LAST_WORDS: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);

impl Running {
    /// The last lines of a child that has ended, or is about to, as one line.
    pub fn last_words(&self) -> String {
        let draining = || self.drain.as_ref().is_some_and(|drain| !drain.is_finished());
        for _ in 0..LAST_WORDS.div_duration_f32(STEP) as u32 {
            if !draining() {
                break;
            }
            thread::sleep(STEP);
        }
        self.messages.lines().join(" / ")
    }

    /// Asks the child to end, and a second later makes it: one request is ignored while ffmpeg waits for a socket.
    pub fn terminate(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(STEP);
        }
        self.kill();
    }

    /// Ends the child at once and reaps it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_come_after_the_end_are_heard() {
        let shell = Ffmpeg::at("sh");
        let mut command = Command::new("sh");
        command.args(["-c", "(sleep 0.3; echo too late >&2) & exit 3"]);
        let mut running = shell.spawn(&mut command).unwrap();
        assert_eq!(running.child.wait().unwrap().code(), Some(3));
        assert_eq!(running.last_words(), "too late");
    }
}
