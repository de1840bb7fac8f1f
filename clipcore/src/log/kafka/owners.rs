//! Leases and checkpoints of one partition, in a compacted topic, and what its owner appends.
//!
//! All owners of a partition use the same transactional id. Taking it over makes Kafka refuse whatever a former owner
//! still sends, so nothing with a stale token can even be written, and readers need not tell valid records from others.
//!
//! A claim is a lease with a span that its owner writes anew again and again. It has run out for whoever has seen it
//! unchanged for that long by a clock of its own: clocks of different machines are never compared. Somebody who is
//! wrong about that takes the partition all the same, and the former owner is refused from then on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::KafkaLogConfig;
use super::compacted::Compacted;
use super::producer::{Failure, Transactions};
use super::reader::Committed;
use crate::clock::{SystemTimeSource, TimeSource};
use crate::ids::random;
use crate::log::{Checkpoint, Lease, stale};
use crate::{Error, ErrorKind, Result};

const LEASE: &str = "lease";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Owner {
    token: u64,
    owner: String,
    /// Tells it from another that took the partition at the same time, under the same token.
    #[serde(default)]
    id: String,
    /// How long the claim holds from when it is seen; 0 where others may take it at any time.
    #[serde(default)]
    span_ms: u64,
    /// How often it was renewed.
    #[serde(default)]
    renewed: u64,
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
    known: Compacted,
    committed: Committed,
    /// The lease as it was seen last, and since when it is that one.
    seen: Option<(Owner, Duration)>,
    clock: SystemTimeSource,
    /// The lease that this process holds.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    owner: Owner,
    /// Nothing where Kafka ended the last one.
    transactions: Option<Transactions>,
}

impl Owners {
    pub(super) fn new(config: &KafkaLogConfig, partition: u32) -> Self {
        Self {
            config: config.clone(),
            partition,
            known: Compacted::new(config, config.checkpoint_topic(), partition),
            committed: Committed::default(),
            seen: None,
            clock: SystemTimeSource::new(),
            held: None,
        }
    }

    /// The last value under a key.
    fn last<T: for<'de> Deserialize<'de>>(&mut self, wanted: &str) -> Result<Option<T>> {
        let found = self.known.read(&self.committed)?.get(wanted.as_bytes());
        found.map(|json| serde_json::from_slice(json)).transpose().map_err(|e| {
            Error::new(ErrorKind::Corrupt, "a checkpoint in Kafka cannot be read")
                .with_context("topic", self.config.checkpoint_topic())
                .with_context("key", wanted)
                .with_source(e)
                .with_hint("write an empty message under that key, and the consumer reads the log from its beginning")
        })
    }

    /// Sends messages as the owner with this token.
    pub(super) fn send(
        &mut self,
        token: u64,
        topic: &str,
        messages: &[(&str, &str)],
    ) -> Result<Vec<i64>, Failure> {
        let partition = self.partition;
        match self.transactions(token)?.send(topic, partition, messages) {
            Err(Failure::Fenced(offsets)) => Err(self.fenced(offsets)),
            sent => sent,
        }
    }

    /// The producer of the owner with this token. Where Kafka ended it and nobody else has the partition, there is a new one.
    fn transactions(&mut self, token: u64) -> Result<&mut Transactions, Failure> {
        let held = self.held.take_if(|held| held.owner.token == token);
        let Some(mut held) = held else { return Err(Failure::Fenced(Vec::new())) };
        if held.transactions.is_none() {
            match self.revived(&held.owner) {
                Ok(Some(transactions)) => held.transactions = Some(transactions),
                Ok(None) => return Err(Failure::Fenced(Vec::new())),
                Err(e) => {
                    self.held = Some(held);
                    return Err(Failure::Aborted(e));
                }
            }
        }
        let transactions = self.held.insert(held).transactions.as_mut();
        transactions.ok_or_else(|| Failure::Fenced(Vec::new()))
    }

    fn revived(&mut self, owner: &Owner) -> Result<Option<Transactions>> {
        if !self.is_owner(owner)? {
            return Ok(None);
        }
        let transactions = self.started()?;
        // Whoever came meanwhile has been fenced off; it does the same, and stays the owner.
        Ok(self.is_owner(owner)?.then_some(transactions))
    }

    fn is_owner(&mut self, owner: &Owner) -> Result<bool> {
        let now = self.last::<Owner>(LEASE)?;
        Ok(now.is_some_and(|now| (now.token, now.id) == (owner.token, owner.id.clone())))
    }

    /// What it means that Kafka refuses the owner: somebody else has the partition, or a transaction took too long.
    fn fenced(&mut self, offsets: Vec<i64>) -> Failure {
        let Some(mut held) = self.held.take() else { return Failure::Fenced(offsets) };
        if let Ok(false) = self.is_owner(&held.owner) {
            return Failure::Fenced(offsets);
        }
        held.transactions = None;
        self.held = Some(held);
        let text = "Kafka ended a transaction that took too long";
        let error = Error::new(ErrorKind::Unavailable, text).with_context("brokers", &self.config.brokers);
        if offsets.is_empty() { Failure::Aborted(error) } else { Failure::Unknown(error, offsets) }
    }

    /// Whether Kafka has ended the producer of an owner that still has the partition.
    fn was_ended(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.transactions.is_none())
    }

    fn started(&self) -> Result<Transactions> {
        Transactions::start(&self.config, &format!("{}-owner-{}", self.config.prefix, self.partition))
    }

    /// Brings to its end what this owner has begun.
    pub(super) fn settle(&mut self, token: u64) -> Result<()> {
        let held = self.held.as_mut().filter(|held| held.owner.token == token);
        // Otherwise whoever has taken over has ended it, or Kafka itself.
        let Some(transactions) = held.and_then(|held| held.transactions.as_mut()) else { return Ok(()) };
        match transactions.finish() {
            Ok(()) | Err(Failure::Fenced(_)) => Ok(()),
            Err(Failure::Aborted(e) | Failure::Unknown(e, _)) => Err(e),
        }
    }

    fn write(&mut self, token: u64, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(|e| Failure::Aborted(e.into()))?;
        let topic = self.config.checkpoint_topic();
        let sent = match self.send(token, &topic, &[(key, &json)]) {
            // The last value under a key counts, so it may be there twice.
            Err(Failure::Aborted(_) | Failure::Unknown(..)) if self.was_ended() => {
                self.send(token, &topic, &[(key, &json)])
            }
            sent => sent,
        };
        let offsets = sent?;
        offsets.last().into_iter().for_each(|last| self.committed.note(*last));
        Ok(())
    }

    pub(super) fn acquire(&mut self, owner: &str) -> Result<Lease> {
        self.take(owner, Duration::ZERO)?.ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "another owner took the partition at the same time")
                .with_context("partition", self.partition)
        })
    }

    pub(super) fn claim(&mut self, owner: &str, span: Duration) -> Result<Option<Lease>> {
        let Some(now) = self.last::<Owner>(LEASE)? else { return self.take(owner, span) };
        let at = self.clock.elapsed();
        let since = match &self.seen {
            Some((seen, since)) if *seen == now => *since,
            _ => at,
        };
        let over = at.saturating_sub(since) >= Duration::from_millis(now.span_ms);
        let own = now.owner == owner;
        self.seen = Some((now, since));
        if over || own { self.take(owner, span) } else { Ok(None) }
    }

    /// Nothing where somebody else was faster.
    fn take(&mut self, owner: &str, span: Duration) -> Result<Option<Lease>> {
        self.held = None;
        let transactions = self.started()?;
        let before: Option<Owner> = self.last(LEASE)?;
        let token = before.as_ref().map_or(0, |b| b.token) + 1;
        let now = Owner {
            token,
            owner: owner.to_owned(),
            id: crate::hex(&random::<8>()?),
            span_ms: span.as_millis() as u64,
            renewed: 0,
        };
        self.held = Some(Held { owner: now.clone(), transactions: Some(transactions) });
        match self.write(token, LEASE, &now) {
            Ok(()) => {}
            Err(Failure::Fenced(_)) => return Ok(None),
            Err(Failure::Aborted(e) | Failure::Unknown(e, _)) => {
                self.held = None;
                return Err(e);
            }
        }
        self.shown()?;
        if let Some(before) = before.filter(|b| b.owner != owner) {
            let (partition, from) = (self.partition, before.owner);
            tracing::info!(partition, from, to = owner, "partition taken over");
        }
        Ok(Some(Lease { partition: self.partition, token }))
    }

    pub(super) fn renew(&mut self, lease: &Lease, span: Duration) -> Result<()> {
        let held = self.held.as_mut().filter(|held| held.owner.token == lease.token);
        let Some(Held { owner, .. }) = held else { return Err(self.stale(lease.token)) };
        owner.renewed += 1;
        owner.span_ms = span.as_millis() as u64;
        let now = owner.clone();
        let written = self.write(lease.token, LEASE, &now);
        self.done(lease, written)?;
        if span.is_zero() { self.shown() } else { Ok(()) }
    }

    /// Waits until others see what was written, so that they judge by it.
    fn shown(&mut self) -> Result<()> {
        self.last::<Owner>(LEASE).map(drop)
    }

    pub(super) fn checkpoint(
        &mut self,
        lease: &Lease,
        consumer: &str,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let saved = Saved { token: lease.token, checkpoint: checkpoint.clone() };
        let written = self.write(lease.token, &key(consumer), &saved);
        self.done(lease, written)
    }

    fn done(&mut self, lease: &Lease, written: Result<(), Failure>) -> Result<()> {
        written.map_err(|e| match e {
            Failure::Fenced(_) => self.stale(lease.token),
            Failure::Aborted(e) | Failure::Unknown(e, _) => e,
        })
    }

    /// Says who has the partition now, as far as that can be learnt.
    pub(super) fn stale(&mut self, token: u64) -> Error {
        let current = self.last::<Owner>(LEASE).ok().flatten().map_or(token, |owner| owner.token);
        stale(&Lease { partition: self.partition, token }, current)
    }

    pub(super) fn last_checkpoint(&mut self, consumer: &str) -> Result<Option<Checkpoint>> {
        Ok(self.last::<Saved>(&key(consumer))?.map(|saved| saved.checkpoint))
    }
}

fn key(consumer: &str) -> String {
    format!("checkpoint:{consumer}")
}
