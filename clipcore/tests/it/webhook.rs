//! Signed webhooks, against a receiver that verifies them as anybody's would.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use clipcore::clock::{SystemTimeSource, TimeSource};
use clipcore::conformance::sink as kit;
use clipcore::sink::layer::{DeadLetter, RetryConfig};
use clipcore::sink::{ClipSink, Delivery, SinkExt, WebhookSink, WebhookSinkConfig};
use clipcore::webhook::{HookSecret, verify_hook};
use clipcore::{ErrorKind, WallTime};
use serde_json::Value;

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrsc";

/// What a receiver has taken, and what it is to answer next.
#[derive(Debug, Default)]
struct Book {
    ids: HashSet<String>,
    bodies: Vec<Value>,
    headers: Vec<HeaderMap>,
    at: Vec<WallTime>,
    answers: VecDeque<(u16, Option<&'static str>)>,
}

#[derive(Clone, Debug)]
struct Receiver {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    secret: HookSecret,
}

impl Receiver {
    async fn start(secret: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            book: Arc::default(),
            secret: HookSecret::new(secret).unwrap(),
        };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn config(&self) -> WebhookSinkConfig {
        let url = format!("http://{}/hook?key=hush", self.address).parse().unwrap();
        let secrets = [NEW, OLD].map(|s| HookSecret::new(s).unwrap());
        let config = WebhookSinkConfig::new(url, secrets.to_vec());
        WebhookSinkConfig { allow_private: true, timeout: Duration::from_secs(5), ..config }
    }

    fn sink(&self) -> WebhookSink {
        WebhookSink::new(self.config()).unwrap()
    }

    fn answer(&self, answers: &[(u16, Option<&'static str>)]) {
        self.book.lock().unwrap().answers.extend(answers);
    }

    fn taken(&self) -> usize {
        self.book.lock().unwrap().ids.len()
    }

    fn requests(&self) -> usize {
        self.book.lock().unwrap().bodies.len()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    method: axum::http::Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == axum::http::Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let now = SystemTimeSource::new().wall();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let verified = verify_hook(
        std::slice::from_ref(&receiver.secret),
        &id,
        &at,
        &header("webhook-signature"),
        &body,
        now,
    );
    let mut book = receiver.book.lock().unwrap();
    book.at.push(now);
    book.bodies.push(serde_json::from_slice(&body).unwrap());
    book.headers.push(headers);
    if let Some((status, after)) = book.answers.pop_front() {
        let mut response = StatusCode::from_u16(status).unwrap().into_response();
        if let Some(after) = after {
            let name = if status == 302 { "location" } else { "retry-after" };
            response.headers_mut().insert(name, HeaderValue::from_static(after));
        }
        return response;
    }
    if verified.is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let known = !book.ids.insert(id);
    if known { StatusCode::ALREADY_REPORTED } else { StatusCode::NO_CONTENT }.into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let current: Mutex<Option<Receiver>> = Mutex::new(None);
    let make = async || {
        let receiver = Receiver::start(OLD).await;
        *current.lock().unwrap() = Some(receiver.clone());
        Ok(receiver.sink())
    };
    let effects = async |_: &WebhookSink| current.lock().unwrap().as_ref().unwrap().taken();
    kit::sink(make, effects, file.path()).await;
    let receiver = Receiver::start(NEW).await;
    kit::sink_reopened(async || Ok(receiver.sink()), async |_| receiver.taken(), file.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_what_happened_and_whose_trace_it_is() {
    let receiver = Receiver::start(OLD).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let Delivery::Moment(mut moment) = kit::moment("s1", "m1", 3) else { unreachable!() };
    moment.trace = Some(trace.into());
    let receipt = receiver.sink().deliver(&Delivery::Moment(moment.clone())).await.unwrap();
    assert!(!receipt.location.unwrap().contains("hush"), "a query may be a secret");
    let book = receiver.book.lock().unwrap();
    let (body, headers) = (&book.bodies[0], &book.headers[0]);
    assert_eq!((&body["type"], &body["subject"]), (&"clipcore.moment".into(), &"s1".into()));
    assert_eq!(body["data"], serde_json::to_value(&moment).unwrap());
    assert_eq!((&body["id"], &headers["webhook-id"]), (&"m1-3".into(), &"m1-3".parse().unwrap()));
    assert_eq!(
        (&headers["traceparent"], &headers["content-type"]),
        (&trace.parse().unwrap(), &"application/cloudevents+json".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_pass_is_tried_again_after_the_pause_that_was_asked_for() {
    let receiver = Receiver::start(OLD).await;
    receiver.answer(&[(503, Some("2")), (429, None), (500, None)]);
    let quick = RetryConfig { first: Duration::from_millis(10), ..RetryConfig::default() };
    let sink = receiver.sink().with_retry(quick);
    sink.deliver(&kit::moment("s1", "m1", 1)).await.unwrap();
    let book = receiver.book.lock().unwrap();
    assert_eq!((book.ids.len(), book.bodies.len()), (1, 4));
    let pause = book.at[1].as_unix_micros() - book.at[0].as_unix_micros();
    assert!(pause >= 1_900_000, "it asked for two seconds, and had {pause} µs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_put_aside_and_the_rest_goes_on() {
    let receiver = Receiver::start(OLD).await;
    receiver.answer(&[(422, None), (302, Some("http://169.254.169.254/"))]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dead.jsonl");
    let sink = receiver.sink().with_retry(RetryConfig::default()).with_dead_letter(&path).await.unwrap();
    let items = [1, 2, 3].map(|rev| kit::moment("s1", "m1", rev));
    let mut aside = Vec::new();
    for item in &items {
        aside.push(sink.deliver(item).await.unwrap().dead_letter);
    }
    assert_eq!((aside, receiver.requests(), receiver.taken()), (vec![true, true, false], 3, 1));
    let text = std::fs::read_to_string(&path).unwrap();
    let letters: Vec<DeadLetter> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(letters[0].delivery, items[0]);
    assert!(
        letters[0].error.contains("422") && letters[1].error.contains("redirects are not followed"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_left_alone() {
    let receiver = Receiver::start(OLD).await;
    receiver.answer(&[(410, None)]);
    let sink = receiver.sink();
    for rev in 1..=3 {
        let error = sink.deliver(&kit::moment("s1", "m1", rev)).await.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("410"), "{error}");
    }
    assert_eq!(receiver.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_and_a_silent_receiver_are_told_apart() {
    let receiver = Receiver::start(NEW).await;
    let secrets = vec![HookSecret::new(OLD).unwrap()];
    let sink = WebhookSink::new(WebhookSinkConfig { secrets, ..receiver.config() }).unwrap();
    let error = sink.deliver(&kit::moment("s1", "m1", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("another secret"), "{error}");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/?key=hush", silent.local_addr().unwrap()).parse().unwrap();
    let config = WebhookSinkConfig { url, timeout: Duration::from_millis(300), ..receiver.config() };
    let error =
        WebhookSink::new(config.clone()).unwrap().deliver(&kit::moment("s1", "m1", 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Timeout, true), "{error}");
    drop(silent);
    let error = WebhookSink::new(config).unwrap().check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unavailable, true), "{error}");
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_networks_are_out_of_reach_whatever_the_name() {
    let receiver = Receiver::start(OLD).await;
    let port = receiver.address.port();
    let reached = AtomicU32::new(0);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"] {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let config = WebhookSinkConfig { url, allow_private: false, ..receiver.config() };
        let error = match WebhookSink::new(config) {
            Ok(sink) => {
                reached.fetch_add(1, Ordering::Relaxed);
                sink.deliver(&kit::moment("s1", "m1", 1)).await.unwrap_err()
            }
            Err(error) => error,
        };
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Config, false), "{host}: {error}");
        assert!(error.to_string().contains("allow_private"), "{host}: {error}");
    }
    assert_eq!(reached.into_inner(), 1, "only a name has to be resolved");
    assert_eq!(receiver.requests(), 0);
}

/// A receiver under TLS that takes whatever comes.
async fn under_tls(dir: &std::path::Path) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let certificate = CertificateDer::from_pem_file(dir.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not trust it goes away during the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = vec![0; 64 << 10];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    if !crate::support::programs::require("webhook", &["openssl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    crate::support::certificates::certificates(dir.path());
    let url = format!("https://localhost:{}/hook", under_tls(dir.path()).await).parse().unwrap();
    let config = WebhookSinkConfig {
        allow_private: true,
        timeout: Duration::from_secs(5),
        ..WebhookSinkConfig::new(url, vec![HookSecret::new(NEW).unwrap()])
    };
    let item = kit::moment("s1", "m1", 1);
    let strange = WebhookSink::new(config.clone()).unwrap().deliver(&item).await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::Unavailable, "{strange}");
    let trusting = WebhookSinkConfig { ca_file: Some(dir.path().join("ca.crt")), ..config.clone() };
    WebhookSink::new(trusting).unwrap().deliver(&item).await.unwrap();
    for wrong in ["none", "names"] {
        let wrong = WebhookSinkConfig { ca_file: Some(dir.path().join(wrong)), ..config.clone() };
        let error = WebhookSink::new(wrong).unwrap_err();
        assert!(error.to_string().contains("ca_file"), "{error}");
    }
}
