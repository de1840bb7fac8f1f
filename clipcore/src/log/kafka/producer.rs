//! Messages that are all there or not at all: transactions.

use std::time::Duration;

use futures::future::join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureRecord, Producer as _};

use super::KafkaLogConfig;
use super::client::{self, Producer, explain, settings};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::{Error, Result};

/// How a transaction failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// None of the messages is there or will be, once the transaction has ended.
    Aborted(Error),
    /// They may be there, at these offsets.
    Unknown(Error, Vec<i64>),
    /// Somebody else has taken the transactional id over, or Kafka has ended the producer for good, a transaction having taken
    /// too long. Where there are offsets, the messages may be there.
    Fenced(Vec<i64>),
}

/// A producer with a transactional id. Its calls block.
pub(super) struct Transactions {
    producer: Producer,
    timeout: Duration,
    config: KafkaLogConfig,
    /// What is left of an earlier transaction.
    unfinished: Option<Unfinished>,
}

#[derive(Debug, Clone, Copy)]
enum Unfinished {
    Commit,
    Abort,
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions").field("unfinished", &self.unfinished).finish_non_exhaustive()
    }
}

impl Transactions {
    /// Takes the id over: whoever had it is fenced off, and what it had not committed is aborted.
    pub(super) fn start(config: &KafkaLogConfig, id: &str) -> Result<Self> {
        let millis = |d: Duration| d.as_millis().max(1000).to_string();
        let mut client = settings(config);
        // What a process that died leaves open holds up readers for as long.
        client.set("transactional.id", id).set("transaction.timeout.ms", millis(config.timeout));
        let producer = client::producer(config, &mut client)?;
        let clock = SystemTimeSource::new();
        loop {
            match producer.init_transactions(config.timeout) {
                Ok(()) => break,
                // The former owner's transaction is still being aborted, for example.
                Err(KafkaError::Transaction(e)) if e.is_retriable() && clock.elapsed() < config.timeout => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(e) => return Err(explain(&e, config)),
            }
        }
        Ok(Self { producer, timeout: config.timeout, config: config.clone(), unfinished: None })
    }

    /// Sends messages (key and text) in one transaction; gives their offsets.
    pub(super) fn send(
        &mut self,
        topic: &str,
        partition: u32,
        messages: &[(&str, &str)],
    ) -> Result<Vec<i64>, Failure> {
        self.finish()?;
        self.producer.begin_transaction().map_err(|e| self.failed(&e))?;
        self.unfinished = Some(Unfinished::Abort);
        let mut deliveries = Vec::with_capacity(messages.len());
        for (key, text) in messages {
            let record = FutureRecord::to(topic).partition(partition as i32).key(*key).payload(*text);
            match self.producer.send_result(record) {
                Ok(delivery) => deliveries.push(delivery),
                Err((e, _)) => return Err(self.abort(&e)),
            }
        }
        let mut offsets = Vec::with_capacity(messages.len());
        for delivered in futures::executor::block_on(join_all(deliveries)) {
            match delivered {
                Ok(Ok(delivery)) => offsets.push(delivery.offset),
                Ok(Err((e, _))) => return Err(self.abort(&e)),
                Err(_) => return Err(self.abort(&KafkaError::Canceled)),
            }
        }
        self.unfinished = Some(Unfinished::Commit);
        match self.producer.commit_transaction(self.timeout) {
            Ok(()) => {
                self.unfinished = None;
                Ok(offsets)
            }
            Err(KafkaError::Transaction(e)) if e.txn_requires_abort() => {
                Err(self.abort(&KafkaError::Transaction(e)))
            }
            Err(e) => match self.failed(&e) {
                Failure::Aborted(e) => Err(Failure::Unknown(e, offsets)),
                Failure::Fenced(_) => Err(Failure::Fenced(offsets)),
                failure => Err(failure),
            },
        }
    }

    /// Brings an earlier transaction to its end.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if matches!(self.unfinished, Some(Unfinished::Commit)) {
            match self.producer.commit_transaction(self.timeout) {
                Ok(()) => self.unfinished = None,
                Err(KafkaError::Transaction(e)) if e.txn_requires_abort() => {
                    self.unfinished = Some(Unfinished::Abort);
                }
                Err(e) => return Err(self.failed(&e)),
            }
        }
        if self.unfinished.is_some() {
            self.producer.abort_transaction(self.timeout).map_err(|e| self.failed(&e))?;
            self.unfinished = None;
        }
        Ok(())
    }

    fn abort(&mut self, why: &KafkaError) -> Failure {
        self.unfinished = Some(Unfinished::Abort);
        match self.producer.abort_transaction(self.timeout.min(Duration::from_secs(1))) {
            Ok(()) => self.unfinished = None,
            Err(e) => {
                if let fenced @ Failure::Fenced(_) = self.failed(&e) {
                    return fenced;
                }
            }
        }
        self.failed(why)
    }

    fn failed(&self, e: &KafkaError) -> Failure {
        let fenced = |code| {
            matches!(
                code,
                Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::FencedInstanceId
            )
        };
        let code = match e {
            KafkaError::Transaction(e) => Some(e.code()),
            e => e.rdkafka_error_code(),
        };
        if self.producer.client().fatal_error().is_some() || code.is_some_and(fenced) {
            return Failure::Fenced(Vec::new());
        }
        Failure::Aborted(explain(e, &self.config))
    }
}
