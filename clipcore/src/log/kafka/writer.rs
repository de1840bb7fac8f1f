//! Appends of one process to one partition: each batch is one transaction, each call one message of it.

use std::sync::{Arc, Mutex};

use super::client::MESSAGE_BYTES;
use super::producer::{Failure, Transactions};
use super::reader::{Committed, Reader};
use super::{KafkaLogConfig, RECORDS, lock, offset_of};
use crate::durable::blocking;
use crate::log::Offset;
use crate::log::appends::{Remote, Request};
use crate::{Error, ErrorKind, Result};

/// Messages are cut at half of what Kafka takes, so that one long record more still fits.
const CUT: usize = MESSAGE_BYTES / 2;

#[derive(Debug)]
pub(super) struct KafkaWriter {
    config: KafkaLogConfig,
    partition: u32,
    id: String,
    reader: Arc<Mutex<Reader>>,
    committed: Arc<Committed>,
    transactions: Option<Transactions>,
    /// Where the messages of a transaction are, if they are: those that begin a call.
    unknown: Option<Vec<i64>>,
}

impl KafkaWriter {
    pub(super) fn new(
        config: &KafkaLogConfig,
        partition: u32,
        writer: &str,
        reader: Arc<Mutex<Reader>>,
        committed: Arc<Committed>,
    ) -> Self {
        let id = format!("{}-{writer}-{partition}", config.prefix);
        Self { config: config.clone(), partition, id, reader, committed, transactions: None, unknown: None }
    }

    /// A producer that has no part in what was left unfinished: with it the id is taken over from the former one.
    async fn started(&mut self) -> Result<Transactions> {
        if let Some(transactions) = self.transactions.take() {
            return Ok(transactions);
        }
        let (config, id) = (self.config.clone(), self.id.clone());
        blocking(move || Transactions::start(&config, &id)).await
    }
}

/// Records as lines of as few messages as they fit in.
fn messages(lines: &[String]) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut count = 0;
    for line in lines {
        match messages.last_mut() {
            Some(message) if message.len() + line.len() < CUT && count < RECORDS => {
                message.push('\n');
                message.push_str(line);
            }
            _ => {
                messages.push(line.clone());
                count = 0;
            }
        }
        count += 1;
    }
    messages
}

impl Remote for KafkaWriter {
    async fn send(&mut self, calls: &[Request]) -> Result<Vec<Offset>> {
        let mut transactions = self.started().await?;
        let mut texts = Vec::new();
        let mut firsts = Vec::with_capacity(calls.len());
        for call in calls {
            firsts.push(texts.len());
            texts.extend(messages(&call.lines).into_iter().map(|text| (call.key.clone(), text)));
        }
        let (topic, partition) = (self.config.log_topic(), self.partition);
        let (transactions, sent) = blocking(move || {
            let borrowed: Vec<_> = texts.iter().map(|(key, text)| (&**key, &**text)).collect();
            let sent = transactions.send(&topic, partition, &borrowed);
            Ok((transactions, sent))
        })
        .await?;
        let begins =
            |offsets: &[i64]| firsts.iter().filter_map(|i| offsets.get(*i).copied()).collect::<Vec<_>>();
        match sent {
            Ok(offsets) => {
                self.transactions = Some(transactions);
                if let Some(last) = offsets.last() {
                    self.committed.note(*last);
                }
                Ok(begins(&offsets).into_iter().map(offset_of).collect())
            }
            Err(Failure::Aborted(e)) => Err(e),
            Err(Failure::Unknown(e, offsets)) => {
                self.unknown = Some(begins(&offsets));
                Err(e)
            }
            // The id is this process's own.
            Err(Failure::Fenced) => {
                Err(Error::new(ErrorKind::Unavailable, "Kafka ended a transaction that took too long")
                    .with_context("brokers", &self.config.brokers))
            }
        }
    }

    async fn settle(&mut self) -> Result<Option<Vec<Offset>>> {
        let transactions = self.started().await?;
        self.transactions = Some(transactions);
        let Some(offsets) = self.unknown.clone() else { return Ok(None) };
        let Some(first) = offsets.first().copied() else { return Ok(None) };
        let (reader, committed) = (self.reader.clone(), self.committed.clone());
        let there = blocking(move || {
            let mut there = false;
            lock(&reader).read(first, &committed, |offset, _, _| {
                there = offset == first;
                Ok(false)
            })?;
            Ok(there)
        })
        .await?;
        self.unknown = None;
        Ok(there.then(|| offsets.into_iter().map(offset_of).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_what_fits_and_every_line_once() {
        for (lines, each) in [(1, 10), (RECORDS, 10), (RECORDS + 1, 10), (20, CUT / 3)] {
            let lines: Vec<String> = (0..lines).map(|i| format!("{i}{}", "x".repeat(each))).collect();
            let messages = messages(&lines);
            let again: Vec<&str> = messages.iter().flat_map(|m| m.split('\n')).collect();
            assert_eq!(again, lines);
            assert!(messages.iter().all(|m| m.len() < MESSAGE_BYTES && m.split('\n').count() <= RECORDS));
        }
    }
}
