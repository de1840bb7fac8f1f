//! `clipcore serve`: what a person sees who runs it and kills it.

mod edit;
mod log;
mod published;
mod roles;
mod server;
mod slow;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use server::Server;

use crate::support::programs::require;
use crate::support::stream::TestStream;

fn clipcore(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clipcore")).args(args).output().expect("clipcore starts")
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Chat of a simulated stream, a line each.
fn chat(dir: &Path) -> String {
    let out = text(&dir.join("sim"));
    let made = clipcore(&["simulate", "--out", &out, "--hours", "0.3", "--seed", "3", "--quiet"]);
    assert!(made.status.success(), "{made:?}");
    let packed = std::fs::File::open(dir.join("sim/sim-0.jsonl.gz")).unwrap();
    let mut lines = String::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut lines).unwrap();
    lines
}

fn replayed(input: &Path) -> String {
    let replayed = clipcore(&["replay", &text(input), "--consent", "chat_text", "--quiet"]);
    assert!(replayed.status.success(), "{replayed:?}");
    String::from_utf8(replayed.stdout).unwrap()
}

/// The transitions that count: those that people get, by id and revision.
fn transitions(lines: &str) -> Vec<Value> {
    let mut all: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    all.sort_by_key(|m| (m["id"].to_string(), m["rev"].as_u64()));
    all
}

/// Posts a stream's chat to a server that is killed so many times meanwhile, each time by an instant later after an answer.
fn killed_while_events_are_posted(kills: usize) {
    let dir = tempfile::tempdir().unwrap();
    let lines = chat(dir.path());
    let file = dir.path().join("chat.jsonl");
    std::fs::write(&file, &lines).unwrap();
    let batches: Vec<String> =
        lines.lines().collect::<Vec<_>>().chunks(20).map(|chunk| chunk.join("\n")).collect();
    let data = dir.path().join("data");

    let mut next = 0;
    for round in 1..=kills + 1 {
        let last = batches.len() * round / (kills + 1);
        let server = Server::start(&data, &["--consent", "chat_text"]);
        if next == 0 {
            let (status, said) = server.ask("PUT", "/v1/streams/sim-0", r#"{"clock":"events"}"#);
            assert_eq!(status, 200, "{said}");
        }
        // The server dies while it is being talked to.
        let dying = AtomicBool::new(false);
        let from = next;
        std::thread::scope(|scope| {
            let poster = scope.spawn(|| {
                let mut sent = from;
                while sent < batches.len() {
                    if sent >= last {
                        dying.store(true, Ordering::SeqCst);
                    }
                    match server.try_ask("POST", "/v1/streams/sim-0/events", &batches[sent]) {
                        Some((202, _)) => sent += 1,
                        Some((status, said)) if !dying.load(Ordering::SeqCst) => panic!("{status} {said}"),
                        _ => break,
                    }
                }
                dying.store(true, Ordering::SeqCst);
                sent
            });
            if last < batches.len() {
                while !dying.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(1));
                }
                sleep(Duration::from_micros(700 * round as u64));
                crate::support::publisher::signal(server.id(), "KILL");
            }
            next = poster.join().unwrap();
        });
        if last == batches.len() {
            assert_eq!(server.ask("POST", "/v1/streams/sim-0/end", "").0, 202);
            server.until_state("sim-0", "ended");
            let items = server.get("/v1/moments?stream=sim-0&state=closed&limit=1000")["items"].clone();
            let closed = transitions(&replayed(&file)).into_iter().filter(|m| m["state"] == "closed").count();
            assert!(closed > 1, "the test needs moments");
            assert_eq!(items.as_array().unwrap().len(), closed);
            assert_eq!(server.end("TERM").code(), Some(0));
        } else {
            server.kill();
        }
    }
    let live = std::fs::read_to_string(data.join("moments.jsonl")).unwrap();
    assert_eq!(transitions(&live), transitions(&replayed(&file)), "what was posted is not what was found");
    assert_eq!(live, replayed(&data), "the log's replay differs");
    let log = std::fs::read_dir(data.join("log")).unwrap().flatten().filter(|e| e.path().is_dir());
    let written: String = log
        .flat_map(|part| std::fs::read_dir(part.path()).unwrap().flatten())
        .filter(|file| file.path().extension().is_some_and(|e| e == "log"))
        .map(|file| std::fs::read_to_string(file.path()).unwrap())
        .collect();
    let ids: Vec<Value> = written
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.splitn(4, ' ').nth(3)?).ok())
        .filter(|record| record["type"] == "chat.message")
        .map(|record| record["id"].clone())
        .collect();
    let unique: std::collections::HashSet<String> = ids.iter().map(Value::to_string).collect();
    assert_eq!(unique.len(), lines.lines().filter(|l| l.contains("chat.message")).count());
    println!("{} events logged, {} of them twice", ids.len(), ids.len() - unique.len());
    assert!(!written.contains("\"user\":\"u71\""), "users are pseudonyms");
}

#[test]
fn events_that_were_acknowledged_outlive_kill_9_and_give_the_moments_of_their_replay() {
    killed_while_events_are_posted(2);
}

#[test]
#[ignore = "a minute: make soak"]
fn events_that_were_acknowledged_outlive_kill_9_many_times() {
    killed_while_events_are_posted(20);
}

#[test]
fn a_video_becomes_a_clip_that_can_be_fetched_in_ranges() {
    if !require("a_video_becomes_a_clip_that_can_be_fetched_in_ranges", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = TestStream { size: (320, 180), pictures: 40 * 30, ..TestStream::default() }.kept("mp4");
    let server = Server::start_with(
        &dir.path().join("data"),
        &[],
        &[("CLIPCORE__DETECTORS__OFF", r#"["loudness","audio_tagger"]"#)],
    );
    let input = json!({"inputs": [text(&source)]}).to_string();
    let (status, said) = server.ask("PUT", "/v1/streams/other", r#"{"inputs":["no/such.mp4"]}"#);
    assert!(status == 422 && said["detail"].as_str().unwrap().contains("no such file"), "{said}");
    // Asked for before there is a picture: an instant of the stream that is still to come.
    assert_eq!(server.ask("POST", "/v1/streams/show/markers", r#"{"label":"ace","at":15}"#).0, 202);
    let (status, said) = server.ask("PUT", "/v1/streams/show", &input);
    assert_eq!(status, 200, "{said}");
    server.until_state("show", "ended");
    let clips = server.get("/v1/clips?stream=show&state=ready");
    let Some(clip) = clips["items"].get(0) else {
        panic!("no clip: {} {}", server.get("/v1/streams/show"), server.said())
    };
    let id = clip["id"].as_str().unwrap();
    let whole = ureq::get(format!("{}/v1/clips/{id}/media", server.url)).call().unwrap();
    assert_eq!(whole.headers()["content-type"], "video/mp4");
    let bytes = whole.into_body().read_to_vec().unwrap();
    assert_eq!(bytes.len() as u64, clip["bytes"].as_u64().unwrap());
    let part = ureq::get(format!("{}/v1/clips/{id}/media", server.url))
        .header("range", "bytes=4-11")
        .call()
        .unwrap();
    assert_eq!(part.status().as_u16(), 206);
    assert_eq!(part.into_body().read_to_vec().unwrap(), bytes[4..12]);
    let (status, said) = server.ask("POST", &format!("/v1/clips/{id}/feedback"), r#"{"verdict":"approved"}"#);
    assert_eq!(status, 201, "{said}");
    let moment = clip["moment"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/moments/{moment}"))["feedback"][0]["verdict"], "approved");
    let verdicts = std::fs::read_to_string(dir.path().join("data/feedback.jsonl")).unwrap();
    assert!(verdicts.contains(moment), "{verdicts}");
    assert_eq!(server.end("INT").code(), Some(130));
}

#[test]
fn a_server_that_others_can_reach_needs_tokens_and_knows_them_by_their_hash() {
    let dir = tempfile::tempdir().unwrap();
    let data = text(dir.path());
    let refused = clipcore(&["serve", "--listen", "0.0.0.0:0", "--data", &data]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("no tokens") && said.contains("serve token"), "{said}");

    let made = clipcore(&["serve", "token", "bot", "--scope", "ingest", "--data", &data, "--quiet"]);
    assert!(made.status.success(), "{made:?}");
    let secret = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(!std::fs::read_to_string(dir.path().join("tokens.jsonl")).unwrap().contains(&secret));
    let server = Server::start(dir.path(), &[]);
    let event = r#"{"type":"marker","data":{}}"#;
    assert_eq!(server.ask("POST", "/v1/streams/s/events", event).0, 401);
    let post = |path: &str| {
        ureq::post(format!("{}{path}", server.url))
            .config()
            .http_status_as_error(false)
            .build()
            .header("authorization", format!("Bearer {secret}"))
            .send(event)
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(post("/v1/streams/s/events"), 202);
    assert_eq!(post("/v1/streams/s/end"), 403, "it may send, not end");
    assert_eq!(server.end("TERM").code(), Some(0));
    let unknown = clipcore(&["serve", "token", "bot", "--scope", "everything", "--data", &data]);
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("ingest, read and admin"));
}

#[test]
fn snapshots_of_a_smile_are_seen_with_consent_and_only_then() {
    if !require("snapshots_of_a_smile_are_seen_with_consent_and_only_then", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    std::fs::create_dir(&models).unwrap();
    let video = dir.path().join("clip.mp4");
    crate::faces::clip(&video);
    let mut set = crate::faces::own_models(&models);
    set.push(("CLIPCORE__MODELS__DIR", text(&models)));
    set.push(("CLIPCORE__DETECTORS__OFF", r#"["audio_tagger"]"#.to_owned()));
    let set: Vec<(&str, &str)> = set.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let server = Server::start_with(&dir.path().join("data"), &[], &set);
    let send = || {
        let to = format!("{}/v1/streams/show/frames", server.url);
        clipcore(&["snapshots", &text(&video), "--fps", "2", "--width", "320", "--timeline", "--to", &to])
    };
    let refused = send();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("consent") && said.contains("face"), "{said}");
    let (status, said) = server.ask("PUT", "/v1/streams/show", r#"{"consent":"face","clock":"events"}"#);
    assert_eq!(status, 200, "{said}");
    let sent = send();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    server.until("signals", |s| !s.get("/v1/streams/show/signals")["items"].as_array().unwrap().is_empty());
    let signals = server.get("/v1/streams/show/signals?detector=face");
    let signals = signals["items"].as_array().unwrap();
    assert!(signals.iter().any(|signal| signal["label"] == "smile"), "{signals:?}");
    for signal in signals {
        let onset = signal["onset"].as_f64().unwrap();
        assert!((34.0..40.0).contains(&onset), "{signal}");
    }
    let (status, said) = server.ask("POST", "/v1/streams/show/frames?at=60", "no picture");
    assert!(status == 400 && said["detail"].as_str().unwrap().contains("no JPEG"), "{said}");
    assert_eq!(server.end("TERM").code(), Some(0));
}
