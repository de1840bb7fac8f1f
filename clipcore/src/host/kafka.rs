use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rdkafka::producer::FutureRecord;

use super::{Known, StreamStore};
use crate::durable::blocking;
use crate::log::KafkaLogConfig;
use crate::log::kafka::client::{Producer, explain, producer, settings, topics};
use crate::log::kafka::reader::{Committed, Reader};
use crate::{Error, ErrorKind, Result, StreamId};

/// What hosts of several processes know of their streams: a compacted topic in Kafka, `PREFIX.streams`, of one partition;
/// under each stream's id its last message counts, JSON, or nothing where the stream was forgotten.
pub struct KafkaStreams {
    config: KafkaLogConfig,
    producer: Producer,
    topic: String,
    view: Arc<Mutex<View>>,
    committed: Arc<Committed>,
}

/// What was read so far.
struct View {
    reader: Reader,
    known: BTreeMap<Vec<u8>, Vec<u8>>,
    next: i64,
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
        let reader = Reader::new(&config, topic.clone(), 0);
        let view = View { reader, known: BTreeMap::new(), next: 0 };
        Ok(Self { config, producer, topic, view: Arc::new(Mutex::new(view)), committed: Arc::default() })
    }
}

impl KafkaStreams {
    async fn write(&self, stream: &StreamId, text: &str) -> Result<()> {
        let record = FutureRecord::to(&self.topic).partition(0).key(stream.as_str());
        // Without a payload it is a mark that compaction drops with what was there.
        let record = if text.is_empty() { record } else { record.payload(text) };
        match self.producer.send(record, self.config.timeout).await {
            Ok(delivery) => {
                self.committed.note(delivery.offset);
                Ok(())
            }
            Err((e, _)) => Err(explain(&e, &self.config)),
        }
    }
}

#[async_trait]
impl StreamStore for KafkaStreams {
    async fn load(&self) -> Result<BTreeMap<StreamId, Known>> {
        let (view, committed, topic) = (self.view.clone(), self.committed.clone(), self.topic.clone());
        let read = move || {
            let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
            let View { reader, known, next } = &mut *view;
            reader.read(*next, &committed, |offset, key, value| {
                *next = offset + 1;
                if value.is_empty() {
                    known.remove(key);
                } else {
                    known.insert(key.to_vec(), value.to_vec());
                }
                Ok(true)
            })?;
            let parsed = known.iter().map(|(stream, json)| {
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
        blocking(read).await.map_err(|e: Error| e.with_operation("kafka_streams::load"))
    }

    async fn save(&self, stream: &StreamId, known: &Known) -> Result<()> {
        let json = serde_json::to_string(known)?;
        self.write(stream, &json).await.map_err(|e| e.with_operation("kafka_streams::save"))
    }

    async fn remove(&self, stream: &StreamId) -> Result<()> {
        self.write(stream, "").await.map_err(|e| e.with_operation("kafka_streams::remove"))
    }
}
