//! Appends of one process to one partition: each batch is one transaction, each call one message of it. Those of the
//! partition's owner go through the owner's transactional id, others through one of this process's own.

use std::sync::{Arc, Mutex};

use super::client::MESSAGE_BYTES;
use super::owners::Owners;
use super::producer::{Failure, Transactions};
use super::reader::{Committed, Reader};
use super::replaceable::Replaceable;
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
    reader: Arc<Replaceable<Reader>>,
    committed: Arc<Committed>,
    owners: Arc<Mutex<Owners>>,
    transactions: Option<Transactions>,
    failed: Option<Failed>,
}

/// A transaction that was not heard of to its end.
#[derive(Debug)]
struct Failed {
    /// The token of the owner whose it is, where it is an owner's.
    token: Option<u64>,
    /// Where the messages that begin a call are, if they are there; none where they are not.
    offsets: Vec<i64>,
}

impl KafkaWriter {
    pub(super) fn new(
        config: &KafkaLogConfig,
        partition: u32,
        writer: &str,
        reader: Arc<Replaceable<Reader>>,
        committed: Arc<Committed>,
        owners: Arc<Mutex<Owners>>,
    ) -> Self {
        let id = format!("{}-{writer}-{partition}", config.prefix);
        Self {
            config: config.clone(),
            partition,
            id,
            reader,
            committed,
            owners,
            transactions: None,
            failed: None,
        }
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

impl KafkaWriter {
    async fn send_own(&mut self, texts: Vec<(String, String)>) -> Result<Vec<i64>, Failure> {
        let mut transactions = self.started().await.map_err(Failure::Aborted)?;
        let (topic, partition) = (self.config.log_topic(), self.partition);
        let (transactions, sent) = blocking(move || {
            let sent = transactions.send(&topic, partition, &borrowed(&texts));
            Ok((transactions, sent))
        })
        .await
        .map_err(Failure::Aborted)?;
        // After a failure it takes the id over anew, which settles what was left.
        self.transactions = sent.is_ok().then_some(transactions);
        sent
    }

    async fn send_as_owner(&self, token: u64, texts: Vec<(String, String)>) -> Result<Vec<i64>, Failure> {
        let (topic, owners) = (self.config.log_topic(), self.owners.clone());
        let sent = blocking(move || {
            let mut owners = lock(&owners);
            Ok(match owners.send(token, &topic, &borrowed(&texts)) {
                Err(Failure::Fenced(_)) => Err(Failure::Aborted(owners.stale(token))),
                sent => sent,
            })
        });
        sent.await.map_err(Failure::Aborted)?
    }
}

fn borrowed(texts: &[(String, String)]) -> Vec<(&str, &str)> {
    texts.iter().map(|(key, text)| (&**key, &**text)).collect()
}

impl Remote for KafkaWriter {
    async fn send(&mut self, calls: &[Request]) -> Result<Vec<Offset>> {
        let mut texts = Vec::new();
        let mut firsts = Vec::with_capacity(calls.len());
        for call in calls {
            firsts.push(texts.len());
            texts.extend(messages(&call.lines).into_iter().map(|text| (call.key.clone(), text)));
        }
        let token = calls.first().and_then(|call| call.token);
        let sent = match token {
            None => self.send_own(texts).await,
            Some(token) => self.send_as_owner(token, texts).await,
        };
        let begins =
            |offsets: &[i64]| firsts.iter().filter_map(|i| offsets.get(*i).copied()).collect::<Vec<_>>();
        let (error, offsets) = match sent {
            Ok(offsets) => {
                if let Some(last) = offsets.last() {
                    self.committed.note(*last);
                }
                return Ok(begins(&offsets).into_iter().map(offset_of).collect());
            }
            Err(Failure::Unknown(e, offsets)) => (e, begins(&offsets)),
            Err(Failure::Aborted(e)) => (e, Vec::new()),
            // The id is this process's own.
            Err(Failure::Fenced(offsets)) => {
                let text = "Kafka ended a transaction that took too long";
                let error = Error::new(ErrorKind::Unavailable, text);
                (error.with_context("brokers", &self.config.brokers), begins(&offsets))
            }
        };
        self.failed = Some(Failed { token, offsets });
        Err(error)
    }

    async fn settle(&mut self) -> Result<Option<Vec<Offset>>> {
        let Some(Failed { token, offsets }) = &self.failed else { return Ok(None) };
        let first = offsets.first().copied();
        match *token {
            None => self.transactions = Some(self.started().await?),
            Some(token) => {
                let owners = self.owners.clone();
                blocking(move || lock(&owners).settle(token)).await?;
            }
        }
        let mut there = false;
        if let Some(first) = first {
            let committed = self.committed.clone();
            // Readers pass by it once it is known what became of it.
            committed.note(first);
            let looked = self.reader.with(move |reader| {
                let mut there = false;
                reader.read(first, &committed, |offset, _, _| {
                    there = offset == first;
                    Ok(false)
                })?;
                Ok(there)
            });
            there = looked.await?;
        }
        let offsets = self.failed.take().map(|failed| failed.offsets).unwrap_or_default();
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
