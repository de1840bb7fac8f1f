//! Events in.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::server::{Server, Settings, answer, marker};
use reqwest::Method;

#[tokio::test]
async fn good_events_are_taken_and_bad_ones_are_told_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let body =
        format!("{}\nnonsense\n{}\n", marker(1), r#"{"type":"chat.message","at":2,"data":{"user":7}}"#);
    let (status, said) = server.post("/v1/streams/s/events", body).await;
    assert_eq!((status, &said["accepted"], &said["refused"]), (202, &json!(1), &json!(2)), "{said}");
    assert_eq!((&said["errors"][0]["line"], &said["errors"][1]["line"]), (&json!(2), &json!(3)));
    assert!(said["errors"][1]["error"]["detail"].as_str().unwrap().contains("chat.message"), "{said}");

    let (status, said) = server.post("/v1/streams/s/events", "nonsense").await;
    assert_eq!((status, &said["refused"][0]["line"]), (400, &json!(1)), "{said}");
    assert_eq!(said["type"], "urn:clipcore:error:invalid-input");
    let (status, said) =
        server.post("/v1/streams/s/events", r#"{"type":"marker","stream":"t","data":{}}"#).await;
    assert!(status == 400 && said.to_string().contains("is of stream t, not of s"), "{said}");
    let (status, said) = server.post("/v1/streams/s/markers", r#"{"label":"ace","by":"anna"}"#).await;
    assert_eq!((status, &said["accepted"]), (202, &json!(1)), "{said}");
    server.end().await;
}

#[tokio::test]
async fn a_stream_goes_from_its_first_event_to_its_moments() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    server.stream_with("show", &[20, 90, 160]).await;
    let (_, page) = server.get("/v1/moments?stream=show&state=closed&limit=2").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2, "{page}");
    assert_eq!(page["items"][0]["label"], "m160", "newest first");
    let next = page["next"].as_str().unwrap();
    let (_, rest) = server.get(&format!("/v1/moments?stream=show&state=closed&limit=2&cursor={next}")).await;
    assert_eq!(rest["items"][0]["label"], "m20", "{rest}");
    let (_, none) = server.get("/v1/moments?label=m90&from=500").await;
    assert_eq!(none["items"], json!([]));
    let id = rest["items"][0]["id"].as_str().unwrap();
    let (status, said) =
        server.post(&format!("/v1/moments/{id}/feedback"), r#"{"verdict":"rejected"}"#).await;
    assert_eq!((status, &said["by"]), (201, &json!("local")), "{said}");
    let (_, view) = server.get(&format!("/v1/moments/{id}")).await;
    assert_eq!(
        (&view["moment"]["label"], &view["feedback"][0]["verdict"]),
        (&json!("m20"), &json!("rejected"))
    );
    let (status, said) = server.post("/v1/streams/show/events", marker(900)).await;
    assert!(status == 409 && said["detail"].as_str().unwrap().contains("has ended"), "{said}");
    for (path, says) in [
        ("/v1/moments/nope", "no moment"),
        ("/v1/clips/nope/media", "no clip"),
        ("/v1/streams/nope", "no stream"),
        ("/v1/nope", "nothing here"),
    ] {
        let (status, said) = server.get(path).await;
        assert!(status == 404 && said["detail"].as_str().unwrap().contains(says), "{path}: {said}");
    }
    assert_eq!(server.get("/v1/moments?limit=1001").await.0, 400);
    let (status, said) = server.get("/v1/moments?colour=red").await;
    assert!(status == 400 && said["detail"].as_str().unwrap().contains("colour"), "{said}");
    let (status, metrics) = server.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    assert!(status == 200 && metrics.contains("clipcore_moments_closed_total 3"), "{metrics}");
    assert!(!metrics.contains("show"), "no label names a stream");
    server.end().await;
}

#[tokio::test]
async fn a_request_that_is_sent_twice_counts_once_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keyed = async |server: &Server, key: &str, body: &str| {
        let request = server.ask(Method::POST, "/v1/streams/s/events").header("idempotency-key", key);
        let response = request.body(body.to_owned()).send().await.unwrap();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let (status, said) = answer(response).await;
        (status, said, replayed)
    };
    // Without an id of its own and without an instant: only the key says that it is the same.
    let body = r#"{"type":"marker","data":{"label":"now"}}"#;
    let server = Server::start(dir.path(), Settings::default()).await;
    let (status, first, replayed) = keyed(&server, "k1", body).await;
    assert_eq!((status, replayed), (202, false), "{first}");
    assert_eq!(keyed(&server, "k1", body).await, (202, first.clone(), true));
    let (status, said, _) = keyed(&server, "k1", &marker(3)).await;
    assert!(status == 422 && said["detail"].as_str().unwrap().contains("Idempotency-Key"), "{said}");
    for key in ["two words", &"k".repeat(256)] {
        assert_eq!(keyed(&server, key, body).await.0, 400, "{key}");
    }
    server.end().await;

    let server = Server::start(dir.path(), Settings::default()).await;
    assert_eq!(keyed(&server, "k1", body).await, (202, first, true));
    assert_eq!(keyed(&server, "k2", body).await.0, 202);
    // What a query says tells requests apart, too.
    let erase = async |why: &str| {
        let request = server.ask(Method::DELETE, &format!("/v1/streams/other?why={why}"));
        answer(request.header("idempotency-key", "k3").send().await.unwrap()).await.0
    };
    assert_eq!((erase("one").await, erase("one").await, erase("another").await), (200, 200, 422));
    // An event with an id counts once without any key.
    let event = r#"{"type":"marker","id":"m1","source":"pad","data":{"label":"now"}}"#;
    for _ in 0..2 {
        assert_eq!(server.post("/v1/streams/s/events", event).await.0, 202);
    }
    assert_eq!(server.post("/v1/streams/s/end", "").await.0, 202);
    server.until_state("s", "ended").await;
    assert_eq!(server.logged("s", "marker").await, 3);
    server.end().await;
}

#[tokio::test]
async fn a_socket_acknowledges_each_message_and_answers_what_it_cannot_take() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let url = format!("ws://{}/v1/streams/s/ws", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    for n in 1..=20 {
        socket.send(Message::text(marker(n))).await.unwrap();
    }
    socket.send(Message::text(format!("[{},7,{}]", marker(21), marker(22)))).await.unwrap();
    socket.send(Message::text("nonsense")).await.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 22 {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            answers.push(serde_json::from_str::<Value>(&text).unwrap());
        }
    }
    for (index, answer) in answers[..20].iter().enumerate() {
        assert_eq!(*answer, json!({"ack": index + 1, "accepted": 1}));
    }
    assert_eq!((&answers[20]["accepted"], &answers[20]["errors"][0]["line"]), (&json!(2), &json!(2)));
    assert_eq!((&answers[21]["ack"], &answers[21]["accepted"]), (&json!(22), &json!(0)), "{}", answers[21]);
    assert_eq!(server.post("/v1/streams/s/end", "").await.0, 202);
    server.until_state("s", "ended").await;
    assert_eq!(server.logged("s", "marker").await, 22);
    let (status, said) = server.get("/v1/streams/s/ws").await;
    assert!(status == 426 && said["hint"].as_str().unwrap().contains("WebSocket"), "{said}");
    server.end().await;
}
