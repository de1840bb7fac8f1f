//! The logs that the processes of several machines share.

use std::sync::Arc;
use std::time::Duration;

use clipcore::event::Kinds;
use clipcore::host::{RedisStreams, StreamStore, WorkerConfig};
use clipcore::log::EventLog;
use clipcore::log::redis::{RedisDurability, RedisLog, RedisLogConfig};
use clipcore::redis::RedisUrl;
use clipcore::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the processes of a deployment share; without `url` there is but one process, with its logs in files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharedConfig {
    /// The Redis server that holds the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<RedisUrl>,
    /// What the names of its keys begin with.
    pub prefix: String,
    /// Into how many parts new logs are divided: so many workers can share the streams.
    pub partitions: u32,
    /// What the server's settings must promise.
    pub durability: RedisDurability,
    /// How long a call may take, attempts after a lost connection included, in seconds.
    #[serde(with = "clipcore::config::secs")]
    pub timeout: Duration,
    /// How this process claims partitions.
    pub worker: WorkerConfig,
}

impl Default for SharedConfig {
    fn default() -> Self {
        let log = RedisLogConfig::default();
        Self {
            url: None,
            prefix: log.prefix,
            partitions: 16,
            durability: log.durability,
            timeout: log.timeout,
            worker: WorkerConfig::default(),
        }
    }
}

/// The logs, opened.
pub(crate) struct Shared {
    /// What was taken in.
    pub(crate) inbox: Arc<dyn EventLog>,
    /// What was found.
    pub(crate) log: Arc<dyn EventLog>,
    /// How far deliveries have come; it holds no records.
    pub(crate) offsets: Arc<dyn EventLog>,
    /// What is known of streams.
    pub(crate) streams: Arc<dyn StreamStore>,
}

impl SharedConfig {
    /// Opens the logs, or begins them. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config` without `url`; else what the server says.
    pub(crate) async fn open(&self, kinds: &Kinds) -> Result<Shared> {
        let Some(url) = &self.url else {
            return Err(Error::config("one process with some of the roles needs logs that it shares with the others")
                .with_hint("set shared.url to a Redis server: CLIPCORE__SHARED__URL=redis://HOST:6379, or url in [shared] of the --config file"));
        };
        let log = async |name: &str| {
            let config = RedisLogConfig {
                url: url.clone(),
                prefix: format!("{}:{name}", self.prefix),
                partitions: self.partitions,
                durability: self.durability,
                timeout: self.timeout,
                ..RedisLogConfig::default()
            };
            let log = RedisLog::open(config, kinds.clone())
                .await
                .map_err(|e| e.with_context("section", "shared"))?;
            Ok::<Arc<dyn EventLog>, Error>(Arc::new(log))
        };
        Ok(Shared {
            inbox: log("inbox").await?,
            log: log("log").await?,
            offsets: log("offsets").await?,
            streams: Arc::new(RedisStreams::new(url, &self.prefix, self.timeout)?),
        })
    }
}
