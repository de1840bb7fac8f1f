//! Who may do what.

use clipcore::gateway::{GatewayConfig, HookSecret, Scope, Token};
use reqwest::Method;

use super::server::{Server, Settings, answer, marker};

fn token(name: &str, scope: Scope) -> (String, Token) {
    Token::generate(name, vec![scope]).unwrap()
}

#[tokio::test]
async fn a_token_opens_what_its_scope_says_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let [(ingest, a), (read, b), (admin, c)] =
        [("in", Scope::Ingest), ("out", Scope::Read), ("all", Scope::Admin)].map(|(n, s)| token(n, s));
    let settings = Settings { tokens: vec![a, b, c], ..Settings::default() };
    let mut server = Server::start(dir.path(), settings).await;
    let none = "ccore_0000".to_owned();
    for (secret, post, list, end) in [
        (None, 401, 401, 401),
        (Some(&none), 401, 401, 401),
        (Some(&ingest), 202, 403, 403),
        (Some(&read), 403, 200, 403),
        (Some(&admin), 202, 200, 202),
    ] {
        server.token = secret.cloned();
        let (status, said) = server.post("/v1/streams/s/events", marker(1)).await;
        assert_eq!(status, post, "{said}");
        assert_eq!(server.get("/v1/moments").await.0, list);
        assert_eq!(server.post("/v1/streams/s/end", "").await.0, end);
    }
    server.token = None;
    assert_eq!(server.get("/healthz").await.0, 200);
    let bare = server.ask(Method::GET, "/v1/clips").send().await.unwrap();
    assert!(bare.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));

    server.token = Some(read);
    let (status, ticket) = server.post("/v1/tickets", "").await;
    assert_eq!(status, 201, "{ticket}");
    server.token = None;
    let ticket = ticket["ticket"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/moments?limit=1&ticket={ticket}")).await.0, 200);
    assert_eq!(server.post(&format!("/v1/streams/s/end?ticket={ticket}"), "").await.0, 403);
    assert_eq!(server.get("/v1/moments?ticket=00000000000000000000000000000000").await.0, 401);
    server.end().await;
}

#[tokio::test]
async fn without_tokens_pages_of_other_sites_and_other_names_stay_outside() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let own = format!("http://{}", server.address);
    for (name, value, expected) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", own.as_str(), 200),
        ("host", "evil.example:8484", 403),
        ("host", "localhost:8484", 200),
    ] {
        let (status, said) =
            answer(server.ask(Method::GET, "/v1/streams").header(name, value).send().await.unwrap()).await;
        assert_eq!(status, expected, "{name}: {value}: {said}");
    }
    server.end().await;
}

#[tokio::test]
async fn webhooks_are_taken_once_where_they_are_signed_and_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let secret = HookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let gateway = GatewayConfig { hook_secrets: vec![secret.clone()], ..GatewayConfig::default() };
    let server = Server::start(dir.path(), Settings { gateway, ..Settings::default() }).await;
    let now = clipcore::clock::TimeSource::wall(&clipcore::clock::SystemTimeSource::new()).as_unix_micros()
        / 1_000_000;
    let body = r#"{"type":"marker","data":{"label":"sub"}}"#;
    let send = async |id: &str, at: i64, signature: &str| {
        let request = server.ask(Method::POST, "/hooks/events/s").header("webhook-id", id);
        let request =
            request.header("webhook-timestamp", at.to_string()).header("webhook-signature", signature);
        answer(request.body(body).send().await.unwrap()).await
    };
    let sign = |id: &str, at: i64| secret.sign(id, &at.to_string(), body.as_bytes());
    assert_eq!(send("w1", now, &sign("w1", now)).await.0, 202);
    assert_eq!(send("w1", now + 1, &sign("w1", now + 1)).await.0, 200, "it has come before");
    for (id, at, signature, says) in [
        ("w2", now, sign("w1", now), "does not fit"),
        ("w2", now - 3600, sign("w2", now - 3600), "five minutes"),
        ("w2", now, "v1,AAAA".to_owned(), "does not fit"),
    ] {
        let (status, said) = send(id, at, &signature).await;
        assert!(status == 401 && said["detail"].as_str().unwrap().contains(says), "{said}");
    }
    let (status, said) = server.post("/hooks/events/s", body).await;
    assert!(status == 401 && said["detail"].as_str().unwrap().contains("webhook-id is missing"), "{said}");
    assert_eq!(server.post("/v1/streams/s/end", "").await.0, 202);
    server.until_state("s", "ended").await;
    assert_eq!(server.logged("s", "marker").await, 1);
    server.end().await;
}
