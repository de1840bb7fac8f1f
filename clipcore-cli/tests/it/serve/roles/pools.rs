//! Detectors in processes of their own: while these die, moments and clips are those of one process that does it all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::broker::{Broker, Kind};
use super::deployment::{Deployment, Process, lines_of, until};
use crate::program::{STREAM, lines, recorded_until};
use crate::serve::{text, transitions};
use crate::support::programs::require;
use crate::support::publisher::Publisher;
use crate::support::relay::Relay;

const PATIENCE: Duration = Duration::from_secs(120);
/// How far apart the moments of [`applauded`] lie, in seconds.
const SPACING: u32 = 25;

/// A file in which it gets loud every so often: the quiet of a room, and three seconds of noise.
fn applauded(dir: &Path, moments: u32) -> PathBuf {
    let file = dir.join("applauded.mp4");
    let secs = (SPACING * (moments + 1)).to_string();
    let sound = format!(
        "aevalsrc='(random(0)-0.5)*if(gt(t,{SPACING}-5)*lt(mod(t,{SPACING}),3),0.9,0.01)':s=48000:d={secs}"
    );
    let pictures = format!("testsrc2=s=320x180:r=30:d={secs}");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &pictures, "-f", "lavfi", "-i", &sound])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-bf", "0", "-c:a", "aac"])
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success());
    file
}

fn closed(moments: &str) -> Vec<Value> {
    let mut closed: Vec<Value> =
        transitions(moments).into_iter().filter(|moment| moment["state"] == "closed").collect();
    closed.sort_by_key(|moment| moment["start"].as_f64().map(|start| (start * 1e6) as i64));
    closed
}

/// A deployment in which other processes listen to what the worker records.
struct Listened<'a> {
    all: Deployment<'a>,
    worker: Process,
    listeners: Vec<Process>,
    _deliverer: Process,
}

impl<'a> Listened<'a> {
    fn start(dir: &'a Path, broker: &Broker) -> Self {
        let mut all = Deployment::new(dir, broker);
        all.env.insert("CLIPCORE__SHARED__POOLS__EARS", "[\"loudness\", \"audio_tagger\"]".to_owned());
        all.env.insert("CLIPCORE__MEDIA__GIVE_UP", "6".to_owned());
        // Long enough for a worker on a busy machine.
        all.env.insert("CLIPCORE__SHARED__WORKER__CLAIM", "3".to_owned());
        all.env.insert("CLIPCORE__SHARED__RECORDINGS__SECRET", "0123456789abcdef".to_owned());
        let worker = all.worker(0, "host", broker);
        let listeners = [0, 1].map(|which| all.listener(which)).into();
        let _deliverer = all.deliverer("host");
        Self { all, worker, listeners, _deliverer }
    }

    fn kill_listeners(&mut self) {
        self.listeners.drain(..).for_each(Process::kill);
        self.listeners = [0, 1].map(|which| self.all.listener(which)).into();
        self.all.killed("detect");
    }

    fn said(&self) -> String {
        let listeners: Vec<String> = self.listeners.iter().map(Process::said).collect();
        format!("{}\n{}", self.worker.said(), listeners.join("\n"))
    }
}

/// A file is run by one process, and by a deployment whose listeners die on the way: the same moments, to the bit.
pub(super) fn a_file_is_heard_the_same_apart(kind: Kind, test: &str) {
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let Some(broker) = Broker::start(kind, test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = applauded(dir.path(), 2);
    let alone = dir.path().join("alone");
    let run = super::super::clipcore(&["run", &text(&file), "--stream", STREAM, "--out", &text(&alone)]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let expected = closed(&lines_of(&alone.join("moments.jsonl")));
    assert_eq!(expected.len(), 2, "the test needs moments");

    let host = dir.path().join("host");
    let mut heard = Listened::start(dir.path(), &broker);
    heard.all.post(&format!("/v1/streams/{STREAM}"), "PUT", &json!({"inputs": [text(&file)]}).to_string());
    // The file is held back for them, so that they die in the midst of it.
    for secs in [1.0, 28.0, 55.0] {
        until(PATIENCE, || heard.said(), || recorded_until(&host).is_some_and(|end| end >= secs));
        heard.kill_listeners();
    }
    heard.all.gateway().until_state(STREAM, "ended");
    let moments = host.join("moments.jsonl");
    until(PATIENCE, || heard.said(), || closed(&lines_of(&moments)).len() >= expected.len());
    for (found, expected) in closed(&lines_of(&moments)).iter().zip(&expected) {
        for key in ["id", "start", "peak", "end", "label", "score", "evidence"] {
            assert_eq!(found[key], expected[key], "{key}\n{}", heard.said());
        }
    }
    assert_eq!(closed(&lines_of(&moments)).len(), expected.len(), "{}", heard.said());
}

/// A live stream, whose listeners die again and again: each time it gets loud is found once, and has its clip.
pub(super) fn a_live_stream_is_heard_whatever_dies(kind: Kind, test: &str, moments: u32) {
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let Some(relay) = Relay::start(test) else { return };
    let Some(broker) = Broker::start(kind, test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = applauded(dir.path(), moments);
    let host = dir.path().join("host");
    let mut heard = Listened::start(dir.path(), &broker);
    let _publisher = Publisher::start(&file, &relay.url(STREAM));
    let path = format!("/v1/streams/{STREAM}");
    heard.all.post(&path, "PUT", &json!({"inputs": [relay.url(STREAM)]}).to_string());
    for moment in 1..=moments {
        // Before it gets loud, while it is, and after.
        let secs = f64::from(SPACING * moment) + f64::from(moment % 5) - 1.5;
        until(PATIENCE, || heard.said(), || recorded_until(&host).is_some_and(|end| end >= secs));
        heard.kill_listeners();
    }
    let found = || closed(&lines_of(&host.join("moments.jsonl")));
    let said = || format!("{}\n{:#?}", heard.said(), found());
    until(PATIENCE, said, || found().len() >= moments as usize);
    sleep(Duration::from_secs(5));
    let starts: Vec<f64> = found().iter().map(|m| m["peak"].as_f64().unwrap()).collect();
    assert_eq!(starts.len(), moments as usize, "{starts:?}\n{}", heard.said());
    for (moment, peak) in (1..).zip(&starts) {
        let loud = f64::from(SPACING * moment);
        assert!((loud - 1.0..loud + 5.0).contains(peak), "{peak}, not {loud}");
    }
    until(
        PATIENCE,
        || heard.said(),
        || {
            lines(&host.join("clips.jsonl")).iter().filter(|clip| clip["state"] == "ready").count()
                >= moments as usize
        },
    );
    println!("{moments} moments, killed: {:?}", heard.all.kills);
}
