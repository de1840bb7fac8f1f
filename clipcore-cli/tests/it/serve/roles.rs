//! Roles in processes of their own, over a Redis server: whatever dies, what was acknowledged is found and delivered, once.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::server::Server;
use super::{chat, replayed, text, transitions};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

/// A process without a listener; killed with its owner.
struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    fn start(dir: &Path, name: &str, role: &str, env: &HashMap<&str, String>) -> Self {
        let said = dir.join(format!("{name}.err"));
        let into = File::options().append(true).create(true).open(&said).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command
            .args(["serve", "--role", role, "--consent", "chat_text", "--data"])
            .arg(dir.join(name))
            .envs(env);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(into);
        Self { child: command.spawn().expect("clipcore starts"), said }
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().unwrap();
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A deployment: a gateway, two workers, a deliverer.
struct Deployment<'a> {
    dir: &'a Path,
    env: HashMap<&'static str, String>,
    gateway: Option<Server>,
    /// What has died, by role.
    kills: HashMap<&'static str, u32>,
}

impl Deployment<'_> {
    fn gateway(&mut self) -> &Server {
        let set: Vec<(&str, &str)> = self.env.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let args = ["--role", "gateway", "--consent", "chat_text"];
        self.gateway.get_or_insert_with(|| Server::start_with(&self.dir.join("gateway"), &args, &set))
    }

    fn process(&self, name: &str, role: &str) -> Process {
        Process::start(self.dir, name, role, &self.env)
    }

    /// A worker whose way to the server goes through `proxy`.
    fn worker(&self, which: usize, proxy: &Proxy) -> Process {
        let mut env = self.env.clone();
        env.insert("CLIPCORE__SHARED__URL", format!("redis://127.0.0.1:{}", proxy.port));
        Process::start(self.dir, &format!("worker-{which}"), "fuse", &env)
    }

    /// Posts until it is acknowledged, as a producer does.
    fn post(&mut self, path: &str, method: &str, body: &str) {
        for _ in 0..600 {
            match self.gateway().try_ask(method, path, body) {
                Some((200..=299, _)) => return,
                Some((503, _)) | None => sleep(Duration::from_millis(50)),
                Some((status, said)) => panic!("{status} {said}"),
            }
        }
        panic!("{path} is not answered: {}", self.gateway().said());
    }
}

fn until(limit: Duration, what: impl Fn() -> String, reached: impl Fn() -> bool) {
    let look = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    while !reached() {
        assert!(waited < limit, "it takes too long: {}", what());
        sleep(look);
        waited += look;
    }
}

fn lines_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Ways to fail, in turn: a worker, the gateway, the deliverer, the network between workers and Redis, Redis.
const KINDS: usize = 5;

fn nothing_is_lost(streams: usize, rounds: usize) {
    let Some(mut redis) = Redis::start("nothing_is_lost") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chat.jsonl");
    let events = chat(dir.path());
    std::fs::write(&file, &events).unwrap();
    let expected: Vec<Value> = transitions(&replayed(&file));
    assert!(expected.iter().filter(|m| m["state"] == "closed").count() > 1, "the test needs moments");
    let batches: Vec<String> =
        events.lines().collect::<Vec<_>>().chunks(20).map(|chunk| chunk.join("\n")).collect();
    let env = HashMap::from([
        ("CLIPCORE__SHARED__URL", redis.url()),
        ("CLIPCORE__SHARED__PARTITIONS", "4".to_owned()),
        ("CLIPCORE__SHARED__WORKER__CLAIM", "1.5".to_owned()),
    ]);
    let mut all = Deployment { dir: dir.path(), env, gateway: None, kills: HashMap::new() };
    let proxies = [Proxy::new(redis.port()), Proxy::new(redis.port())];
    let mut workers = [0, 1].map(|which| Some(all.worker(which, &proxies[which])));
    let mut deliverer = Some(all.process("deliver", "deliver"));
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
                // The one that has the partitions, and the one that waits, in turn.
                workers[which].take().unwrap().kill();
                workers[which] = Some(all.worker(which, &proxies[which]));
                "fuse"
            }
            1 => {
                all.gateway.take().unwrap().kill();
                "gateway"
            }
            2 => {
                deliverer.take().unwrap().kill();
                deliverer = Some(all.process("deliver", "deliver"));
                "deliver"
            }
            3 => {
                // It lives on, and does not know that another has its streams; both write when the way is mended.
                for proxy in &proxies {
                    proxy.refuse();
                    sleep(Duration::from_millis(2500));
                    proxy.mend();
                }
                "network"
            }
            _ => {
                redis.stop();
                sleep(Duration::from_millis(300));
                redis.resume();
                "redis"
            }
        };
        *all.kills.entry(role).or_default() += 1;
    }
    for id in &ids {
        all.post(&format!("/v1/streams/{id}/end"), "POST", "");
    }
    let delivered = dir.path().join("deliver/moments.jsonl");
    let said = || {
        let workers = workers.iter().flatten().map(Process::said).collect::<Vec<_>>().join("\n");
        format!("{}\n{workers}\n{}", all.gateway.as_ref().unwrap().said(), deliverer.as_ref().unwrap().said())
    };
    until(Duration::from_secs(120), said, || {
        lines_of(&delivered).lines().count() >= streams * expected.len()
    });
    let found: Vec<Value> = transitions(&lines_of(&delivered));
    assert_eq!(found.len(), streams * expected.len(), "nothing is delivered twice");
    for id in &ids {
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
    // The gateway, which runs nothing, knows them all.
    let server = all.gateway.as_ref().unwrap();
    let closed = expected.iter().filter(|m| m["state"] == "closed").count();
    server.until("the catalog", |server| {
        let known = server.get(&format!("/v1/moments?stream={}&state=closed&limit=1000", ids[0]));
        known["items"].as_array().is_some_and(|items| items.len() == closed)
    });
    println!("{streams} streams, {} events each, killed: {:?}", events.lines().count(), all.kills);
}

#[test]
fn gateway_workers_and_deliveries_in_processes_of_their_own_lose_nothing() {
    nothing_is_lost(2, 1);
}

#[test]
#[ignore = "takes minutes"]
fn many_kills_of_every_role_lose_nothing() {
    nothing_is_lost(8, 9);
}

#[test]
fn a_role_alone_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let refused = super::clipcore(&["serve", "--role", "fuse", "--data", &text(dir.path())]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("shared.url") && said.contains("Redis"), "{said}");
}
