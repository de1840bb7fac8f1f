//! The logs that the processes of several machines share.

#[cfg(feature = "kafka")]
mod kafka;
mod pools;
mod redis;
mod url;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clipcore::event::Kinds;
use clipcore::host::{StreamStore, WorkerConfig};
use clipcore::log::EventLog;
use clipcore::log::redis::{RedisDurability, RedisLogConfig};
use clipcore::{Error, Result};
use serde::{Deserialize, Serialize, Serializer};

pub use self::pools::{Pools, RecordingsConfig};
pub use self::url::SharedUrl;

/// What the processes of a deployment share; without `url` there is but one process, with its logs in files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharedConfig {
    /// The Redis server or the Kafka brokers that hold the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<SharedUrl>,
    /// What the names of its keys or topics begin with.
    pub prefix: String,
    /// Into how many parts new logs are divided: so many workers can share the streams.
    pub partitions: u32,
    /// What the settings of a Redis server must promise.
    pub durability: RedisDurability,
    /// How long a call may take, attempts after a lost connection included, in seconds.
    #[serde(with = "clipcore::config::secs")]
    pub timeout: Duration,
    /// How this process claims partitions.
    pub worker: WorkerConfig,
    /// Detectors of sound and pictures that run in processes of their own (serve --role detect), by the name of their pool.
    pub pools: Pools,
    /// How workers let these processes read what they record.
    pub recordings: RecordingsConfig,
    /// What only Kafka needs.
    pub kafka: KafkaConfig,
}

/// What only logs in Kafka need.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// On how many brokers new topics are kept; 0 leaves it to the brokers' default.
    pub replication: u8,
    /// Further settings of librdkafka, by its names.
    #[serde(serialize_with = "without_secrets")]
    pub settings: BTreeMap<String, String>,
}

/// What is printed of a configuration is not to hold secrets; it cannot be read back.
fn without_secrets<S: Serializer>(settings: &BTreeMap<String, String>, s: S) -> Result<S::Ok, S::Error> {
    let secret = ["password", "secret", "key.pem", "oauthbearer.config"];
    s.collect_map(settings.iter().map(|(key, value)| {
        let hidden = secret.iter().any(|part| key.contains(part));
        (key, if hidden { "(hidden)" } else { value.as_str() })
    }))
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
            pools: Pools::default(),
            recordings: RecordingsConfig::default(),
            kafka: KafkaConfig::default(),
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
    /// Whose turn it is to take out what is too old, where that can be done; it holds no records.
    pub(crate) turn: Option<Arc<dyn EventLog>>,
}

impl SharedConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub(crate) fn validate(&self) -> Result<()> {
        self.pools.validate()?;
        self.recordings.validate()
    }

    /// Opens the logs, or begins them. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config` without `url`, or where this program was built without what it names; else what the server says.
    pub(crate) async fn open(&self, kinds: &Kinds) -> Result<Shared> {
        let opened = async {
            Ok(Shared {
                inbox: self.log("inbox", kinds).await?,
                log: self.log("log", kinds).await?,
                offsets: self.log("offsets", kinds).await?,
                streams: match self.url()? {
                    SharedUrl::Redis(url) => redis::streams(self, url)?,
                    #[cfg(feature = "kafka")]
                    SharedUrl::Kafka(brokers) => kafka::streams(self, brokers).await?,
                    #[cfg(not(feature = "kafka"))]
                    SharedUrl::Kafka(_) => return Err(without_kafka()),
                },
                turn: match self.url()? {
                    SharedUrl::Redis(_) => {
                        Some(Self { partitions: 1, ..self.clone() }.log("expiry", kinds).await?)
                    }
                    // Nothing can be taken out of its logs.
                    SharedUrl::Kafka(_) => None,
                },
            })
        };
        opened.await.map_err(|e: Error| e.with_context("section", "shared"))
    }

    /// Opens the log in which the processes of a pool keep how far they have come.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) async fn places(&self, pool: &str, kinds: &Kinds) -> Result<Arc<dyn EventLog>> {
        let places = self.log(&format!("detect-{pool}"), kinds).await;
        places.map_err(|e| e.with_context("section", "shared"))
    }

    async fn log(&self, name: &str, kinds: &Kinds) -> Result<Arc<dyn EventLog>> {
        match self.url()? {
            SharedUrl::Redis(url) => redis::log(self, url, name, kinds).await,
            #[cfg(feature = "kafka")]
            SharedUrl::Kafka(brokers) => kafka::log(self, brokers, name, kinds).await,
            #[cfg(not(feature = "kafka"))]
            SharedUrl::Kafka(_) => Err(without_kafka()),
        }
    }

    fn url(&self) -> Result<&SharedUrl> {
        self.url.as_ref().ok_or_else(|| {
            Error::config("one process with some of the roles needs logs that it shares with the others")
                .with_hint("set shared.url to a Redis server or Kafka brokers: CLIPCORE__SHARED__URL=redis://HOST:6379, or url in [shared] of the --config file")
        })
    }
}

#[cfg(not(feature = "kafka"))]
fn without_kafka() -> Error {
    Error::config("this clipcore was built without Kafka").with_hint(
        "build it with: cargo install --path clipcore-cli --features kafka (needs cmake and a C compiler)",
    )
}
