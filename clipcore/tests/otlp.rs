//! Traces as a collector gets them: a real one's place is taken by a server that decodes what comes.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use clipcore::catalog::Catalog;
use clipcore::clock::SystemTimeSource;
use clipcore::cutter::{CutterConfig, MediaCutter};
use clipcore::detector::MarkerDetector;
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::gateway::{Gateway, GatewayConfig, GatewayParts, Tokens};
use clipcore::host::{Host, HostParts, StreamMake, StreamSettings};
use clipcore::log::MemoryLog;
use clipcore::otlp::Otlp;
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::recorder::{Recorder, RecorderConfig};
use clipcore::source::media::{Input, MediaSource};
use clipcore::{CameraId, StreamId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use support::programs::require;
use support::stream::TestStream;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

type Got = Arc<Mutex<Vec<(Span, String)>>>;

async fn listen(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Takes OTLP over HTTP; keeps each span with the service that it came from.
async fn collector(got: Got) -> String {
    let take = move |headers: HeaderMap, body: Bytes| async move {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["x-key"], "abc");
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for of_service in request.resource_spans {
            let service =
                of_service.resource.iter().flat_map(|r| &r.attributes).find(|a| a.key == "service.name");
            let service = format!("{:?}", service.and_then(|a| a.value.clone()));
            let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
            got.lock().unwrap().extend(spans.map(|span| (span, service.clone())));
        }
    };
    listen(Router::new().route("/v1/traces", post(take))).await
}

async fn gateway(dir: &std::path::Path) -> String {
    let catalog = Catalog::open(dir).await.unwrap();
    let fusion = FusionConfig::default().factory().unwrap();
    let sink = Arc::new(catalog.clone());
    let out = dir.to_owned();
    let factory = move |stream: &StreamId, settings: &StreamSettings| {
        let fusion = fusion.clone();
        let builder = Pipeline::builder()
            .with_fusion(move |stream| fusion(stream))
            .with_detector(|_| Ok(Box::new(MarkerDetector::default())))
            .with_sink(sink.clone());
        let mut spec = StreamSpec::new(stream.clone());
        for input in &settings.inputs {
            let (stream, camera) = (stream.clone(), CameraId::main());
            let config = RecorderConfig::default();
            let recorder = Recorder::open(out.join("recording"), stream.clone(), camera.clone(), config)?;
            let recording = recorder.recording().clone();
            let config = CutterConfig { stills: false, ..CutterConfig::default() };
            let cutter = MediaCutter::new(stream, camera.clone(), recording, &out, config)?;
            let source = MediaSource::new(Input::parse(input)?, camera, recorder);
            spec = spec.with_source(source).with_cutter(Arc::new(cutter));
        }
        Ok(StreamMake::new(builder, spec))
    };
    let [inbox, log] = [0, 1].map(|_| Arc::new(MemoryLog::new(1)));
    let host = Host::open(dir.join("streams"), HostParts::new(inbox, log, Arc::new(factory))).await.unwrap();
    let gateway = Gateway::new(GatewayParts {
        host,
        catalog,
        tokens: Tokens::default(),
        kinds: Kinds::builtin(),
        config: GatewayConfig::default(),
        time: Arc::new(SystemTimeSource::new()),
    });
    listen(gateway.unwrap().router()).await
}

const TEST: &str = "one_trace_leads_from_the_producer_to_the_clip_and_the_sink";

// Variables of the environment are this process's own: there is one test in it, and threads of other kinds do not read them.
#[test]
fn one_trace_leads_from_the_producer_to_the_clip_and_the_sink() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let got = Got::default();
    let endpoint = runtime.block_on(collector(got.clone()));
    if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_none() {
        if !require(TEST, &["ffmpeg", "ffprobe"]) {
            return;
        }
        // A process cannot safely change its own environment: it starts itself again with it.
        let me = std::env::current_exe().unwrap();
        let run = std::process::Command::new(me)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
            .env("OTEL_SERVICE_NAME", "clips-of-tonight")
            .args([TEST, "--exact", "--nocapture"])
            .status();
        assert!(run.unwrap().success());
        return check(&got.lock().unwrap());
    }

    let traces = Otlp::from_env().unwrap().expect("the environment names a collector");
    tracing_subscriber::registry().with(traces.layer()).init();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let input = TestStream { size: (320, 180), pictures: 40 * 30, ..TestStream::default() }.kept("mp4");
        let server = gateway(dir.path()).await;
        let client = reqwest::Client::new();
        // Asked for before there is a picture: an instant of the stream that is still to come.
        let marker = client.post(format!("{server}/v1/streams/show/markers"));
        let marker = marker.header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
        let answer = marker.body(r#"{"label":"traced","at":15}"#).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        // The exemplar of the answer's time says which trace it was.
        let metrics =
            client.get(format!("{server}/metrics")).header("accept", "application/openmetrics-text");
        let metrics = metrics.send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains(&format!("# {{trace_id=\"{TRACE}\"}}")), "{metrics}");
        let begin = client.put(format!("{server}/v1/streams/show"));
        let begin = begin.body(serde_json::json!({"inputs": [input]}).to_string()).send().await.unwrap();
        assert!(begin.status().is_success(), "{}", begin.text().await.unwrap());
        let ask = async |path: &str| {
            client.get(format!("{server}{path}")).send().await.unwrap().text().await.unwrap()
        };
        // Then it is cut, and every sink has it.
        let mut stream = String::new();
        for _ in 0..1200 {
            stream = ask("/v1/streams/show").await;
            if stream.contains(r#""state":"ended""#) {
                let clips = ask("/v1/clips?state=ready").await;
                assert!(clips.contains(TRACE), "there is no clip: {clips}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the stream does not end: {stream}");
    });
    traces.shutdown();
}

/// What the collector has got when the program is over.
fn check(got: &[(Span, String)]) {
    let hex = |bytes: &[u8]| clipcore::hex(bytes);
    let mut names = BTreeMap::new();
    for (span, service) in got {
        assert!(service.contains("clips-of-tonight"), "{service}");
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (TRACE.to_owned(), PARENT.to_owned()),
            "{span:?}"
        );
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
        *names.entry(span.name.as_str()).or_insert(0) += 1;
    }
    assert_eq!(names.get("ingest"), Some(&1), "{names:?}");
    assert_eq!(names.get("fuse"), Some(&1), "{names:?}");
    assert_eq!(names.get("clip"), Some(&1), "the clip is cut once: {names:?}");
    assert!(names["deliver"] >= 4, "each transition goes to the sink, the clip's too: {names:?}");
    let clip = got.iter().map(|(span, _)| span).find(|span| span.name == "clip").unwrap();
    let about: BTreeMap<&str, String> =
        clip.attributes.iter().map(|a| (a.key.as_str(), format!("{:?}", a.value))).collect();
    assert!(about["stream"].contains("show") && about["camera"].contains("main"), "{about:?}");
}
