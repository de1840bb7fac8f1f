//! A gateway on a free port, with the shipped detectors of markers and fusion behind it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clipcore::catalog::Catalog;
use clipcore::clock::SystemTimeSource;
use clipcore::detector::{Loudness, MarkerDetector};
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::gateway::{Gateway, GatewayConfig, GatewayParts, ServeConfig, Token, Tokens, serve};
use clipcore::host::{Host, HostConfig, HostParts, StreamMake, StreamSettings};
use clipcore::log::{FileLog, FileLogConfig};
use clipcore::model::ModelRegistry;
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::privacy::{DataFolder, KeyRing, LiveFolder, Pseudonymizer, Rotation};
use clipcore::sink::{ClipSink, JsonlSink};
use clipcore::source::Listeners;
use clipcore::{Consent, StreamId};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(super) struct Settings {
    pub(super) gateway: GatewayConfig,
    pub(super) host: HostConfig,
    pub(super) consent: Consent,
    /// Who listens; somebody who knows loud from quiet where absent.
    pub(super) ears: Option<Listeners>,
    /// How long it takes until somebody listens.
    pub(super) slow_ears: Duration,
    pub(super) tokens: Vec<Token>,
    pub(super) head: Option<Duration>,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) catalog: Catalog,
    pub(super) token: Option<String>,
    host: Host,
    gateway: Gateway,
    stop: CancellationToken,
    serving: JoinHandle<clipcore::Result<()>>,
}

impl Server {
    pub(super) async fn start(dir: &Path, settings: Settings) -> Self {
        let kinds = Kinds::builtin();
        let log = FileLog::open(dir.join("log"), FileLogConfig::default(), kinds.clone()).await.unwrap();
        let inbox = FileLog::open(dir.join("inbox"), FileLogConfig::default(), kinds.clone()).await.unwrap();
        let catalog = Catalog::open(dir).await.unwrap();
        let fusion = FusionConfig { refractory: Some(Duration::from_secs(2)), ..FusionConfig::default() };
        let fusion = fusion.factory().unwrap();
        let sinks: Vec<Arc<dyn ClipSink>> =
            vec![Arc::new(catalog.clone()), Arc::new(JsonlSink::open(dir).await.unwrap())];
        let folder = Some(LiveFolder::new(dir, sinks.clone()));
        let ears = settings.ears.clone();
        let factory = move |stream: &StreamId, _: &StreamSettings| {
            let fusion = fusion.clone();
            let builder = Pipeline::builder()
                .with_fusion(move |stream| fusion(stream))
                .with_detector(|_| Ok(Box::new(MarkerDetector::default())));
            let builder = sinks.iter().fold(builder, |builder, sink| builder.with_sink(sink.clone()));
            let listeners = ears.clone().unwrap_or_else(|| {
                Arc::new(move || {
                    std::thread::sleep(settings.slow_ears);
                    Ok((vec![Box::new(Loudness::default())], ModelRegistry::default()))
                })
            });
            Ok(StreamMake::new(builder, StreamSpec::new(stream.clone())).with_listeners(listeners))
        };
        let parts = HostParts::new(Arc::new(inbox), Arc::new(log), Arc::new(factory));
        let keys = KeyRing::new(DataFolder::keys_dir(dir), Rotation::Day);
        let pseudonyms = Some(Pseudonymizer::rotating(keys));
        let parts =
            HostParts { config: settings.host, consent: settings.consent, pseudonyms, folder, ..parts };
        let host = Host::open(dir.join("streams"), parts).await.unwrap();
        let gateway = Gateway::new(GatewayParts {
            host: host.clone(),
            catalog: catalog.clone(),
            tokens: Tokens::new(settings.tokens).unwrap(),
            kinds,
            config: settings.gateway,
            time: Arc::new(SystemTimeSource::new()),
        })
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut config = ServeConfig { grace: Duration::from_secs(5), ..ServeConfig::default() };
        config.head = settings.head.unwrap_or(config.head);
        let serving = tokio::spawn(serve(listener, gateway.router(), config, stop.clone()));
        Self { address, catalog, token: None, host, gateway, stop, serving }
    }

    /// The orderly end, as on SIGTERM.
    pub(super) async fn end(self) {
        self.gateway.close();
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
        self.host.drain().await;
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = Client::new().request(method, self.url(path));
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.ask(Method::GET, path).send().await.unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<String>) -> (u16, Value) {
        answer(self.ask(Method::POST, path).body(body.into()).send().await.unwrap()).await
    }

    pub(super) async fn put(&self, path: &str, body: &str) -> (u16, Value) {
        answer(self.ask(Method::PUT, path).body(body.to_owned()).send().await.unwrap()).await
    }

    /// A stream that markers at these seconds have made closed moments of, and that has ended.
    pub(super) async fn stream_with(&self, stream: &str, at: &[u32]) {
        let (status, said) = self.put(&format!("/v1/streams/{stream}"), r#"{"clock":"events"}"#).await;
        assert_eq!(status, 200, "{said}");
        let lines: Vec<String> = at.iter().map(|at| marker(*at)).collect();
        let (status, said) = self.post(&format!("/v1/streams/{stream}/events"), lines.join("\n")).await;
        assert_eq!((status, &said["accepted"]), (202, &Value::from(at.len())), "{said}");
        assert_eq!(self.post(&format!("/v1/streams/{stream}/end"), "").await.0, 202);
        self.until_state(stream, "ended").await;
    }

    pub(super) async fn until_state(&self, stream: &str, state: &str) {
        for _ in 0..500 {
            if self.get(&format!("/v1/streams/{stream}")).await.1["state"] == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{stream} did not become {state}: {}", self.get(&format!("/v1/streams/{stream}")).await.1);
    }

    /// Waits until so many event streams and sockets are open.
    pub(super) async fn until_open(&self, count: usize) {
        let line = format!("clipcore_open_connections {count}\n");
        for _ in 0..500 {
            if self.get("/metrics").await.1.as_str().unwrap().contains(&line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{count} connections are not what is open: {}", self.get("/metrics").await.1);
    }

    /// How many events of a type the log holds.
    pub(super) async fn logged(&self, stream: &str, kind: &str) -> usize {
        let (status, page) = self.get(&format!("/v1/streams/{stream}/events?type={kind}&limit=1000")).await;
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().unwrap().len()
    }
}

pub(super) fn marker(at: u32) -> String {
    format!(r#"{{"type":"marker","at":{at},"data":{{"label":"m{at}"}}}}"#)
}

pub(super) async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let problem = response.headers().get("content-type").is_some_and(|t| t == "application/problem+json");
    let text = response.text().await.unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status >= 400 {
        assert!(problem && value["status"] == status && value["detail"].is_string(), "{status} {value}");
    }
    (status, value)
}
