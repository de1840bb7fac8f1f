//! Traces to a collector, by OTLP over HTTP with protobuf.
//!
//! A producer's `traceparent` is the parent of what clipcore does for it: `ingest` (until an event is durable), `fuse` (a moment is
//! decided), `clip` (its file is cut) and `deliver` (to one sink). What comes without one is not traced.
//!
//! Set up by OpenTelemetry's own variables: `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` (without either
//! nothing is exported), `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_SERVICE_NAME`,
//! `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_*`, `OTEL_SDK_DISABLED`.

use std::collections::HashMap;
use std::env::var_os;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::{Builder, Handle, Runtime};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::{Error, Result};

/// The way to a collector, with a thread of its own that sends.
#[derive(Debug)]
pub struct Otlp {
    provider: SdkTracerProvider,
    runtime: Option<Runtime>,
}

impl Otlp {
    /// As the environment says it; `None` where it names no collector.
    ///
    /// # Errors
    /// `Config` where what it says makes no sense; `Io` where the system gives no thread.
    pub fn from_env() -> Result<Option<Self>> {
        let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let off = var_os("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if off || !named.into_iter().any(|name| var_os(name).is_some_and(|v| !v.is_empty())) {
            return Ok(None);
        }
        let wrong = |e: String| {
            Error::config("traces cannot be exported as the environment says")
                .with_source(e)
                .with_hint("OTEL_EXPORTER_OTLP_ENDPOINT looks like http://localhost:4318")
        };
        let client = reqwest::Client::builder().build().map_err(|e| wrong(e.to_string()))?;
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("clipcore-otlp").enable_all().build()?;
        let post = Post { client, runtime: runtime.handle().clone() };
        let exporter = SpanExporter::builder().with_http().with_http_client(post);
        let exporter = exporter.build().map_err(|e| wrong(e.to_string()))?;
        let mut resource = Resource::builder();
        if var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("clipcore");
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        Ok(Some(Self { provider: provider.build(), runtime: Some(runtime) }))
    }

    /// Takes clipcore's spans up, and nothing else.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let tracer = self.provider.tracer("clipcore");
        let ours = filter_fn(|meta| meta.is_span() && meta.target() == "clipcore::trace");
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(ours)
    }

    /// Sends what is left; blocks until that is done, or fails.
    pub fn shutdown(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!("the last traces could not be sent: {error}");
        }
    }
}

impl Drop for Otlp {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes what `traceparent` names the parent of `span`.
pub(crate) fn set_parent(span: &Span, traceparent: &str) {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    // Refused where nobody exports the span.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// Posts on the runtime that made it, whatever thread asks.
#[derive(Debug)]
struct Post {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(
        &self,
        request: axum::http::Request<Bytes>,
    ) -> std::result::Result<axum::http::Response<Bytes>, HttpError> {
        let request = request.try_into()?;
        let client = self.client.clone();
        let answered = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let (status, body) = answered.await??;
        Ok(axum::http::Response::builder().status(status).body(body)?)
    }
}
