use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Known, StreamStore};
use crate::log::KafkaLogConfig;
use crate::log::kafka::client::{Producer, producer, settings, topics};
use crate::log::kafka::compacted::{Compacted, put};
use crate::log::kafka::reader::Committed;
use crate::log::kafka::replaceable::Replaceable;
use crate::{Error, ErrorKind, Result, StreamId};

/// What hosts of several processes know of their streams: a compacted topic in Kafka, `PREFIX.streams`, of one partition;
/// under each stream's id its last message counts, JSON, or nothing where the stream was forgotten.
pub struct KafkaStreams {
    config: KafkaLogConfig,
    producer: Producer,
    topic: String,
    known: Replaceable<Compacted>,
    committed: Arc<Committed>,
}

impl fmt::Debug for KafkaStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaStreams").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl KafkaStreams {
    /// Opens the topic, or makes it. Of the configuration, all counts but the number of partitions. Must be called on a tokio
    /// runtime.
    ///
    /// # Errors
    /// `Config` for settings that make no sense; `Unavailable` or `Timeout` where the brokers cannot be reached.
    pub async fn open(config: KafkaLogConfig) -> Result<Self> {
        config.validate()?;
        let topic = format!("{}.streams", config.prefix);
        topics(&config, &[(topic.clone(), "compact", 1)])
            .await
            .map_err(|e| e.with_operation("kafka_streams::open"))?;
        let producer = producer(&config, settings(&config).set("enable.idempotence", "true"))?;
        let read = (config.clone(), topic.clone());
        let known = Replaceable::new(config.timeout, move || Compacted::new(&read.0, read.1.clone(), 0));
        Ok(Self { config, producer, topic, known, committed: Arc::default() })
    }
}

impl KafkaStreams {
    async fn write(&self, stream: &StreamId, text: &str) -> Result<()> {
        let producer = (&self.producer, &self.config);
        put(producer, &self.topic, stream.as_str(), text, &self.committed).await
    }
}

#[async_trait]
impl StreamStore for KafkaStreams {
    async fn load(&self) -> Result<BTreeMap<StreamId, Known>> {
        let (committed, topic) = (self.committed.clone(), self.topic.clone());
        let read = move |known: &mut Compacted| {
            let parsed = known.read(&committed)?.iter().map(|(stream, json)| {
                let stream = String::from_utf8_lossy(stream);
                let known = serde_json::from_slice(json).map_err(|e| {
                    Error::new(ErrorKind::Corrupt, "this description of a stream cannot be read")
                        .with_source(e)
                        .with_context("topic", &topic)
                        .with_context("key", &stream)
                })?;
                Ok((StreamId::new(&*stream)?, known))
            });
            parsed.collect()
        };
        self.known.with(read).await.map_err(|e: Error| e.with_operation("kafka_streams::load"))
    }

    async fn save(&self, stream: &StreamId, known: &Known) -> Result<()> {
        let json = serde_json::to_string(known)?;
        self.write(stream, &json).await.map_err(|e| e.with_operation("kafka_streams::save"))
    }

    async fn remove(&self, stream: &StreamId) -> Result<()> {
        self.write(stream, "").await.map_err(|e| e.with_operation("kafka_streams::remove"))
    }
}
