//! Leases and checkpoints of one partition, in a compacted topic.
//!
//! All owners of a partition use the same transactional id. Taking it over makes Kafka refuse whatever a former owner
//! still sends, so a checkpoint with a stale token cannot even be written, and readers need not tell valid ones from others.

use serde::{Deserialize, Serialize};

use super::KafkaLogConfig;
use super::producer::{Failure, Transactions};
use super::reader::{Committed, Reader};
use crate::log::{Checkpoint, Lease, stale};
use crate::{Error, ErrorKind, Result};

const LEASE: &str = "lease";

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    token: u64,
    owner: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    token: u64,
    checkpoint: Checkpoint,
}

#[derive(Debug)]
pub(super) struct Owners {
    config: KafkaLogConfig,
    partition: u32,
    reader: Reader,
    committed: Committed,
    /// The lease that this process holds.
    held: Option<(u64, Transactions)>,
}

impl Owners {
    pub(super) fn new(config: &KafkaLogConfig, partition: u32) -> Self {
        let reader = Reader::new(config, config.checkpoint_topic(), partition);
        Self { config: config.clone(), partition, reader, committed: Committed::default(), held: None }
    }

    /// The last value under a key.
    fn last<T: for<'de> Deserialize<'de>>(&mut self, wanted: &str) -> Result<Option<T>> {
        let mut found = None;
        self.reader.read(0, &self.committed, |_, key, value| {
            if key == wanted.as_bytes() {
                found = Some(value.to_vec());
            }
            Ok(true)
        })?;
        let parsed = found.map(|json| serde_json::from_slice(&json)).transpose();
        parsed.map_err(|e| {
            Error::new(ErrorKind::Corrupt, "a checkpoint in Kafka cannot be read")
                .with_context("topic", self.config.checkpoint_topic())
                .with_context("key", wanted)
                .with_source(e)
                .with_hint("write an empty message under that key, and the consumer reads the log from its beginning")
        })
    }

    fn write(
        &mut self,
        transactions: &mut Transactions,
        key: &str,
        value: &impl Serialize,
    ) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(|e| Failure::Aborted(e.into()))?;
        let offsets = transactions.send(&self.config.checkpoint_topic(), self.partition, &[(key, &json)])?;
        offsets.last().into_iter().for_each(|last| self.committed.note(*last));
        Ok(())
    }

    pub(super) fn acquire(&mut self, owner: &str) -> Result<Lease> {
        self.held = None;
        let id = format!("{}-owner-{}", self.config.prefix, self.partition);
        let mut transactions = Transactions::start(&self.config, &id)?;
        let before: Option<Owner> = self.last(LEASE)?;
        let token = before.as_ref().map_or(0, |b| b.token) + 1;
        self.write(&mut transactions, LEASE, &Owner { token, owner: owner.to_owned() }).map_err(
            |e| match e {
                Failure::Aborted(e) | Failure::Unknown(e, _) => e,
                Failure::Fenced => {
                    Error::new(ErrorKind::Unavailable, "another owner took the partition at the same time")
                        .with_context("partition", self.partition)
                }
            },
        )?;
        if let Some(before) = before.filter(|b| b.owner != owner) {
            tracing::info!(
                partition = self.partition,
                from = before.owner,
                to = owner,
                "partition taken over"
            );
        }
        self.held = Some((token, transactions));
        Ok(Lease { partition: self.partition, token })
    }

    pub(super) fn checkpoint(
        &mut self,
        lease: &Lease,
        consumer: &str,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let Some((token, mut transactions)) = self.held.take_if(|(token, _)| *token == lease.token) else {
            return Err(self.stale(lease));
        };
        let saved = Saved { token, checkpoint: checkpoint.clone() };
        match self.write(&mut transactions, &key(consumer), &saved) {
            Err(Failure::Fenced) => return Err(self.stale(lease)),
            Err(Failure::Aborted(e) | Failure::Unknown(e, _)) => {
                self.held = Some((token, transactions));
                return Err(e);
            }
            Ok(()) => self.held = Some((token, transactions)),
        }
        Ok(())
    }

    /// Says who has the partition now, as far as that can be learnt.
    fn stale(&mut self, lease: &Lease) -> Error {
        let current = self.last::<Owner>(LEASE).ok().flatten().map_or(lease.token, |owner| owner.token);
        stale(lease, current)
    }

    pub(super) fn last_checkpoint(&mut self, consumer: &str) -> Result<Option<Checkpoint>> {
        Ok(self.last::<Saved>(&key(consumer))?.map(|saved| saved.checkpoint))
    }
}

fn key(consumer: &str) -> String {
    format!("checkpoint:{consumer}")
}
