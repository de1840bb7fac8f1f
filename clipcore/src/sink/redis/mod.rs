//! Moments and clips into Redis Streams, with word of each on the stream's pub/sub channel.
//!
//! ```text
//! {clipcore:s1}:moments      stream: field ce: a moment's transition as one line of CloudEvents JSON
//! {clipcore:s1}:clips        stream: the same of clips
//! {clipcore:s1}:delivered:ID hash: revision to entry id, of one moment or clip; kept for a week
//! live:s1                    pub/sub: the same JSON, with the entry's id in the member "clipcore"
//! ```
//!
//! Who subscribes hears at once; who missed something reads the stream from the last entry id it saw. One script
//! does all of it, so an entry is there whole, once, and was announced.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{ClipSink, Delivery};
use crate::log::redis::check_prefix;
use crate::log::{Receipt, Record};
use crate::redis::{Channels, Connection, Lua, RedisUrl};
use crate::{Error, ErrorKind, Result, StreamId, config};

/// How moments and clips go to Redis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSinkConfig {
    /// The server.
    pub url: RedisUrl,
    /// What the names of keys begin with: 1 to 64 of `A-Z a-z 0-9 . _ - :`.
    pub prefix: String,
    /// Where word of each entry is published.
    pub channels: Channels,
    /// About how many entries a stream keeps; 0 keeps all.
    pub max_entries: u64,
    /// How long a delivery is remembered, so that it has one effect only; in seconds in files.
    #[serde(with = "config::secs")]
    pub remember: Duration,
    /// How long a call may take, attempts after a lost connection included; in seconds in files.
    #[serde(with = "config::secs")]
    pub timeout: Duration,
}

impl Default for RedisSinkConfig {
    fn default() -> Self {
        Self {
            url: RedisUrl::default(),
            prefix: "clipcore".to_owned(),
            channels: Channels::default(),
            max_entries: 10_000,
            remember: Duration::from_secs(7 * 86_400),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Delivers every transition of moments and clips to Redis; see the [module](self).
///
/// A receipt's `location` is key and entry id. An item is known by its id and revision for as long as
/// [`remember`](RedisSinkConfig::remember) says, across restarts. What a receipt is worth when the server crashes is a
/// matter of its settings: see [`RedisDurability`](crate::log::RedisDurability).
///
/// # Errors
/// `Unavailable`, `Timeout` or `DiskFull` (the server's memory), all retryable; `Config` where the server refuses.
#[derive(Debug)]
pub struct RedisSink {
    name: Arc<str>,
    config: RedisSinkConfig,
    connection: Connection,
    script: Lua,
}

impl RedisSink {
    /// A sink named `redis`. It connects with the first call; [`check`](ClipSink::check) says whether it can. Must
    /// be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config`.
    pub fn new(config: RedisSinkConfig) -> Result<Self> {
        check_prefix(&config.prefix)?;
        let connection = Connection::new(&config.url, config.timeout)?;
        let script = Lua::new(include_str!("deliver.lua"));
        Ok(Self { name: "redis".into(), config, connection, script })
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

#[async_trait]
impl ClipSink for RedisSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn check(&self) -> Result<()> {
        let pong = self.connection.query::<String>(&redis::cmd("PING")).await;
        pong.map(drop).map_err(|e| e.with_operation("redis::check"))
    }

    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        let tag = format!("{{{}:{stream}}}", self.config.prefix);
        let mut erased = 0;
        for what in ["moments", "clips"] {
            let key = format!("{tag}:{what}");
            erased += self.connection.query::<usize>(redis::cmd("XLEN").arg(&key)).await?;
            self.connection.query::<()>(redis::cmd("UNLINK").arg(&key)).await?;
        }
        let mut cursor = "0".to_owned();
        loop {
            let mut cmd = redis::cmd("SCAN");
            cmd.arg(&cursor).arg("MATCH").arg(format!("{tag}:delivered:*")).arg("COUNT").arg(1000);
            let (next, keys): (String, Vec<String>) = self.connection.query(&cmd).await?;
            if !keys.is_empty() {
                self.connection.query::<()>(redis::cmd("UNLINK").arg(keys)).await?;
            }
            if next == "0" {
                return Ok(erased);
            }
            cursor = next;
        }
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let (what, record) = match item {
            Delivery::Moment(moment) => ("moments", Record::Moment(moment.clone())),
            Delivery::Clip { clip, .. } => ("clips", Record::Clip(clip.clone())),
        };
        let tag = format!("{{{}:{}}}", self.config.prefix, item.stream());
        let stream = format!("{tag}:{what}");
        let mut call = self.script.call(&[&stream, &format!("{tag}:delivered:{}", item.item())]);
        call.arg(item.rev()).arg(record.to_json()?).arg(self.config.channels.of(item.stream()));
        call.arg(self.config.max_entries).arg(self.config.remember.as_secs().max(1));
        let (duplicate, entry): (bool, String) = self
            .connection
            .run(&self.script, &call)
            .await
            .map_err(|e| e.with_context("item", item.item()).with_operation("redis::deliver"))?;
        if entry.is_empty() {
            return Err(
                Error::new(ErrorKind::Internal, "Redis gave no entry id").with_context("key", &stream)
            );
        }
        let mut receipt = item.receipt(&self.name);
        receipt.location = Some(format!("{stream} {entry}"));
        receipt.duplicate = duplicate;
        Ok(receipt)
    }
}
