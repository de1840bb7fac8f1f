//! Clips of a live stream, recorded on one of two hosts, while the processes die that record it, cut them, deliver them and
//! answer for them: each moment's clip is delivered once, whole, and the catalogue knows what was delivered.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::broker::{Broker, Kind};
use super::deployment::{Deployment, Process, until};
use crate::program::{self, SETTINGS, STREAM, clips, lines, ready, recorded_until};
use crate::support::programs::require;
use crate::support::publisher::Publisher;
use crate::support::reading;
use crate::support::relay::Relay;
use crate::support::stream::TestStream;

/// Ways to fail, in turn: the worker at any instant, worker and deliverer when a clip has just been finished, the deliverer then,
/// the worker while it cuts, the gateway.
const KINDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

/// `spacing` are the seconds from one moment to the next; from 22 on, what dies for one moment is back before the next one's
/// clip begins.
pub(super) fn none_is_lost_and_none_cut_twice(kind: Kind, test: &str, moments: usize, spacing: u32) {
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let Some(relay) = Relay::start(test) else { return };
    let Some(broker) = Broker::start(kind, test) else { return };
    let secs = 24 + spacing * moments as u32;
    let made = TestStream { size: (320, 180), pictures: secs * 30, ..TestStream::default() };
    let source = made.kept("mp4");
    let dir = tempfile::tempdir().unwrap();
    let (host, store) = (dir.path().join("host"), dir.path().join("store"));
    let mut all = Deployment::new(dir.path(), &broker);
    all.env.extend(SETTINGS.map(|(key, value)| (key, value.to_owned())));
    all.env.insert("CLIPCORE__MEDIA__GIVE_UP", "6".to_owned());
    // Long enough for a worker to be started again, however busy the machine is.
    all.env.insert("CLIPCORE__SHARED__WORKER__CLAIM", "8".to_owned());
    all.named = true;
    all.env.insert("CLIPCORE__SINKS__OBJECT_STORE__URL", store.to_str().unwrap().to_owned());

    // Both on one machine, with one folder.
    let mut worker = Some(all.worker(0, "host", &broker));
    let mut deliverer = Some(all.deliverer("host"));
    let _publisher = Publisher::start(&source, &relay.url(STREAM));
    let path = format!("/v1/streams/{STREAM}");
    all.post(&path, "PUT", &json!({"inputs": [relay.url(STREAM)]}).to_string());
    let reach = |worker: &Option<Process>, secs: f64| {
        let said = || worker.as_ref().map(Process::said).unwrap_or_default();
        until(PATIENCE, said, || recorded_until(&host).is_some_and(|end| end >= secs));
    };
    reach(&worker, 13.0);
    // Another host, which would record from then on what it took over.
    let _other = all.worker(1, "other", &broker);
    for moment in 0..moments {
        let at = recorded_until(&host).unwrap();
        all.post(&format!("{path}/markers"), "POST", &json!({"label": format!("m{moment}")}).to_string());
        let finished = files(&host.join("clips"), "mp4").len();
        let cutting = || !files(&host.join("clips"), "tmp").is_empty();
        let done = || files(&host.join("clips"), "mp4").len() > finished;
        match moment % KINDS {
            0 => sleep(Duration::from_millis(700 * (moment as u64 % 7))),
            3 => soon(|| cutting() || done()),
            1 | 2 => soon(done),
            _ => {}
        }
        if [0, 1, 3].contains(&(moment % KINDS)) {
            worker.take().unwrap().kill();
            worker = Some(all.worker(0, "host", &broker));
            all.killed("fuse");
        }
        if [1, 2].contains(&(moment % KINDS)) {
            deliverer.take().unwrap().kill();
            deliverer = Some(all.deliverer("host"));
            all.killed("deliver");
        }
        if moment % KINDS == 4 {
            all.kill_gateway();
            all.killed("gateway");
        }
        reach(&worker, at + f64::from(spacing));
    }

    let said = || {
        let said = [&worker, &deliverer].map(|process| process.as_ref().unwrap().said());
        format!("{}\n{:?}", said.join("\n"), clips(&host))
    };
    until(PATIENCE, said, || ready(&host).len() >= moments && files(&store, "mp4").len() >= moments);
    all.gateway().until_state(STREAM, "ended");
    let kills = all.kills.clone();
    let catalogue = all.gateway().get(&format!("/v1/clips?stream={STREAM}&limit=1000"))["items"].clone();

    program::assert_nothing_twice(&host);
    program::assert_nothing_pending(&host);
    let delivered = ready(&host);
    assert_eq!(delivered.len(), moments, "{delivered:#?}\n{}", said());
    let closed: Vec<Value> =
        lines(&host.join("moments.jsonl")).into_iter().filter(|m| m["state"] == "closed").collect();
    let of = |all: &[Value], key: &str| sorted(all.iter().map(|clip| clip[key].to_string()));
    assert_eq!(of(&delivered, "moment"), of(&closed, "id"), "each moment has one clip");
    let known = catalogue.as_array().unwrap();
    for key in ["id", "sha256", "bytes"] {
        assert_eq!(of(known, key), of(&delivered, key), "catalogue and sink differ in {key}");
    }
    assert!(known.iter().all(|clip| clip["state"] == "ready"), "{known:?}");
    let stored: BTreeMap<String, PathBuf> = files(&store, "mp4")
        .into_iter()
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    assert_eq!(stored.len(), files(&store, "mp4").len(), "a clip is stored twice");
    assert_eq!(files(&host.join("clips"), "mp4").len(), moments, "a clip was cut under two names");
    assert_eq!(recorded_until(&dir.path().join("other")), None, "the stream went where its recording is not");
    let mut whole = 0;
    for clip in &delivered {
        let path = &stored[clip["id"].as_str().unwrap()];
        let hash: String =
            Sha256::digest(fs::read(path).unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(clip["sha256"], hash, "{}", path.display());
        let read = reading::clip(path, &made);
        assert!(read.missing.is_empty() && read.wrong == 0 && read.worst_av_ms() <= 2.0, "{clip} {read:?}");
        let exact = clip["exact"] == true;
        assert!(exact || !program::reasons(clip).is_empty(), "inexact without a reason: {clip}");
        whole += usize::from(exact);
        if !exact {
            println!("asked {}, achieved {}: {}", clip["asked"], clip["achieved"], program::reasons(clip));
        }
    }
    println!(
        "{moments} moments, killed: {kills:?}; {whole} clips are exact, the others were cut short by a death"
    );
}

/// Waits for what does not last.
fn soon(reached: impl Fn() -> bool) {
    for _ in 0..15_000 {
        if reached() {
            return;
        }
        sleep(Duration::from_millis(1));
    }
}

fn sorted(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

/// All files under a folder with this extension.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}
