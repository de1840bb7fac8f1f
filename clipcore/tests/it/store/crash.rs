//! `kill -9` at random instants: what was acknowledged is there once and in order, whatever was under way.
//!
//! The child is the same test of this binary again, told by its environment to do the work; it says on standard
//! error what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use clipcore::conformance::log::marker;
use clipcore::conformance::sink::moment;
use clipcore::event::Kinds;
use clipcore::fusion::Moment;
use clipcore::log::{Checkpoint, EventLog, FileLog, FileLogConfig, Record};
use clipcore::sink::{ClipSink, JsonlSink};

use super::Random;

const DIR: &str = "CLIPCORE_TEST_CRASH_DIR";
const ROUND: &str = "CLIPCORE_TEST_CRASH_ROUND";
const TASKS: u64 = 8;

/// Where the child works and in which round; `None` where the test was not started as a child.
fn child() -> Option<(PathBuf, u64)> {
    Some((std::env::var_os(DIR)?.into(), std::env::var(ROUND).ok()?.parse().ok()?))
}

fn say(line: String) {
    // One write, so that lines of several threads do not mix and a kill cannot tear one.
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Starts the test `name` as a child, kills it at a random instant after its first words, gives what it said.
fn kill_at_random(name: &str, dir: &Path, round: u64, random: &mut Random) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--include-ignored", "--exact", name, "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (started, first) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        for line in stderr.lines() {
            said.push(line.unwrap());
            let _ = started.send(());
        }
        said
    });
    assert!(first.recv().is_ok(), "the child ended without a word: {:?}", reader.join());
    std::thread::sleep(Duration::from_micros(random.next() % 150_000));
    child.kill().unwrap();
    assert!(child.wait().unwrap().code().is_none(), "the child must die by the signal");
    reader.join().unwrap()
}

fn log_config() -> FileLogConfig {
    // Small segments, so that kills hit rotations too.
    FileLogConfig { segment_bytes: 4096, ..FileLogConfig::default() }
}

async fn append_until_killed(dir: PathBuf, round: u64) {
    let log = Arc::new(FileLog::open(dir, log_config(), Kinds::builtin()).await.unwrap());
    for task in 0..TASKS {
        let log = log.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let id = format!("{round}-{task}-{n:06}");
                let offset = log.append(0, &[marker(&id)]).await.unwrap();
                say(format!("record {id} {offset}"));
            }
        });
    }
    let lease = log.acquire(0, "child").await.unwrap();
    for n in round * 1_000_000.. {
        let checkpoint = Checkpoint { next: n, state: serde_json::json!(n) };
        log.checkpoint(&lease, "consumer", &checkpoint).await.unwrap();
        say(format!("checkpoint {n}"));
    }
}

#[tokio::test]
async fn log_keeps_what_it_acknowledged() {
    log_rounds("store::crash::log_keeps_what_it_acknowledged", 10).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn log_keeps_what_it_acknowledged_for_long() {
    log_rounds("store::crash::log_keeps_what_it_acknowledged_for_long", 200).await;
}

async fn log_rounds(name: &str, rounds: u64) {
    if let Some((dir, round)) = child() {
        return append_until_killed(dir, round).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(u64::from(std::process::id()));
    println!("seed {}", random.0);
    let mut acknowledged = BTreeMap::new();
    let mut checkpoint = 0;
    for round in 0..rounds {
        for line in kill_at_random(name, dir.path(), round, &mut random) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["record", id, offset] => {
                    acknowledged.insert(id.to_owned(), offset.parse::<u64>().unwrap());
                }
                ["checkpoint", n] => checkpoint = n.parse().unwrap(),
                _ => panic!("the child said {line:?}"),
            }
        }
        let log = FileLog::open(dir.path(), log_config(), Kinds::builtin()).await.unwrap();
        let mut found = BTreeMap::new();
        let mut last = BTreeMap::new();
        let mut next = 0;
        loop {
            let records = log.read(0, next, 1000).await.unwrap();
            let Some((end, _)) = records.last() else { break };
            next = end + 1;
            for (offset, record) in records {
                let Record::Event(event) = record else { panic!("{record:?}") };
                let id = event.header().id.to_string();
                let (task, _) = id.rsplit_once('-').unwrap();
                if let Some(before) = last.insert(task.to_owned(), id.clone()) {
                    assert!(before < id, "{id} comes after {before}");
                }
                assert_eq!(found.insert(id.clone(), offset), None, "{id} is there twice");
            }
        }
        for (id, offset) in &acknowledged {
            assert_eq!(found.get(id), Some(offset), "round {round}: acknowledged record {id} is gone");
        }
        let saved = log.last_checkpoint(0, "consumer").await.unwrap();
        if let Some(saved) = saved {
            assert!(saved.next >= checkpoint, "checkpoint {checkpoint} was acknowledged, {saved:?} is there");
            assert_eq!(saved.state, serde_json::json!(saved.next), "state and offset disagree");
        } else {
            assert_eq!(checkpoint, 0, "the checkpoint is gone");
        }
    }
    println!("{} records were acknowledged and are there", acknowledged.len());
    assert!(acknowledged.len() as u64 > rounds);
}

async fn deliver_until_killed(dir: PathBuf, round: u64) {
    let sink = Arc::new(JsonlSink::open(dir).await.unwrap());
    let tasks = (0..TASKS).map(|task| {
        let sink = sink.clone();
        tokio::spawn(async move {
            // After a restart a pipeline delivers again what it has no receipt for.
            let again = round.checked_sub(1).into_iter().flat_map(|before| (0..20).map(move |n| (before, n)));
            for (round, n) in again.chain((0..).map(|n| (round, n))) {
                let id = format!("{round}-{task}-{n:06}");
                for rev in 1..=3 {
                    sink.deliver(&moment(&format!("s{task}"), &id, rev)).await.unwrap();
                    say(format!("{id} {rev}"));
                }
            }
        })
    });
    futures::future::join_all(tasks.collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn jsonl_keeps_what_it_acknowledged() {
    jsonl_rounds("store::crash::jsonl_keeps_what_it_acknowledged", 10).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn jsonl_keeps_what_it_acknowledged_for_long() {
    jsonl_rounds("store::crash::jsonl_keeps_what_it_acknowledged_for_long", 200).await;
}

async fn jsonl_rounds(name: &str, rounds: u64) {
    if let Some((dir, round)) = child() {
        return deliver_until_killed(dir, round).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(u64::from(std::process::id()));
    println!("seed {}", random.0);
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        for line in kill_at_random(name, dir.path(), round, &mut random) {
            let (id, rev) = line.split_once(' ').unwrap();
            acknowledged.insert((id.to_owned(), rev.parse::<u32>().unwrap()));
        }
        // Opening mends a torn line; after that every line is whole.
        drop(JsonlSink::open(dir.path()).await.unwrap());
        let text = std::fs::read_to_string(dir.path().join("moments.jsonl")).unwrap();
        let mut found = BTreeSet::new();
        let mut last = BTreeMap::new();
        for line in text.lines() {
            let moment: Moment = serde_json::from_str(line).unwrap();
            let key = (moment.id.to_string(), moment.rev);
            let (task, _) = key.0.rsplit_once('-').unwrap();
            if let Some(before) = last.insert(task.to_owned(), key.clone()) {
                assert!(before < key, "{key:?} comes after {before:?}");
            }
            assert!(found.insert(key.clone()), "{key:?} is there twice");
        }
        let gone: Vec<_> = acknowledged.difference(&found).collect();
        assert!(gone.is_empty(), "round {round}: acknowledged lines are gone: {gone:?}");
    }
    println!("{} lines were acknowledged and are there", acknowledged.len());
    assert!(acknowledged.len() as u64 > rounds);
}
