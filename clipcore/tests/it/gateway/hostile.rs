//! What nobody should send.

use std::time::Duration;

use clipcore::gateway::GatewayConfig;
use clipcore::host::HostConfig;
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
    let chunks = futures::stream::iter((0..10).map(|_| Ok::<_, std::io::Error>("x".repeat(500))));
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
