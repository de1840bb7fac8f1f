//! Streams and viewers that are to be gone, while everything runs.

use std::path::Path;
use std::time::Duration;

use clipcore::Consent;
use clipcore::gateway::{Scope, Token};
use clipcore::privacy::{DataFolder, audit_verify};
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::server::{Server, Settings, answer, marker};

/// Files under `dir` whose name or content has `text` in it, without the list of what was done.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "audit.jsonl" {
            continue;
        }
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path.display().to_string());
        }
        if name.contains(text) {
            found.push(name);
        }
    }
    found
}

fn chat(id: u32, user: &str, words: &str) -> String {
    json!({"type": "chat.message", "id": format!("{user}-{id}"), "source": "twitch:irc",
        "data": {"user": user, "text": words}})
    .to_string()
}

async fn delete(server: &Server, path: &str) -> (u16, Value) {
    answer(server.ask(Method::DELETE, path).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_is_erased_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let settings = || Settings { consent: Consent::ALL, ..Settings::default() };
    let server = Server::start(dir.path(), settings()).await;
    server.stream_with("lasting", &[20, 90]).await;
    let whole = server.get("/v1/moments?stream=lasting").await.1;
    server.stream_with("vanishing.ended", &[20, 90]).await;
    // Live, with something said in each.
    for stream in ["vanishing", "lasting.live"] {
        for n in 0..20 {
            let (status, said) =
                server.post(&format!("/v1/streams/{stream}/events"), chat(n, "ann", "zanzibar")).await;
            assert_eq!(status, 202, "{said}");
        }
        assert_eq!(server.post(&format!("/v1/streams/{stream}/events"), marker(1)).await.0, 202);
    }
    for stream in ["vanishing", "lasting.live"] {
        while server.logged(stream, "chat.message").await < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let feed = server.ask(Method::GET, "/v1/feed?after=0&stream=vanishing").send().await.unwrap();
    let url = |path: &str| format!("ws://{}{path}", server.address);
    let (mut other, _) =
        tokio_tungstenite::connect_async(url("/v1/feed/ws?stream=lasting.live")).await.unwrap();
    let (mut ingest, _) = tokio_tungstenite::connect_async(url("/v1/streams/vanishing/ws")).await.unwrap();

    let (status, erased) = delete(&server, "/v1/streams/vanishing?why=asked%20for").await;
    assert_eq!(status, 200, "{erased}");
    assert!(
        erased["records"].as_u64().unwrap() >= 42 && erased["checkpoints"].as_u64().unwrap() >= 1,
        "{erased}"
    );
    assert!(erased["keys"].as_u64().unwrap() >= 1 && erased["files"].as_u64().unwrap() >= 1, "{erased}");
    let soon = Duration::from_secs(5);
    tokio::time::timeout(soon, feed.text()).await.expect("the feed ends").unwrap();
    let closed = loop {
        match tokio::time::timeout(soon, ingest.next()).await.expect("the socket closes").unwrap().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            _ => continue,
        }
    };
    assert!(closed.reason.contains("erased"), "{closed:?}");
    while let Ok(said) = tokio::time::timeout(Duration::from_millis(200), other.next()).await {
        assert!(!matches!(said, Some(Ok(Message::Close(_))) | None), "another stream's feed stays open");
    }
    other.send(Message::Close(None)).await.unwrap();
    let (status, erased) = delete(&server, "/v1/streams/vanishing.ended").await;
    assert!(status == 200 && erased["lines"].as_u64().unwrap() >= 4, "{erased}");
    assert_eq!(holding(dir.path(), "vanishing"), Vec::<String>::new());

    // Doing it again changes nothing, and the rest is as it was.
    let nothing = json!({"records": 0, "checkpoints": 0, "lines": 0, "files": 0, "keys": 0});
    assert_eq!(delete(&server, "/v1/streams/vanishing").await, (200, nothing.clone()));
    assert_eq!(delete(&server, "/v1/streams/never.there").await, (200, nothing));
    assert_eq!(server.get("/v1/streams/vanishing").await.0, 404);
    assert_eq!(server.get("/v1/moments?stream=lasting").await.1, whole);
    assert_eq!(server.post("/v1/streams/lasting.live/events", chat(20, "ann", "on")).await.0, 202);
    // The name is free: what comes now begins a stream.
    assert_eq!(server.post("/v1/streams/vanishing/events", chat(0, "ann", "again")).await.0, 202);
    server.end().await;

    let server = Server::start(dir.path(), settings()).await;
    assert_eq!(server.get("/v1/moments?stream=lasting").await.1, whole);
    for stream in ["vanishing", "lasting.live"] {
        assert_eq!(server.post(&format!("/v1/streams/{stream}/end"), "").await.0, 202);
        server.until_state(stream, "ended").await;
    }
    assert_eq!(server.logged("vanishing", "chat.message").await, 1, "as if it had never been there");
    assert_eq!(server.logged("lasting.live", "chat.message").await, 21);
    server.end().await;
    let path = DataFolder::audit_path(dir.path());
    assert_eq!(audit_verify(&path).unwrap().0, 4);
    let list = std::fs::read_to_string(path).unwrap();
    assert!(
        list.contains("stream vanishing") && list.contains("asked for") && list.contains("local"),
        "{list}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_taken_out_of_streams_that_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let settings = || Settings { consent: Consent::ALL, ..Settings::default() };
    let server = Server::start(dir.path(), settings()).await;
    for stream in ["one", "two"] {
        for n in 0..10 {
            for (user, words) in [("ann", "zanzibar"), ("bob", "quixotic")] {
                if (stream, user) != ("two", "ann") {
                    let event = chat(n, user, words);
                    assert_eq!(server.post(&format!("/v1/streams/{stream}/events"), event).await.0, 202);
                }
            }
        }
    }
    let (_, page) = server.get("/v1/streams/one/events?type=chat.message&limit=100").await;
    let pseudonym = page["items"][0]["data"]["user"].as_str().unwrap_or("none yet").to_owned();
    let (status, erased) = delete(&server, "/v1/subjects/kick/ann").await;
    assert!(status == 200 && erased["records"] == 0, "another ann is meant: {erased}");
    let (status, erased) = delete(&server, "/v1/subjects/twitch/ann").await;
    assert!(status == 200 && erased["records"].as_u64().unwrap() >= 10, "{erased}");
    for text in ["zanzibar", "ann-3", &pseudonym] {
        assert_eq!(holding(dir.path(), text), Vec::<String>::new(), "{text}");
    }
    assert!(!holding(dir.path(), "quixotic").is_empty());
    let (_, again) = delete(&server, "/v1/subjects/twitch/ann").await;
    assert_eq!((&again["records"], &again["checkpoints"]), (&json!(0), &json!(0)), "{again}");
    for stream in ["one", "two"] {
        assert_eq!(server.get(&format!("/v1/streams/{stream}")).await.1["state"], "live");
        assert_eq!(server.post(&format!("/v1/streams/{stream}/events"), chat(10, "bob", "on")).await.0, 202);
        assert_eq!(server.post(&format!("/v1/streams/{stream}/end"), "").await.0, 202);
        server.until_state(stream, "ended").await;
    }
    assert_eq!(
        server.logged("one", "chat.message").await,
        21,
        "what was said is counted, without words and name"
    );
    let (status, said) = delete(&server, &format!("/v1/subjects/twitch/{}", "x".repeat(300))).await;
    assert!(status == 400 && said["detail"].as_str().unwrap().contains("256"), "{said}");
    server.end().await;
    assert_eq!(holding(dir.path(), "zanzibar"), Vec::<String>::new(), "nothing wrote it again");
    let list = std::fs::read_to_string(DataFolder::audit_path(dir.path())).unwrap();
    assert!(list.contains("a viewer") && !list.contains("ann"), "{list}");
}

#[tokio::test]
async fn only_who_may_change_what_runs_may_erase() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, token) = Token::generate("reader", vec![Scope::Read, Scope::Ingest]).unwrap();
    let mut server = Server::start(dir.path(), Settings { tokens: vec![token], ..Settings::default() }).await;
    for (token, status) in [(None, 401), (Some(secret), 403)] {
        server.token = token;
        for path in ["/v1/streams/s", "/v1/subjects/twitch/ann"] {
            assert_eq!(delete(&server, path).await.0, status, "{path}");
        }
    }
    server.end().await;
}
