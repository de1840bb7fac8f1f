//! Sinks beside the output folder, as the configuration says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clipcore::sink::layer::RetryConfig;
use clipcore::sink::{
    ClipSink, ObjectStoreSink, ObjectStoreSinkConfig, RedisSink, RedisSinkConfig, RqSink, RqSinkConfig,
    SinkExt, WebhookSink, WebhookSinkConfig,
};
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
    /// Finished clips into S3 or a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_store: Option<ObjectStoreSinkConfig>,
    /// Signed webhooks, each under a name of its own: `[sinks.webhook.studio]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub webhook: BTreeMap<String, WebhookSinkConfig>,
}

/// Where what sinks refuse for good is put aside, under the output folder.
pub fn dead_letters(out: &Path) -> PathBuf {
    out.join("dead-letters")
}

impl Default for SinksConfig {
    fn default() -> Self {
        // With pauses of up to half a minute: half an hour and more.
        Self {
            retry: RetryConfig { attempts: 80, ..RetryConfig::default() },
            redis: None,
            rq: None,
            object_store: None,
            webhook: BTreeMap::new(),
        }
    }
}

impl SinksConfig {
    /// Where things are sent, for people; without secrets.
    pub fn destinations(&self) -> Vec<String> {
        let redis = self.redis.iter().map(|c| c.url.shown().to_owned());
        let rq = self.rq.iter().map(|c| format!("RQ on {}", c.url.shown()));
        let store = self.object_store.iter().map(|c| c.url.clone());
        redis.chain(rq).chain(store).chain(self.webhook.values().map(|c| c.url.to_string())).collect()
    }

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
        if let Some(config) = &self.object_store {
            let sink = ObjectStoreSink::new(config.clone()).map_err(named("sinks.object_store"))?;
            sinks.push(Arc::new(sink));
        }
        for (name, config) in &self.webhook {
            let section = format!("sinks.webhook.{name}");
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            {
                return Err(Error::config(format!("{name:?} cannot be the name of a webhook"))
                    .with_context("section", "sinks.webhook")
                    .with_hint("names are made of A-Z a-z 0-9 _ -: [sinks.webhook.studio]"));
            }
            let sink = WebhookSink::new(config.clone()).map_err(|e| e.with_context("section", section))?;
            sinks.push(Arc::new(sink.with_name(format!("webhook.{name}"))));
        }
        Ok(sinks)
    }
}

/// The configured sinks, each checked, each tried again while its server is away; what one refuses for good goes to a
/// file of [dead letters](dead_letters).
///
/// # Errors
/// Where a sink cannot work, naming its section.
pub async fn open(config: &SinksConfig, out: &Path) -> Result<Vec<Arc<dyn ClipSink>>> {
    let mut sinks: Vec<Arc<dyn ClipSink>> = Vec::new();
    for sink in config.build()? {
        sink.check().await.map_err(|e| e.with_context("section", format!("sinks.{}", sink.name())))?;
        let path = dead_letters(out).join(format!("{}.jsonl", sink.name()));
        let sink = sink.with_retry(config.retry.clone()).with_dead_letter(path).await?;
        sinks.push(Arc::new(sink.permanent_only()));
    }
    Ok(sinks)
}

/// What [`open`] says, for the program: it ends with 4, or with 2 where settings are wrong.
pub(crate) fn failure(error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::Config => error.into(),
        _ => Failure::wrap(Exit::Sink, error),
    }
}
