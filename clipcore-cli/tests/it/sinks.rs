//! Sinks on servers: what a run delivers there, through an outage too, and what it says where it cannot.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{Clipcore, clips, lines, markers, ready, recorded_until, secs};
use crate::support::programs::require;
use crate::support::publisher::Publisher;
use crate::support::redis::Redis;
use crate::support::relay::Relay;
use crate::support::server::free_port;
use crate::support::stream::TestStream;

/// The JSON of all entries of a stream.
fn entries(redis: &Redis, key: &str) -> Vec<Value> {
    let text = redis.cli(&["XRANGE", key, "-", "+"]);
    let events = text.lines().filter(|line| line.starts_with('{'));
    events.map(|line| serde_json::from_str::<Value>(line).unwrap()["data"].take()).collect()
}

fn keys(items: &[Value], key: &str) -> Vec<(String, String)> {
    items.iter().map(|item| (item["id"].to_string(), item[key].to_string())).collect()
}

#[test]
fn everything_arrives_once_through_an_outage() {
    let test = "everything_arrives_once_through_an_outage";
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let Some(mut redis) = Redis::start(test) else { return };
    let made = TestStream { size: (320, 180), pictures: 60 * 30, ..TestStream::default() };
    let source = made.kept("mp4");
    let dir = tempfile::tempdir().unwrap();
    let chat = markers(dir.path(), &[16.0, 30.5, 44.0]);
    let url = redis.url();
    let set = [
        ("CLIPCORE__SINKS__REDIS__URL", &*url),
        ("CLIPCORE__SINKS__REDIS__TIMEOUT", "1"),
        ("CLIPCORE__SINKS__RQ__URL", &*url),
        ("CLIPCORE__SINKS__RQ__TIMEOUT", "1"),
        ("CLIPCORE__SINKS__RETRY__MAX", "1"),
    ];
    let mut program = Clipcore::start(source.to_str().unwrap(), &dir.path().join("out"), Some(&chat), &set);
    program.until_soon("a first entry", |_| redis.cli(&["XLEN", "{clipcore:show}:moments"]) != "0");
    redis.stop();
    program.until_ready(3);
    program.until("word of the outage", |p| p.said().contains("still trying to deliver"));
    redis.resume();
    let before = entries(&redis, "{clipcore:show}:moments").len();
    assert_eq!(program.wait().code(), Some(0), "{}", program.said());

    let out = &program.out;
    let moments = entries(&redis, "{clipcore:show}:moments");
    assert!(before < moments.len(), "nothing was left to deliver after the outage");
    assert_eq!(keys(&moments, "rev"), keys(&lines(&out.join("moments.jsonl")), "rev"));
    assert_eq!(keys(&entries(&redis, "{clipcore:show}:clips"), "state"), keys(&clips(out), "state"));
    let jobs = redis.cli(&["LRANGE", "rq:queue:clips", "0", "-1"]);
    let jobs: Vec<&str> = jobs.lines().collect();
    let expected: HashSet<String> =
        ready(out).iter().map(|clip| format!("clipcore-{}", clip["id"].as_str().unwrap())).collect();
    assert_eq!((jobs.len(), expected.len()), (3, 3));
    assert!(jobs.iter().all(|job| expected.contains(*job)), "{jobs:?}");
}

fn clipcore(args: &[&str], out: &Path, url: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
    command.args(args).arg("--out").arg(out).env("CLIPCORE__SINKS__REDIS__URL", url);
    let out = command.env("CLIPCORE__SINKS__REDIS__TIMEOUT", "0.5").output().unwrap();
    (
        out.status.code(),
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
    )
}

#[test]
fn a_server_that_is_not_there_is_said_before_anything_is_done() {
    let test = "a_server_that_is_not_there_is_said_before_anything_is_done";
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let source = TestStream { size: (320, 180), pictures: 60 * 30, ..TestStream::default() }.kept("mp4");
    let run = ["run", source.to_str().unwrap()];
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let url = format!("redis://:hush@127.0.0.1:{port}");
    let (code, said) = clipcore(&run, dir.path(), &url);
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains(&port.to_string()) && said.contains("redis-cli") && said.contains("sinks.redis"),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    assert!(!dir.path().join("recordings").exists() && !dir.path().join("moments.jsonl").exists());
    let (code, said) = clipcore(&["doctor"], dir.path(), &url);
    assert_eq!(code, Some(2), "{said}");
    let line = said.lines().find(|line| line.contains("sink redis")).unwrap();
    assert!(line.contains("MISSING") && line.contains(&port.to_string()), "{said}");

    let (code, said) = clipcore(&run, dir.path(), "http://localhost");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("CLIPCORE__SINKS__REDIS__URL") && said.contains("redis://localhost"), "{said}");

    let Some(redis) = Redis::start_with(test, &["--requirepass", "other"]) else { return };
    let (code, said) = clipcore(&run, dir.path(), &redis.url());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("refused user or password"), "{said}");
    let good = format!("redis://:other@127.0.0.1:{}", redis.port());
    let (_, said) = clipcore(&["doctor"], dir.path(), &good);
    let line = said.lines().find(|line| line.contains("sink redis")).unwrap();
    assert!(line.starts_with("ok") && line.contains("its server answers"), "{said}");
}

/// The scaffold people have: a relay publishes on `live:{stream_id}`, workers wait for jobs.
#[test]
fn what_a_relay_publishes_makes_a_clip_and_its_job() {
    let test = "what_a_relay_publishes_makes_a_clip_and_its_job";
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let Some(redis) = Redis::start(test) else { return };
    let Some(relay) = Relay::start(test) else { return };
    let source = TestStream { size: (320, 180), pictures: 60 * 30, ..TestStream::default() }.kept("mp4");
    let _publisher = Publisher::start(&source, &relay.url("show"));
    let dir = tempfile::tempdir().unwrap();
    let url = redis.url();
    let set = [("CLIPCORE__SOURCES__REDIS__URL", &*url), ("CLIPCORE__SINKS__RQ__URL", &*url)];
    let mut program = Clipcore::start(&relay.url("show"), &dir.path().join("out"), None, &set);
    program.until_recorded(6.0);
    assert_eq!(redis.cli(&["PUBLISH", "live:show", r#"{"type":"marker","data":{"label":"ace"}}"#]), "1");
    let published = recorded_until(&program.out).unwrap();
    program.until_ready(1);
    program.until("its job", |_| redis.cli(&["LLEN", "rq:queue:clips"]) == "1");
    let clip = &ready(&program.out)[0];
    let (start, end) = (secs(clip, "asked", "start"), secs(clip, "asked", "end"));
    // The relay and the recorder are a little behind what was published.
    assert!(start < published && published < end + 1.0, "published at {published} s: {clip}");
    let data = redis.cli(&["HGET", &format!("rq:job:clipcore-{}", clip["id"].as_str().unwrap()), "meta"]);
    assert!(data.contains("\"stream\":\"show\""), "{data}");
    assert_eq!(program.interrupt(), Some(130));
}
