//! What people get wrong and what the world sends: for each kind of bad input the exit code, the message that a
//! user reads, and that nothing else is lost. Every row runs the real program.

mod files;
mod rows;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::support::programs::require;

/// What else must be so.
type Check = Box<dyn Fn(&Seen) + Send + Sync>;

/// A kind of bad input: how the program is called, how it must end and what it must say.
struct Row {
    name: &'static str,
    args: Vec<String>,
    exit: i32,
    says: Vec<String>,
    config: Option<String>,
    env: Option<(&'static str, String)>,
    stdin: Option<PathBuf>,
    then: Option<Check>,
}

/// `args` are split at spaces; `OUT` stands for the row's own output folder.
fn row(name: &'static str, args: &str) -> Row {
    let args = args.split(' ').map(str::to_owned).collect();
    Row { name, args, exit: 0, says: Vec::new(), config: None, env: None, stdin: None, then: None }
}

impl Row {
    fn exits(mut self, code: i32) -> Self {
        self.exit = code;
        self
    }
    /// What standard error must hold.
    fn says(mut self, phrases: &[&str]) -> Self {
        self.says.extend(phrases.iter().map(|&p| p.to_owned()));
        self
    }
    fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }
    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env = Some((name, value.to_owned()));
        self
    }
    fn stdin(mut self, file: impl Into<PathBuf>) -> Self {
        self.stdin = Some(file.into());
        self
    }
    /// What else must hold: that the rest was not lost.
    fn then(mut self, check: impl Fn(&Seen) + Send + Sync + 'static) -> Self {
        self.then = Some(Box::new(check));
        self
    }

    fn run(&self, dir: &Path) {
        let slug: String =
            self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let out = dir.join("outs").join(&slug);
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.current_dir(dir).env_remove("CLIPCORE_LOG");
        for arg in &self.args {
            command.arg(arg.replace("OUT", &format!("outs/{slug}")));
        }
        if let Some(toml) = &self.config {
            let file = format!("{slug}.toml");
            fs::write(dir.join(&file), toml).unwrap();
            command.args(["--config", &file]);
        }
        if let Some((name, value)) = &self.env {
            command.env(name, value);
        }
        command.stdin(match &self.stdin {
            Some(file) => Stdio::from(fs::File::open(dir.join(file)).unwrap()),
            None => Stdio::null(),
        });
        let done = command.output().unwrap();
        let seen = Seen {
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
            out,
        };
        let text = &seen.stderr;
        assert_eq!(done.status.code(), Some(self.exit), "the exit code; it said:\n{text}");
        for phrase in &self.says {
            assert!(text.contains(phrase), "it does not say {phrase:?}:\n{text}");
        }
        assert_eq!(
            self.exit == 0,
            !text.contains("error: "),
            "an error is an exit code and the reverse:\n{text}"
        );
        for never in ["panicked", " @ 0x", files::SECRET, "os error 0"] {
            assert!(!text.contains(never) && !seen.stdout.contains(never), "it says {never:?}:\n{text}");
        }
        if let Some(then) = &self.then {
            then(&seen);
        }
    }
}

/// What a row gave.
struct Seen {
    stdout: String,
    stderr: String,
    out: PathBuf,
}

impl Seen {
    /// Seconds of media that were recorded.
    fn recorded(&self) -> f64 {
        let mut longest = 0.0_f64;
        for stream in fs::read_dir(self.out.join("recordings")).into_iter().flatten() {
            let recording = clipcore::recorder::Recording::open(stream.unwrap().path().join("main")).unwrap();
            longest = longest.max(recording.span().map_or(0.0, |s| s.end.secs_since(s.start)));
        }
        longest
    }

    fn records(&self, secs: std::ops::Range<f64>) {
        let recorded = self.recorded();
        assert!(secs.contains(&recorded), "{recorded} s are recorded, not {secs:?}:\n{}", self.stderr);
    }

    /// All bytes of all files under the output folder, as text.
    fn everything_written(&self) -> String {
        fn walk(dir: &Path, text: &mut String) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, text);
                } else {
                    text.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
                }
            }
        }
        let mut text = String::new();
        walk(&self.out, &mut text);
        text
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.out.join(name)).unwrap_or_default()
    }
}

#[test]
fn bad_input_is_told_and_nothing_else_is_lost() {
    if !require("bad_input_is_told_and_nothing_else_is_lost", &["ffmpeg"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    files::make(dir.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    files::playlists(dir.path(), listener.local_addr().unwrap().port());
    let rows = rows::all();
    assert!(rows.len() >= 30);
    let (queue, failed) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(row) = queue.lock().unwrap().next() else { return };
                    let run = std::panic::AssertUnwindSafe(|| row.run(dir.path()));
                    if let Err(panic) = std::panic::catch_unwind(run) {
                        let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                        failed.lock().unwrap().push(format!("{}: {why}", row.name));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} rows:\n\n{}", failed.len(), rows.len(), failed.join("\n\n"));
    let called = listener.accept().map(|(_, from)| from);
    assert!(called.is_err(), "a local playlist made clipcore call out: {called:?}");
}

#[test]
fn an_output_folder_in_use_is_said_to_be() {
    if !require("an_output_folder_in_use_is_said_to_be", &["ffmpeg"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let clipcore = |input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.current_dir(dir.path()).args(["run", input, "--out", "out"]);
        command
    };
    fs::write(dir.path().join("b.mp4"), "not empty").unwrap();
    // The first one waits for its input while the pipe is open.
    let mut first = clipcore("-").stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    while !dir.path().join("out/log/log.json").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first one has ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let second = clipcore("b.mp4").output().unwrap();
    let _ = first.stdin.take().unwrap().write_all(b"");
    first.wait().unwrap();
    let text = String::from_utf8_lossy(&second.stderr);
    assert_ne!(second.status.code(), Some(0), "{text}");
    for phrase in ["another process", "out/log", "hint:"] {
        assert!(text.contains(phrase), "it does not say {phrase:?}:\n{text}");
    }
}
