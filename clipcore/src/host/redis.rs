use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;

use super::{Known, StreamStore};
use crate::log::redis::check_prefix;
use crate::redis::{Connection, RedisUrl};
use crate::{Error, ErrorKind, Result, StreamId};

/// What hosts of several processes know of their streams: one hash in Redis, `PREFIX:streams`, a field of JSON for each. Another,
/// `PREFIX:keys`, says where gateways keep keys of pseudonyms; delete the field of one that is gone for good.
#[derive(Debug)]
pub struct RedisStreams {
    connection: Connection,
    key: String,
    keys: String,
}

impl RedisStreams {
    /// Keeps them on this server; a call takes at most `timeout`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config` for a prefix that is none, or a time-out of 0.
    pub fn new(url: &RedisUrl, prefix: &str, timeout: Duration) -> Result<Self> {
        check_prefix(prefix)?;
        Ok(Self {
            connection: Connection::new(url, timeout)?,
            key: format!("{prefix}:streams"),
            keys: format!("{prefix}:keys"),
        })
    }
}

#[async_trait]
impl StreamStore for RedisStreams {
    async fn load(&self) -> Result<BTreeMap<StreamId, Known>> {
        let found: HashMap<String, String> =
            self.connection.query(redis::cmd("HGETALL").arg(&self.key)).await?;
        let read = found.into_iter().map(|(stream, json)| {
            let known = serde_json::from_str(&json).map_err(|e| {
                Error::new(ErrorKind::Corrupt, "this description of a stream cannot be read")
                    .with_source(e)
                    .with_context("key", &self.key)
                    .with_context("field", &stream)
            })?;
            Ok((StreamId::new(&*stream)?, known))
        });
        read.collect()
    }

    async fn save(&self, stream: &StreamId, known: &Known) -> Result<()> {
        let json = serde_json::to_string(known)?;
        let mut cmd = redis::cmd("HSET");
        cmd.arg(&self.key).arg(stream.as_str()).arg(json);
        self.connection.query(&cmd).await
    }

    async fn remove(&self, stream: &StreamId) -> Result<()> {
        self.connection.query(redis::cmd("HDEL").arg(&self.key).arg(stream.as_str())).await
    }

    async fn note_keys(&self, keys: &str, place: &str) -> Result<()> {
        self.connection.query(redis::cmd("HSET").arg(&self.keys).arg(keys).arg(place)).await
    }

    async fn keys(&self) -> Result<BTreeMap<String, String>> {
        self.connection.query(redis::cmd("HGETALL").arg(&self.keys)).await
    }
}
