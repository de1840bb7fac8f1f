//! Moments out, as they change.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;

use super::server::{Server, Settings};

/// Reads `count` events of an event stream: id, name and data.
async fn events(server: &Server, last: Option<&str>, count: usize) -> Vec<(String, String, Value)> {
    let mut request = server.ask(Method::GET, "/v1/feed?after=0");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut bytes, mut text, mut events) = (response.bytes_stream(), String::new(), Vec::new());
    while events.len() < count {
        let chunk =
            tokio::time::timeout(Duration::from_secs(10), bytes.next()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let member = |name: &str| {
                let line = event.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
                line.map(|value| value.trim_start().to_owned())
            };
            if let (Some(id), Some(name), Some(data)) = (member("id"), member("event"), member("data")) {
                events.push((id, name, serde_json::from_str(&data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    events.truncate(count);
    events
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    server.stream_with("a", &[20, 90]).await;
    let whole = server.catalog.feed(0, None, 1000).await.unwrap().len();
    assert!(whole >= 4);
    let mut seen = events(&server, None, 3).await;
    server.end().await;

    let server = Server::start(dir.path(), Settings::default()).await;
    server.stream_with("b", &[20, 90]).await;
    let whole = server.catalog.feed(0, None, 1000).await.unwrap();
    while seen.len() < whole.len() {
        let last = seen.last().unwrap().0.clone();
        let count = 2.min(whole.len() - seen.len());
        seen.extend(events(&server, Some(&last), count).await);
    }
    for (event, expected) in seen.iter().zip(&whole) {
        assert_eq!((event.0.as_str(), event.1.as_str()), (expected.seq.to_string().as_str(), "moment"));
        assert_eq!(event.2, serde_json::from_str::<Value>(expected.item.get()).unwrap());
    }
    server.end().await;
}

#[tokio::test]
async fn a_socket_tells_of_one_stream_as_it_happens() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let url = format!("ws://{}/v1/feed/ws?stream=b", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    server.stream_with("a", &[20]).await;
    server.stream_with("b", &[20]).await;
    let first = loop {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap();
        if let tokio_tungstenite::tungstenite::Message::Text(text) = message.unwrap().unwrap() {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    assert_eq!(
        (&first["kind"], &first["item"]["stream"]),
        (&Value::from("moment"), &Value::from("b")),
        "{first}"
    );
    // The server does not wait for readers that stay.
    tokio::time::timeout(Duration::from_secs(4), server.end()).await.expect("the end comes");
}
