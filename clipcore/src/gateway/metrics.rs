//! What Prometheus is told: what streams count, summed over all of them, and how requests fare. No label names a stream, a
//! user or a token.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::{Registry, Unit};

use super::app::App;
use crate::host::StreamState;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: Cow<'static, str>,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: Cow<'static, str>,
}

/// An observation that somebody can look up where traces are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exemplar {
    trace_id: String,
}

type Latency = HistogramWithExemplars<Exemplar>;

#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<Request, Counter>,
    latency: Family<Route, Latency, fn() -> Latency>,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    /// Pieces of sound.
    pub(super) sounds: Counter,
    pub(super) sounds_refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets: fn() -> Latency = || Latency::new(exponential_buckets(0.0005, 2.0, 15));
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
    /// Counts an answer. `route` is the pattern, never the path; `method` is one that the server knows. `trace` is the id of the
    /// request's trace, where it has one.
    pub(super) fn answered(
        &self,
        method: &str,
        route: Cow<'static, str>,
        status: u16,
        took: Duration,
        trace: Option<&str>,
    ) {
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or("other");
        let request = Request { method, route: route.clone(), status };
        self.requests.get_or_create(&request).inc();
        self.latency.get_or_create(&Route { route }).observe(
            took.as_secs_f64(),
            trace.map(|id| Exemplar { trace_id: id.to_owned() }),
            None,
        );
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

/// The same for scrapers that do not read OpenMetrics: Prometheus' text format 0.0.4, which has no exemplars and no units, and
/// calls a counter by the name of its sample.
pub(super) fn classic(text: &str) -> String {
    fn counter(line: &str) -> Option<&str> {
        line.strip_prefix("# TYPE ")?.strip_suffix(" counter")
    }
    let counters: HashSet<&str> = text.lines().filter_map(counter).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("# UNIT") || line.starts_with("# EOF") {
            continue;
        }
        let about =
            ["# TYPE ", "# HELP "].into_iter().find_map(|word| Some((word, line.strip_prefix(word)?)));
        match about.and_then(|(word, rest)| Some((word, rest.split_once(' ')?))) {
            Some((word, (name, rest))) if counters.contains(name) => {
                out.push_str(&format!("{word}{name}_total {rest}"));
            }
            _ => out.push_str(line.split_once(" # {").map_or(line, |(sample, _)| sample)),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_are_for_openmetrics_alone() {
        let metrics = Metrics::default();
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        metrics.answered("POST", "/v1/x".into(), 202, Duration::from_millis(3), Some(trace));
        let mut all = Registry::with_prefix("clipcore");
        all.register("http_requests", "Answers", metrics.requests.clone());
        all.register_with_unit("http_request_duration", "Time", Unit::Seconds, metrics.latency.clone());
        let mut open = String::new();
        encode(&mut open, &all).unwrap();
        let bucket = |text: &str| text.lines().find(|l| l.contains("le=\"0.004\"")).unwrap().to_owned();
        assert!(bucket(&open).contains(&format!("1 # {{trace_id=\"{trace}\"}} 0.003")), "{open}");

        let classic = classic(&open);
        assert!(bucket(&classic).ends_with("\"} 1") && !classic.contains(trace), "{classic}");
        for line in
            ["# TYPE clipcore_http_requests_total counter\n", "# HELP clipcore_http_requests_total Answers"]
        {
            assert!(classic.contains(line), "{classic}");
        }
        assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"), "{classic}");
    }
}
