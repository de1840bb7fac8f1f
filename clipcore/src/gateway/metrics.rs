//! What Prometheus is told: what streams count, summed over all of them, and how requests fare. No label names a stream, a
//! user or a token.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::app::App;
use crate::host::StreamState;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<Request, Counter>,
    latency: Family<Route, Histogram, fn() -> Histogram>,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    /// Pieces of sound.
    pub(super) sounds: Counter,
    pub(super) sounds_refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(buckets),
            accepted: Counter::default(),
            refused: Counter::default(),
            sounds: Counter::default(),
            sounds_refused: Counter::default(),
        }
    }
}

impl Metrics {
    /// Counts an answer. `route` is the pattern, never the path; `method` is one that the server knows.
    pub(super) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = match method {
            "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" => method,
            _ => "other",
        };
        let route = route.to_owned();
        let request = Request { method: method.to_owned(), route: route.clone(), status };
        self.requests.get_or_create(&request).inc();
        self.latency.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }
}

/// Everything in OpenMetrics text.
pub(super) fn text(app: &App) -> String {
    let mut all = Registry::with_prefix("clipcore");
    let (host, own) = (&app.host, &app.metrics);
    all.register("ingest_events", "Events taken into the inbox", own.accepted.clone());
    all.register("ingest_refused", "Events refused at the gateway", own.refused.clone());
    all.register("ingest_sounds", "Pieces of sound taken in", own.sounds.clone());
    let refused = own.sounds_refused.clone();
    all.register("ingest_sounds_refused", "Pieces of sound refused or left out at the gateway", refused);
    all.register("http_requests", "Answers, by route and status", own.requests.clone());
    let latency = own.latency.clone();
    all.register_with_unit("http_request_duration", "Time to an answer's head", Unit::Seconds, latency);
    let gauge = |value: usize| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    all.register(
        "open_connections",
        "Event streams and sockets that are open",
        gauge(app.connections.open()),
    );
    let streams = host.streams();
    for (name, help, state) in [
        ("streams_live", "Streams that run", StreamState::Live),
        ("streams_failed", "Streams that failed and will be tried again", StreamState::Failed),
    ] {
        all.register(name, help, gauge(streams.iter().filter(|s| s.state == state).count()));
    }
    let lag = "Records of the inbox that the stream furthest behind has not read";
    all.register("inbox_lag_records", lag, gauge(usize::try_from(host.inbox_lag()).unwrap_or(usize::MAX)));
    let total = host.totals();
    for (name, help, value) in [
        ("events", "Events logged", total.events),
        ("signals", "Signals from sound and pictures logged", total.signals),
        ("events_late", "Inputs that came after the watermark", total.late),
        ("events_full", "Inputs refused because a buffer was full", total.full),
        ("events_duplicate", "Inputs that had come before", total.duplicate),
        ("events_bad", "Inputs that were no usable event", total.bad),
        ("events_withheld", "Inputs that consent does not cover", total.refused),
        ("moments_closed", "Moments that closed", total.moments),
        ("moments_dropped", "Moments that were dropped", total.dropped),
        ("clips_ready", "Clips that became ready", total.clips),
        ("clips_failed", "Clips that failed", total.clips_failed),
        ("deliveries", "Items that a sink took", total.delivered),
        ("delivery_failures", "Items that a sink did not take", total.delivery_failures),
        ("checkpoints", "Checkpoints written", total.checkpoints),
        ("source_waits", "Times a source waited for its queue", total.source_waits),
        ("sink_waits", "Times an item waited for a sink", total.sink_waits),
        ("backlog_pauses", "Times sources waited for sinks or cutters", total.backlog_pauses),
        ("log_retries", "Appends tried again", total.log_retries),
    ] {
        all.register(name, help, ConstCounter::new(value));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &all);
    text
}
