//! Whoever is gone without a word: a socket that answers no ping.

use std::time::Duration;

use clipcore::gateway::GatewayConfig;
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

use super::hostile::handshake;
use super::server::{Server, Settings, marker};

const PING: u8 = 0x89;
const PATIENCE: Duration = Duration::from_secs(30);

fn often(every: u64) -> GatewayConfig {
    GatewayConfig { ping: Duration::from_millis(every), connections: 1, ..GatewayConfig::default() }
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_closed_and_gives_its_place_back() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { gateway: often(200), ..Settings::default() };
    let server = Server::start(dir.path(), settings).await;
    for path in ["/v1/streams/s/ws", "/v1/feed/ws"] {
        let (mut silent, head) = handshake(&server, path, "").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{path}: {head}");
        let mut said = Vec::new();
        let read = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut said)).await;
        assert!(read.is_ok_and(|read| read.is_ok()), "{path} stays open: {said:?}");
        assert_eq!(said.first(), Some(&PING), "{path} was asked");
        // The client has not closed its side: the place is free because the server let it go.
        let mut next = String::new();
        for _ in 0..500 {
            next = handshake(&server, path, "").await.1;
            if next.starts_with("HTTP/1.1 101") {
                break;
            }
            assert!(next.starts_with("HTTP/1.1 429"), "{path}: {next}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(next.starts_with("HTTP/1.1 101"), "{path}: its place is not given back: {next}");
        // That one is silent, too.
        server.until_open(0).await;
    }
    server.end().await;
}

#[tokio::test]
async fn a_socket_that_answers_pings_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { gateway: often(1000), ..Settings::default() };
    let server = Server::start(dir.path(), settings).await;
    let url = format!("ws://{}/v1/streams/s/ws", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    let mut pings = 0;
    while pings < 4 {
        // To be read is to be answered, here.
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        pings += u32::from(matches!(message, Message::Ping(_)));
    }
    let refused = server.ask(Method::GET, "/v1/feed").send().await.unwrap();
    assert_eq!(refused.status(), 429, "the one place is taken");
    socket.send(Message::text(marker(1))).await.unwrap();
    assert_eq!(answer(&mut socket).await["ack"], 1);
    server.end().await;
}

#[tokio::test]
async fn a_sender_that_waits_its_turn_is_not_taken_for_gone() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = GatewayConfig { rate: 1.0, burst: 1.0, ..often(500) };
    let server = Server::start(dir.path(), Settings { gateway, ..Settings::default() }).await;
    let url = format!("ws://{}/v1/streams/s/ws", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    // Each waits for longer than from one ping to the next, and the server reads nothing meanwhile.
    for number in 1..=4 {
        socket.send(Message::text(marker(number))).await.unwrap();
    }
    for number in 1..=4 {
        assert_eq!(answer(&mut socket).await["ack"], number);
    }
    // Pings that were due meanwhile are not held against it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    socket.send(Message::text(marker(5))).await.unwrap();
    assert_eq!(answer(&mut socket).await["ack"], 5);
    server.end().await;
}

async fn answer(
    socket: &mut (impl StreamExt<Item = tokio_tungstenite::tungstenite::Result<Message>> + Unpin),
) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
        if let Message::Text(text) = message.expect("it stays open").unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}
