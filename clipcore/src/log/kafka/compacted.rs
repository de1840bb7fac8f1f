//! One partition of a compacted topic, of which the last message under each key counts.

use std::collections::BTreeMap;

use rdkafka::producer::FutureRecord;

use super::KafkaLogConfig;
use super::client::{Producer, explain};
use super::reader::{Committed, Reader};
use crate::Result;

/// The last values, as far as they were read. Its calls block.
#[derive(Debug)]
pub(crate) struct Compacted {
    reader: Reader,
    /// The last value under each key, up to Kafka's offset `next`.
    last: BTreeMap<Vec<u8>, Vec<u8>>,
    next: i64,
}

impl Compacted {
    pub(crate) fn new(config: &KafkaLogConfig, topic: String, partition: u32) -> Self {
        Self { reader: Reader::new(config, topic, partition), last: BTreeMap::new(), next: 0 }
    }

    /// Reads what is new; gives all values that there are.
    pub(crate) fn read(&mut self, committed: &Committed) -> Result<&BTreeMap<Vec<u8>, Vec<u8>>> {
        let Self { reader, last, next } = self;
        reader.read(*next, committed, |offset, key, value| {
            *next = offset + 1;
            if value.is_empty() {
                last.remove(key);
            } else {
                last.insert(key.to_vec(), value.to_vec());
            }
            Ok(true)
        })?;
        Ok(last)
    }
}

/// Writes a value under a key, without a transaction. An empty one is a mark that compaction drops with what was there.
pub(crate) async fn put(
    (producer, config): (&Producer, &KafkaLogConfig),
    topic: &str,
    key: &str,
    value: &str,
    committed: &Committed,
) -> Result<()> {
    let record = FutureRecord::to(topic).partition(0).key(key);
    let record = if value.is_empty() { record } else { record.payload(value) };
    match producer.send(record, config.timeout).await {
        Ok(delivery) => {
            committed.note(delivery.offset);
            Ok(())
        }
        Err((e, _)) => Err(explain(&e, config)),
    }
}
