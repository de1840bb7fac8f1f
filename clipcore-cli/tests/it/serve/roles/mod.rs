//! Roles in processes of their own, over Redis or Kafka: whatever dies, what was acknowledged is found and delivered, once.

mod broker;
#[cfg(feature = "kafka")]
mod brokers;
mod clips;
mod deployment;
mod pools;
mod way;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use self::broker::{Broker, Kind};
use self::deployment::{Deployment, Process, lines_of, until};
use super::{chat, replayed, text, transitions};

/// Ways to fail, in turn: a worker, the gateway, the deliverer, the network between workers and server, the server.
const KINDS: usize = 5;

/// What a stream is told, and what is to be found in it.
struct Told {
    events: String,
    /// The events by twenties.
    batches: Vec<String>,
    expected: Vec<Value>,
}

impl Told {
    fn new(dir: &Path) -> Self {
        let file = dir.join("chat.jsonl");
        let events = chat(dir);
        std::fs::write(&file, &events).unwrap();
        let expected: Vec<Value> = transitions(&replayed(&file));
        assert!(expected.iter().filter(|m| m["state"] == "closed").count() > 1, "the test needs moments");
        let batches = events.lines().collect::<Vec<_>>().chunks(20).map(|chunk| chunk.join("\n")).collect();
        Self { events, batches, expected }
    }
}

fn nothing_is_lost(kind: Kind, test: &str, streams: usize, rounds: usize) {
    let Some(mut broker) = Broker::start(kind, test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let Told { events, batches, expected } = Told::new(dir.path());
    let mut all = Deployment::new(dir.path(), &broker);
    let data = |which: usize| format!("worker-{which}");
    let mut workers = [0, 1].map(|which| Some(all.worker(which, &data(which), &broker)));
    let mut deliverer = Some(all.deliverer("deliver"));
    let ids: Vec<String> = (0..streams).map(|i| format!("s{i}")).collect();
    for id in &ids {
        all.post(&format!("/v1/streams/{id}"), "PUT", r#"{"clock":"events"}"#);
    }
    let every = (batches.len() / (KINDS * rounds + 1)).max(1);
    for (i, batch) in batches.iter().enumerate() {
        for id in &ids {
            let batch = batch.replace("\"sim-0\"", &format!("\"{id}\""));
            all.post(&format!("/v1/streams/{id}/events"), "POST", &batch);
        }
        if i % every != every - 1 || i / every >= KINDS * rounds {
            continue;
        }
        let which = i / every / KINDS % 2;
        let role = match i / every % KINDS {
            0 => {
                // One and the other, in turn.
                workers[which].take().unwrap().kill();
                workers[which] = Some(all.worker(which, &data(which), &broker));
                "fuse"
            }
            1 => {
                all.kill_gateway();
                "gateway"
            }
            2 => {
                deliverer.take().unwrap().kill();
                deliverer = Some(all.deliverer("deliver"));
                "deliver"
            }
            3 => {
                // It lives on, and does not know that another has its streams; both write when the way is mended.
                for way in [0, 1].map(|which| broker.way_of(which)) {
                    way.cut();
                    sleep(broker.longer_than_a_claim());
                    way.mend();
                }
                "network"
            }
            _ => {
                broker.stop();
                sleep(Duration::from_millis(300));
                broker.resume();
                "server"
            }
        };
        all.killed(role);
    }
    for id in &ids {
        all.post(&format!("/v1/streams/{id}/end"), "POST", "");
    }
    let delivered = dir.path().join("deliver/moments.jsonl");
    let said = || {
        let workers = workers.iter().flatten().map(Process::said).collect::<Vec<_>>().join("\n");
        let count = |id: &String| lines_of(&delivered).matches(&format!("\"stream\":\"{id}\"")).count();
        let counts: Vec<usize> = ids.iter().map(count).collect();
        let deliverer = deliverer.as_ref().unwrap().said();
        format!("{workers}\n{deliverer}\n{counts:?} of {} transitions are delivered", expected.len())
    };
    until(Duration::from_secs(180), said, || {
        lines_of(&delivered).lines().count() >= streams * expected.len()
    });
    delivered_once(&lines_of(&delivered), &ids, &expected);
    // The gateway, which runs nothing, knows them all.
    let server = all.gateway();
    let closed = expected.iter().filter(|m| m["state"] == "closed").count();
    server.until("the catalog", |server| {
        let known = server.get(&format!("/v1/moments?stream={}&state=closed&limit=1000", ids[0]));
        known["items"].as_array().is_some_and(|items| items.len() == closed)
    });
    println!("{streams} streams, {} events each, killed: {:?}", events.lines().count(), all.kills);
}

/// What was delivered is what is expected of each stream, no more and no less.
fn delivered_once(delivered: &str, ids: &[String], expected: &[Value]) {
    let found: Vec<Value> = transitions(delivered);
    assert_eq!(found.len(), ids.len() * expected.len(), "nothing is delivered twice");
    for id in ids {
        let of_stream: Vec<&Value> = found.iter().filter(|m| m["stream"] == **id).collect();
        assert_eq!(of_stream.len(), expected.len(), "{id}");
        for (state, label) in [("closed", "start"), ("closed", "peak"), ("dropped", "start")] {
            let times = |all: &mut dyn Iterator<Item = &Value>| {
                let mut times: Vec<String> =
                    all.filter(|m| m["state"] == state).map(|m| m[label].to_string()).collect();
                times.sort();
                times
            };
            assert_eq!(
                times(&mut of_stream.iter().copied()),
                times(&mut expected.iter()),
                "{id}: {state} {label}"
            );
        }
    }
}

#[test]
fn gateway_workers_and_deliveries_in_processes_of_their_own_lose_nothing() {
    nothing_is_lost(Kind::Redis, "roles over Redis", 2, 1);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn many_kills_of_every_role_lose_nothing() {
    nothing_is_lost(Kind::Redis, "roles over Redis, many times", 8, 20);
}

#[test]
#[ignore = "makes network namespaces, takes minutes: make soak"]
fn cables_that_are_pulled_lose_nothing() {
    nothing_is_lost(Kind::RedisOverNamespaces, "roles in network namespaces", 4, 20);
}

#[cfg(feature = "kafka")]
#[test]
fn gateway_workers_and_deliveries_lose_nothing_over_kafka() {
    nothing_is_lost(Kind::Kafka, "roles over Kafka", 2, 1);
}

#[cfg(feature = "kafka")]
#[test]
#[ignore = "takes minutes: make soak"]
fn many_kills_of_every_role_lose_nothing_over_kafka() {
    nothing_is_lost(Kind::Kafka, "roles over Kafka, many times", 4, 20);
}

#[cfg(feature = "kafka")]
#[test]
#[ignore = "takes minutes: make soak"]
fn brokers_that_die_in_turn_lose_nothing() {
    brokers::each_dies_in_turn("three brokers", 7);
}

#[test]
fn clips_outlive_whoever_records_cuts_and_delivers_them() {
    clips::none_is_lost_and_none_cut_twice(Kind::Redis, "clips over Redis", 3, 17);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn clips_outlive_many_deaths() {
    clips::none_is_lost_and_none_cut_twice(Kind::Redis, "clips over Redis, many times", 25, 22);
}

#[cfg(feature = "kafka")]
#[test]
#[ignore = "takes minutes: make soak"]
fn clips_outlive_many_deaths_over_kafka() {
    clips::none_is_lost_and_none_cut_twice(Kind::Kafka, "clips over Kafka, many times", 15, 22);
}

#[test]
fn detectors_in_processes_of_their_own_find_what_they_would_find_beside_the_recorder() {
    pools::a_file_is_heard_the_same_apart(Kind::Redis, "a pool of detectors over Redis");
}

#[cfg(feature = "kafka")]
#[test]
#[ignore = "makes many clients of Kafka: make soak"]
fn detectors_apart_find_the_same_over_kafka() {
    pools::a_file_is_heard_the_same_apart(Kind::Kafka, "a pool of detectors over Kafka");
}

#[test]
#[ignore = "takes minutes: make soak"]
fn a_live_stream_is_heard_whatever_detectors_die() {
    pools::a_live_stream_is_heard_whatever_dies(Kind::Redis, "a pool that dies often", 20);
}

#[test]
fn a_role_alone_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let refused = super::clipcore(&["serve", "--role", "fuse", "--data", &text(dir.path())]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("shared.url") && said.contains("Redis"), "{said}");
}

#[test]
fn what_is_no_pool_is_refused_with_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    for (pools, says) in [
        ("[\"face\", \"chat_burst\"]", "\"chat_burst\", which cannot run apart"),
        ("[\"face\"]", "shared.url"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.args(["serve", "--data", &text(dir.path())]).env("CLIPCORE__SHARED__POOLS__GPU", pools);
        let refused = command.output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[cfg(not(feature = "kafka"))]
#[test]
fn without_kafka_it_says_how_it_is_built_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_clipcore"));
    command.args(["serve", "--role", "fuse", "--data", &text(dir.path())]);
    let refused = command.env("CLIPCORE__SHARED__URL", "kafka://localhost").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("built without Kafka") && said.contains("--features kafka"), "{said}");
}
