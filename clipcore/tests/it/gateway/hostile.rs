//! What nobody should send.

use std::time::Duration;

use clipcore::gateway::{GatewayConfig, Scope, Token};
use clipcore::host::HostConfig;
use futures::{SinkExt, StreamExt, stream};
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::server::{Server, Settings, answer, marker};

async fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may have had enough before all of it is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut said)).await;
    assert!(read.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn too_much_is_refused_with_its_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = GatewayConfig { max_body: 2000, rate: 1.0, burst: 12.0, ..GatewayConfig::default() };
    let host = HostConfig { max_streams: 1, ..HostConfig::default() };
    let server = Server::start(dir.path(), Settings { gateway, host, ..Settings::default() }).await;
    let (status, said) = server.post("/v1/streams/s/events", "x".repeat(2001)).await;
    assert!(status == 413 && said["detail"].as_str().unwrap().contains("2000 bytes"), "{said}");
    // Without a length that says so beforehand.
    let chunks = stream::iter((0..10).map(|_| Ok::<_, std::io::Error>("x".repeat(500))));
    let body = reqwest::Body::wrap_stream(chunks);
    let chunked = server.ask(Method::POST, "/v1/streams/s/events").body(body).send().await.unwrap();
    assert_eq!(answer(chunked).await.0, 413);
    let packed = server.ask(Method::POST, "/v1/streams/s/events").header("content-encoding", "gzip");
    assert_eq!(answer(packed.body("x").send().await.unwrap()).await.0, 415, "no bomb is unpacked");
    assert_eq!(server.post("/v1/streams/s/events", marker(1)).await.0, 202);
    let (status, said) = server.post("/v1/streams/t/events", marker(1)).await;
    assert!(status == 503 && said["hint"].as_str().unwrap().contains("max_streams"), "{said}");
    let mut answers = Vec::new();
    for n in 0..12 {
        let response = server.ask(Method::POST, "/v1/streams/s/events").body(marker(n)).send().await.unwrap();
        let after = response.headers().get("retry-after").map(|a| a.to_str().unwrap().to_owned());
        answers.push((answer(response).await.0, after));
    }
    assert!(answers[0].0 == 202 && answers[11] == (429, Some("1".to_owned())), "{answers:?}");
    server.end().await;
}

#[tokio::test]
async fn whoever_keeps_the_server_waiting_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = GatewayConfig { patience: Duration::from_millis(300), ..GatewayConfig::default() };
    let settings = Settings { gateway, head: Some(Duration::from_millis(300)), ..Settings::default() };
    let server = Server::start(dir.path(), settings).await;
    assert!(!raw(&server, "POST /v1/streams/s/events HTTP/1.1\r\nHost: localhost\r\n").await.contains("200"));
    let slow = "POST /v1/streams/s/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{";
    assert!(raw(&server, slow).await.starts_with("HTTP/1.1 408"));
    assert_eq!(server.get("/healthz").await.0, 200);
    server.end().await;
}

#[tokio::test]
async fn odd_requests_get_an_answer_and_harm_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    for path in [
        "/v1/streams/..%2f..%2fetc/events",
        "/v1/streams/%00/events",
        "/v1/streams/a%20b/events",
        "/v1/streams/.hidden/events",
    ] {
        let (status, said) = server.post(path, marker(1)).await;
        assert!(
            status == 400 && said["detail"].as_str().unwrap().contains("is not a stream id"),
            "{path}: {said}"
        );
    }
    for path in ["/v1/clips/..%2f..%2ftokens.jsonl/media", "/v1/clips/%2e%2e/media", "/v1/moments/%ff"] {
        let status = server.get(path).await.0;
        assert!(status == 404 || status == 400, "{path}: {status}");
    }
    let close = "Connection: close\r\n\r\n";
    for (request, code) in [
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n"
                .to_owned(),
            "400",
        ),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n", "a".repeat(70_000)), "4"),
        (format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n", "a".repeat(1_000_000)), "431"),
        ("\x16\x03\x01\x02\x00\r\n".to_owned(), "400"),
    ] {
        let said = raw(&server, &format!("{request}{close}")).await;
        let asked = &request[..request.len().min(60)];
        assert!(said.starts_with(&format!("HTTP/1.1 {code}")) || said.is_empty(), "{asked}: {said}");
    }
    let deep = format!(r#"{{"type":"x.y","data":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let (status, said) = server.post("/v1/streams/s/events", deep).await;
    assert_eq!(status, 400, "{said}");
    let own = r#"{"type":"clipcore.moment","at":1,"data":{}}"#;
    let (status, said) = server.post("/v1/streams/s/events", own).await;
    assert!(status == 400 && said.to_string().contains("clipcore's own"), "{said}");
    assert_eq!(server.get("/v1/streams").await.1["items"], serde_json::json!([]), "no stream has begun");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_of_one_token_find_the_same_few_places() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = GatewayConfig { rate: 1e6, burst: 1e6, ..GatewayConfig::default() };
    let host = HostConfig { max_streams: 20, ..HostConfig::default() };
    let (secret, token) = Token::generate("flood", vec![Scope::Ingest, Scope::Read]).unwrap();
    let settings = Settings { gateway, host, tokens: vec![token], ..Settings::default() };
    let mut server = Server::start(dir.path(), settings).await;
    server.token = Some(secret.clone());
    let client = reqwest::Client::new();
    let post = async |n: usize| {
        let request = client.post(server.url(&format!("/v1/streams/flood-{n}/events"))).bearer_auth(&secret);
        let chat = r#"{"type":"chat.message","source":"twitch:irc","data":{"user":"u"}}"#;
        answer(request.body(chat).send().await.unwrap()).await
    };
    let answers: Vec<(u16, Value)> = stream::iter(0..10_000).map(post).buffer_unordered(32).collect().await;
    let taken = answers.iter().filter(|(status, _)| *status == 202).count();
    assert_eq!(taken, 20);
    for (status, said) in answers.iter().filter(|(status, _)| *status != 202) {
        assert!(*status == 503 && said["hint"].as_str().unwrap().contains("max_streams"), "{said}");
    }
    // Those that were refused have left nothing behind, in memory or on disk.
    assert_eq!(server.get("/v1/streams").await.1["items"].as_array().unwrap().len(), 20);
    for folder in ["streams", "keys"] {
        let left = std::fs::read_dir(dir.path().join(folder)).unwrap().count();
        // Those that were under way when the last place was taken may have been given a key.
        assert!(left <= 20 + 32, "{left} in {folder}");
    }
    let (_, metrics) = server.get("/metrics").await;
    assert!(!metrics.as_str().unwrap().contains("flood"), "no label names a stream");
    assert_eq!(server.get("/readyz").await.0, 200);
    server.end().await;
}

#[tokio::test]
async fn a_token_has_so_many_connections_and_they_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = GatewayConfig { connections: 2, ..GatewayConfig::default() };
    let server = Server::start(dir.path(), Settings { gateway, ..Settings::default() }).await;
    let open = async || server.ask(Method::GET, "/v1/feed").send().await.unwrap();
    let (one, other) = (open().await, open().await);
    assert_eq!((one.status().as_u16(), other.status().as_u16()), (200, 200));
    let refused = open().await;
    assert!(refused.headers().contains_key("retry-after"));
    let (status, said) = answer(refused).await;
    assert!(status == 429 && said["hint"].as_str().unwrap().contains("gateway.connections"), "{said}");
    drop(one);
    for _ in 0..100 {
        if open().await.status() == 200 {
            return server.end().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place of a connection that closed does not come back");
}

/// A socket by hand, as a program that means harm would open it.
pub(super) async fn handshake(server: &Server, path: &str, more: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

/// A masked frame of a client; `length` is what it says of itself.
fn frame(first: u8, length: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none_close_their_socket_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = GatewayConfig { max_body: 4000, ..GatewayConfig::default() };
    let server = Server::start(dir.path(), Settings { gateway, ..Settings::default() }).await;
    let url = format!("ws://{}/v1/streams/other/ws", server.address);
    let (mut other, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    // Nothing that was packed is unpacked.
    let (_, head) =
        handshake(&server, "/v1/streams/s/ws", "Sec-WebSocket-Extensions: permessage-deflate\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && !head.to_lowercase().contains("deflate"), "{head}");
    let fragment = frame(0x01, 1000, &[b'['; 1000]);
    let more = frame(0x00, 1000, &[b'['; 1000]);
    for (what, bytes) in [
        ("no mask", vec![0x81, 2, b'{', b'}']),
        ("an unknown opcode", frame(0x83, 2, b"{}")),
        ("a packed frame", frame(0xc1, 2, b"{}")),
        ("a longer message than may be", frame(0x81, 4001, &[b'x'; 4001])),
        ("the longest length there is", frame(0x81, u64::MAX, b"x")),
        ("fragments without end", [fragment, more.repeat(5)].concat()),
        ("a long ping", frame(0x89, 126, &[0; 126])),
        ("a piece of a ping", frame(0x09, 2, b"{}")),
        ("the rest of nothing", frame(0x80, 2, b"{}")),
        ("text that is none", frame(0x81, 2, &[0xff, 0xfe])),
        ("sound of more than may be", frame(0x82, 4001, &[0; 4001])),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ] {
        let (mut stream, _) = handshake(&server, "/v1/streams/s/ws", "").await;
        let _ = stream.write_all(&bytes).await;
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "{what}: the socket stays open: {said:?}");
        assert!(!String::from_utf8_lossy(&said).contains("\"ack\""), "{what} was taken in: {said:?}");
    }
    // A whole message that says nonsense is answered, and the socket stays.
    other.send(Message::text("[[[[[")).await.unwrap();
    let said = loop {
        if let Message::Text(text) = other.next().await.unwrap().unwrap() {
            break text.to_string();
        }
    };
    assert!(said.contains("\"accepted\":0"), "{said}");
    assert_eq!(server.get("/v1/streams").await.1["items"], serde_json::json!([]), "no stream has begun");
    server.end().await;
}

#[tokio::test]
async fn a_picture_that_unpacks_to_gigabytes_is_not_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { consent: clipcore::Consent::ALL, ..Settings::default() };
    let server = Server::start(dir.path(), settings).await;
    let side = 65_500_u16.to_be_bytes();
    let [high, low] = side;
    #[rustfmt::skip]
    let bomb = [
        &[0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, high, low, high, low, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0][..],
        &[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0, 0, 0xff, 0xd9][..],
    ]
    .concat();
    for picture in [bomb, b"\xff\xd8\xff".to_vec(), Vec::new(), vec![0; 100_000]] {
        let request = server.ask(Method::POST, "/v1/streams/s/frames?at=1").body(picture);
        let (status, said) = answer(request.send().await.unwrap()).await;
        assert!(status == 400 && said["detail"].as_str().unwrap().contains("no JPEG"), "{said}");
    }
    assert_eq!(server.get("/v1/streams").await.1["items"], serde_json::json!([]), "no stream has begun");
    server.end().await;
}

#[tokio::test]
async fn what_changes_and_erases_takes_names_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("recordings/kept")).unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let ask = async |method: Method, path: &str, body: &str| {
        answer(server.ask(method, path).body(body.to_owned()).send().await.unwrap()).await
    };
    for id in ["..%2frecordings%2fkept", "%2e%2e", "..", ".", "a%2f..", "%00", "a%0ab"] {
        let (status, said) = ask(Method::DELETE, &format!("/v1/streams/{id}"), "").await;
        assert!((400..406).contains(&status), "{id}: {status} {said}");
    }
    let (status, said) = ask(Method::DELETE, "/v1/subjects/..%2f..%2fkeys/..%2f..%2f", "").await;
    assert!(
        status == 200 && said["records"] == 0 && said["files"] == 0,
        "it is a name like any other: {said}"
    );
    let (status, said) = ask(Method::DELETE, "/v1/subjects/twitch/%ff", "").await;
    assert_eq!(status, 400, "{said}");
    let (status, said) = ask(Method::DELETE, &format!("/v1/streams/s?why={}", "w".repeat(1001)), "").await;
    assert!(status == 400 && said["detail"].as_str().unwrap().contains("1000"), "{said}");
    for (id, body, code) in [
        ("..%2f..%2fetc", "{}", 400),
        ("nope", "[[[[", 400),
        ("nope", r#"{"start":1e999}"#, 400),
        ("nope", r#"{"start":1,"start":2}"#, 400),
        ("nope", r#"{"start":"1"}"#, 400),
        ("nope", r#"{"start":1}"#, 404),
    ] {
        let (status, said) = ask(Method::PATCH, &format!("/v1/clips/{id}"), body).await;
        assert_eq!(status, code, "{id} {body}: {said}");
    }
    assert!(dir.path().join("recordings/kept").is_dir());
    server.end().await;
}
