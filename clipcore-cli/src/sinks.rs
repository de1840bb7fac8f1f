//! Sinks beside the output folder, as the configuration says.

use std::sync::Arc;

use clipcore::sink::layer::RetryConfig;
use clipcore::sink::{ClipSink, RedisSink, RedisSinkConfig, RqSink, RqSinkConfig, SinkExt};
use clipcore::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

/// Where moments and clips go beside the output folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinksConfig {
    /// How long an outage of a server is waited out before a delivery is left to the next run.
    pub retry: RetryConfig,
    /// Moments and clips into Redis Streams, with word of each on pub/sub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSinkConfig>,
    /// Jobs for RQ workers, one a clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rq: Option<RqSinkConfig>,
}

impl Default for SinksConfig {
    fn default() -> Self {
        // With pauses of up to half a minute: half an hour and more.
        Self { retry: RetryConfig { attempts: 80, ..RetryConfig::default() }, redis: None, rq: None }
    }
}

impl SinksConfig {
    /// The configured sinks, without layers. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config`, naming the section.
    pub fn build(&self) -> Result<Vec<Arc<dyn ClipSink>>> {
        let mut sinks: Vec<Arc<dyn ClipSink>> = Vec::new();
        let named = |section: &'static str| move |e: Error| e.with_context("section", section);
        if let Some(config) = &self.redis {
            sinks.push(Arc::new(RedisSink::new(config.clone()).map_err(named("sinks.redis"))?));
        }
        if let Some(config) = &self.rq {
            sinks.push(Arc::new(RqSink::new(config.clone()).map_err(named("sinks.rq"))?));
        }
        Ok(sinks)
    }
}

/// The configured sinks, each checked, each tried again while its server is away.
///
/// # Errors
/// Where a sink cannot work: the program then ends with 4, or with 2 where its settings are wrong.
pub async fn open(config: &SinksConfig) -> anyhow::Result<Vec<Arc<dyn ClipSink>>> {
    let mut sinks: Vec<Arc<dyn ClipSink>> = Vec::new();
    for sink in config.build()? {
        if let Err(e) = sink.check().await {
            let e = e.with_context("section", format!("sinks.{}", sink.name()));
            return Err(match e.kind() {
                ErrorKind::Config => e.into(),
                _ => Failure::wrap(Exit::Sink, e),
            });
        }
        sinks.push(Arc::new(sink.with_retry(config.retry.clone())));
    }
    Ok(sinks)
}
