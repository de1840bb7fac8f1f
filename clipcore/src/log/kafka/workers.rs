//! Which workers share a log: each says again and again that it is there, under a key of its own in the compacted topic. One
//! that was seen to say nothing for its span does not count; clocks of different machines are not compared.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::executor::block_on;
use serde::{Deserialize, Serialize};

use super::KafkaLogConfig;
use super::client::{Producer, producer, settings};
use super::compacted::put;
use super::reader::{Committed, Reader};
use crate::Result;
use crate::clock::{SystemTimeSource, TimeSource};

const KEY: &str = "worker:";
/// After so many spans without a word, a worker is forgotten.
const FORGOTTEN: u32 = 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Word {
    span_ms: u64,
    times: u64,
}

/// One process's view of them. Its calls block.
pub(super) struct Workers {
    config: KafkaLogConfig,
    times: u64,
    producer: Option<Producer>,
    reader: Reader,
    committed: Committed,
    next: i64,
    /// The last word of each, and when it was seen.
    words: BTreeMap<String, (Word, Duration)>,
    clock: SystemTimeSource,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("words", &self.words).finish_non_exhaustive()
    }
}

impl Workers {
    pub(super) fn new(config: &KafkaLogConfig) -> Self {
        Self {
            config: config.clone(),
            times: 0,
            producer: None,
            reader: Reader::new(config, config.checkpoint_topic(), 0),
            committed: Committed::default(),
            next: 0,
            words: BTreeMap::new(),
            clock: SystemTimeSource::new(),
        }
    }

    pub(super) fn attend(&mut self, worker: &str, span: Duration) -> Result<usize> {
        self.times += 1;
        let word = Word { span_ms: span.as_millis() as u64, times: self.times };
        let json = if span.is_zero() { String::new() } else { serde_json::to_string(&word)? };
        self.say(&format!("{KEY}{worker}"), &json)?;
        let (words, next, now) = (&mut self.words, &mut self.next, self.clock.elapsed());
        self.reader.read(*next, &self.committed, |offset, key, value| {
            *next = offset + 1;
            let Some(key) = std::str::from_utf8(key).ok().filter(|key| key.starts_with(KEY)) else {
                return Ok(true);
            };
            match serde_json::from_slice::<Word>(value) {
                Ok(word) => drop(words.insert(key.to_owned(), (word, now))),
                Err(_) => drop(words.remove(key)),
            }
            Ok(true)
        })?;
        let over = |(word, seen): &(Word, Duration), spans: u32| {
            now.saturating_sub(*seen) >= Duration::from_millis(word.span_ms) * spans
        };
        let gone: Vec<String> =
            words.iter().filter(|(_, word)| over(word, FORGOTTEN)).map(|(key, _)| key.clone()).collect();
        let there = words.values().filter(|word| !over(word, 1)).count();
        for key in gone {
            self.say(&key, "")?;
        }
        Ok(there)
    }

    fn say(&mut self, key: &str, text: &str) -> Result<()> {
        if self.producer.is_none() {
            self.producer = Some(producer(&self.config, settings(&self.config).set("acks", "all"))?);
        }
        let Some(producer) = &self.producer else { return Ok(()) };
        let topic = self.config.checkpoint_topic();
        block_on(put((producer, &self.config), &topic, key, text, &self.committed))
    }
}
