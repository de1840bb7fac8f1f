//! Reads one partition of a topic, committed messages only.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::KafkaLogConfig;
use super::client::{PartitionConsumer, consumer, explain};
use super::sizes::Sizes;
use crate::clock::{SystemTimeSource, TimeSource};
use crate::{Error, ErrorKind, Result};

/// Bytes of messages that are kept for the next one to read them.
const RECENT: usize = 1 << 20;
/// How long a message that must be there may keep one waiting before the question is put again.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it takes until a question that a broker could not answer is put again.
const AGAIN: Duration = Duration::from_millis(50);

/// A consumer of one partition. Its calls block.
pub(crate) struct Reader {
    config: KafkaLogConfig,
    topic: String,
    partition: u32,
    consumer: Option<PartitionConsumer>,
    /// What the consumer gives next; nothing where it was assigned nothing yet.
    position: Option<i64>,
    /// From the first offset up to the second there are only marks of transactions and what was aborted.
    barren: (i64, i64),
    /// All messages from the first offset up to the second: several read the same, one after another, and whoever reads
    /// on may want the rest of the last one.
    recent: VecDeque<Held>,
    span: (i64, i64),
    bytes: usize,
    sizes: Sizes,
}

struct Held {
    offset: i64,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// The offset after what this process was told is committed. Kafka answers a commit before its readers see it.
#[derive(Debug, Default)]
pub(crate) struct Committed(AtomicI64);

impl Committed {
    pub(crate) fn note(&self, offset: i64) {
        self.0.fetch_max(offset + 1, Ordering::SeqCst);
    }
}

impl Reader {
    pub(crate) fn new(config: &KafkaLogConfig, topic: String, partition: u32) -> Self {
        Self {
            config: config.clone(),
            topic,
            partition,
            consumer: None,
            position: None,
            barren: (0, 0),
            recent: VecDeque::new(),
            span: (0, 0),
            bytes: 0,
            sizes: Sizes::default(),
        }
    }

    /// How much lies where, of what this process has read.
    pub(super) fn sizes(&mut self) -> &mut Sizes {
        &mut self.sizes
    }

    /// Keeps a message that was the first one from `from` on.
    fn keep(&mut self, from: i64, held: Held) {
        if self.span.1 != from {
            self.recent.clear();
            (self.span.0, self.bytes) = (from, 0);
        }
        self.span.1 = held.offset + 1;
        self.sizes.note(held.offset, held.bytes());
        self.bytes += held.bytes();
        self.recent.push_back(held);
        while self.bytes > RECENT
            && self.recent.len() > 1
            && let Some(oldest) = self.recent.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.span.0 = oldest.offset + 1;
        }
    }

    fn consumer(&mut self) -> Result<&PartitionConsumer> {
        if self.consumer.is_none() {
            self.consumer = Some(consumer(&self.config)?);
            self.position = None;
        }
        self.consumer.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "there is no consumer"))
    }

    /// The oldest offset that is kept, and the one after the last that readers see.
    pub(super) fn bounds(&mut self, committed: &Committed) -> Result<(i64, i64)> {
        let (topic, partition, timeout) = (self.topic.clone(), self.partition as i32, self.config.timeout);
        let config = self.config.clone();
        let clock = SystemTimeSource::new();
        let consumer = self.consumer()?;
        loop {
            let (low, end) = match consumer.fetch_watermarks(&topic, partition, timeout) {
                Ok(found) => found,
                Err(e) => {
                    let e = explain(&e, &config).with_context("topic", &topic);
                    // A broker may not have heard yet of a new topic, or of another broker that leads it now.
                    if !e.is_retryable() || clock.elapsed() > timeout {
                        return Err(e);
                    }
                    std::thread::sleep(AGAIN);
                    continue;
                }
            };
            if end >= committed.0.load(Ordering::SeqCst) {
                return Ok((low, end));
            }
            if clock.elapsed() > timeout {
                return Err(Error::new(ErrorKind::Timeout, "Kafka does not show what it has committed")
                    .with_context("topic", &topic)
                    .with_hint("a transaction of a process that died may hold it up for some seconds"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Gives messages (offset, key, value) from `from` on to `take`, until it has enough or the end is reached.
    /// A message that `take` does not want is given again by the next call.
    pub(crate) fn read(
        &mut self,
        from: i64,
        committed: &Committed,
        mut take: impl FnMut(i64, &[u8], &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let (low, end) = self.bounds(committed)?;
        let mut next = from.max(low);
        let clock = SystemTimeSource::new();
        let (topic, partition) = (self.topic.clone(), self.partition as i32);
        let config = self.config.clone();
        let failed = |e: &KafkaError| explain(e, &config).with_context("topic", &topic);
        let mut heard = clock.elapsed();
        if (self.span.0..self.span.1).contains(&next) {
            for held in self.recent.iter().filter(|held| held.offset >= next) {
                if !take(held.offset, &held.key, &held.value)? {
                    return Ok(());
                }
            }
            next = self.span.1;
        }
        // The consumer was told in this call where to read: what it says of an end was not said of an earlier one.
        let mut fresh = false;
        while next < end && !(self.barren.0 == next && end <= self.barren.1) {
            self.consumer()?;
            // Borrowed apart from the position beside it.
            let Some(consumer) = &self.consumer else { continue };
            match self.position {
                Some(position) if position == next => {}
                // Assigning anew what is assigned can trip an assertion in librdkafka 2.12.
                Some(_) => {
                    if let Err(e) = consumer.seek(&topic, partition, Offset::Offset(next), config.timeout) {
                        if clock.elapsed() > config.timeout {
                            return Err(failed(&e));
                        }
                        self.consumer = None;
                        continue;
                    }
                    fresh = true;
                }
                None => {
                    let mut at = TopicPartitionList::new();
                    at.add_partition_offset(&topic, partition, Offset::Offset(next))
                        .map_err(|e| failed(&e))?;
                    consumer.assign(&at).map_err(|e| failed(&e))?;
                    fresh = true;
                }
            }
            self.position = Some(next);
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => {
                    heard = clock.elapsed();
                    let offset = message.offset();
                    // What an earlier assignment had fetched already.
                    if offset < next {
                        continue;
                    }
                    let of = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
                    let held = Held { offset, key: of(message.key()), value: of(message.payload()) };
                    drop(message);
                    self.position = Some(offset + 1);
                    let more = take(offset, &held.key, &held.value);
                    self.keep(next, held);
                    next = offset + 1;
                    if !more? {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) if !fresh => self.position = Some(-1),
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.barren = (next, end);
                    return Ok(());
                }
                other => {
                    // The end is told once only: where it was told before this question, it is asked for again.
                    self.position = Some(-1);
                    if clock.elapsed().saturating_sub(heard) > config.timeout {
                        return Err(match other {
                            Some(Err(e)) => failed(&e),
                            _ => Error::new(ErrorKind::Timeout, "Kafka did not answer in time")
                                .with_context("topic", &topic),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}
