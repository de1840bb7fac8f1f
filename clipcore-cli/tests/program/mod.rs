//! The program as a person runs it: started, watched through what it writes, interrupted, killed.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)] // every test binary uses its own part

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use clipcore::recorder::Recording;
use clipcore::{CameraId, StreamId};
use clipcore_cli::assembly::recording_dir;
use serde_json::Value;

use crate::support::publisher::signal;

pub const STREAM: &str = "show";
const STEP: Duration = Duration::from_millis(100);
/// So many steps are waited before a test fails: far longer than any machine takes.
const PATIENCE: u32 = 1200;

/// Moments by markers alone, short and close together.
pub const SETTINGS: [(&str, &str); 5] = [
    ("CLIPCORE__FUSION__REFRACTORY", "2"),
    ("CLIPCORE__FUSION__PRE_ROLL", "2"),
    ("CLIPCORE__FUSION__POST_ROLL", "3"),
    ("CLIPCORE__DETECTORS__OFF", "[\"loudness\",\"audio_tagger\"]"),
    ("CLIPCORE__CLIPS__STILLS", "false"),
];

/// A running `clipcore run`; killed with its owner.
pub struct Clipcore {
    pub child: Child,
    pub out: PathBuf,
    said: Arc<Mutex<String>>,
}

impl Clipcore {
    /// Starts it on `input` with [`SETTINGS`], and over them `set`.
    pub fn start(input: &str, out: &Path, chat: Option<&Path>, set: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.args(["run", input, "--stream", STREAM, "--consent", "chat_text", "--out"]).arg(out);
        if let Some(chat) = chat {
            command.arg("--chat").arg(chat);
        }
        command.envs(SETTINGS).envs(set.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("clipcore starts");
        let mut stderr = child.stderr.take().expect("a pipe was asked for");
        let said = Arc::new(Mutex::new(String::new()));
        let into = said.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut bytes) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Self { child, out: out.to_owned(), said }
    }

    /// What it told people so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until `reached` holds; gives up long after any machine would be there.
    pub fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        for _ in 0..PATIENCE {
            // Asked first: what it did last is seen after its end.
            let ended = self.child.try_wait().expect("the program can be waited for");
            if reached(self) {
                return;
            }
            assert!(ended.is_none(), "{} before {what}\n{}", ended.unwrap_or_default(), self.said());
            sleep(STEP);
        }
        panic!("{what} did not come\n{}", self.said());
    }

    /// Waits until the recording reaches `secs` of stream time.
    pub fn until_recorded(&mut self, secs: f64) {
        self.until(&format!("{secs} s recorded"), |p| recorded_until(&p.out).is_some_and(|end| end >= secs));
    }

    /// Waits until so many clips are ready.
    pub fn until_ready(&mut self, clips: usize) {
        self.until(&format!("{clips} ready clips"), |p| ready(&p.out).len() >= clips);
    }

    /// The ffmpeg that reads its input.
    pub fn ingest(&self) -> Option<u32> {
        let parent = self.child.id().to_string();
        let numbers = fs::read_dir("/proc").expect("Linux").flatten();
        let pids = numbers.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        pids.into_iter().find(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let ppid = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            ppid == Some(parent.as_str()) && String::from_utf8_lossy(&line).contains("-copyts")
        })
    }

    /// Ctrl-C, and the orderly end; its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        signal(self.child.id(), "INT");
        self.wait().code()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE {
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                return status;
            }
            sleep(STEP);
        }
        panic!("it did not end\n{}", self.said());
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Clipcore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of markers at these seconds.
pub fn markers(dir: &Path, at: &[f64]) -> PathBuf {
    let path = dir.join("markers.jsonl");
    let line = |at: &f64| format!("{{\"type\":\"marker\",\"at\":{at},\"data\":{{\"label\":\"m{at}\"}}}}\n");
    fs::write(&path, at.iter().map(line).collect::<String>()).unwrap();
    path
}

/// The folder of the recording.
pub fn recording(out: &Path) -> PathBuf {
    recording_dir(out, &StreamId::new(STREAM).expect("a name"), &CameraId::main())
}

/// The end of what is recorded, in seconds of stream time.
pub fn recorded_until(out: &Path) -> Option<f64> {
    Some(Recording::open(recording(out)).ok()?.span()?.end.as_secs_f64())
}

/// The whole lines of a file the program writes.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse =
        |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {line}: {e}", path.display()));
    whole.lines().map(parse).collect()
}

pub fn clips(out: &Path) -> Vec<Value> {
    lines(&out.join("clips.jsonl"))
}

/// The ready clips, in the order of their start.
pub fn ready(out: &Path) -> Vec<Value> {
    let mut ready: Vec<Value> = clips(out).into_iter().filter(|c| c["state"] == "ready").collect();
    ready.sort_by(|a, b| {
        a["asked"]["start"].as_f64().unwrap().total_cmp(&b["asked"]["start"].as_f64().unwrap())
    });
    ready
}

/// A bound in seconds, for example `secs(clip, "achieved", "start")`.
pub fn secs(value: &Value, span: &str, bound: &str) -> f64 {
    value[span][bound].as_f64().unwrap_or_else(|| panic!("{span}.{bound} is missing in {value}"))
}

/// All reasons in one text.
pub fn reasons(clip: &Value) -> String {
    clip["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The path of a clip's file.
pub fn file(out: &Path, clip: &Value) -> PathBuf {
    out.join(clip["path"].as_str().expect("a path"))
}

/// Replays the log and holds the moments against those of the live run, byte for byte.
pub fn assert_replays(out: &Path) {
    assert_replays_with(out, &[]);
}

/// The same for a run with these settings over [`SETTINGS`].
pub fn assert_replays_with(out: &Path, set: &[(&str, &str)]) {
    let replay = Command::new(env!("CARGO_BIN_EXE_clipcore"))
        .args(["replay", "--consent", "chat_text"])
        .arg(out)
        .envs(SETTINGS)
        .envs(set.iter().copied())
        .output()
        .expect("clipcore starts");
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    let live = fs::read(out.join("moments.jsonl")).expect("moments.jsonl");
    assert!(!live.is_empty(), "no moment was found");
    let (live, again) = (String::from_utf8_lossy(&live), String::from_utf8_lossy(&replay.stdout));
    assert_eq!(live, again, "the replay differs");
}

/// Nothing is said twice: moments by `(id, rev)`, clips by `(id, state)`.
pub fn assert_nothing_twice(out: &Path) {
    for (name, key) in [("moments.jsonl", "rev"), ("clips.jsonl", "state")] {
        let mut seen = std::collections::HashSet::new();
        for line in lines(&out.join(name)) {
            assert!(seen.insert((line["id"].to_string(), line[key].to_string())), "{name} has twice: {line}");
        }
    }
}

/// Every visible clip decodes from beginning to end without a word of complaint.
pub fn assert_clips_decode(out: &Path) {
    for entry in fs::read_dir(out.join("clips")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "mp4") {
            let mut decode = Command::new("ffmpeg");
            decode.args(["-v", "error", "-xerror", "-i"]).arg(&path).args(["-f", "null", "-"]);
            let out = decode.stdin(Stdio::null()).output().expect("ffmpeg starts");
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success() && said.is_empty(), "{}: {said}", path.display());
        }
    }
}

/// Every clip that was begun is ready or failed.
pub fn assert_nothing_pending(out: &Path) {
    let all = clips(out);
    for pending in all.iter().filter(|c| c["state"] == "pending") {
        let done = all.iter().any(|c| c["id"] == pending["id"] && c["state"] != "pending");
        assert!(done, "still pending: {pending}");
    }
}
