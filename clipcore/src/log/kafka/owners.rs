//! Leases and checkpoints of one partition, in a compacted topic, and what its owner appends.
//!
//! All owners of a partition use the same transactional id. Taking it over makes Kafka refuse whatever a former owner
//! still sends, so nothing with a stale token can even be written, and readers need not tell valid records from others.
//!
//! A claim is a lease with a span that its owner writes anew again and again. It has run out for whoever has seen it
//! unchanged for that long by a clock of its own: clocks of different machines are never compared. Somebody who is
//! wrong about that takes the partition all the same, and the former owner is refused from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::KafkaLogConfig;
use super::producer::{Failure, Transactions};
use super::reader::{Committed, Reader};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::log::{Checkpoint, Lease, stale};
use crate::{Error, ErrorKind, Result};

const LEASE: &str = "lease";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Owner {
    token: u64,
    owner: String,
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
    reader: Reader,
    committed: Committed,
    /// The last value under each key, up to Kafka's offset `next`.
    known: BTreeMap<Vec<u8>, Vec<u8>>,
    next: i64,
    /// The lease as it was seen last, and since when it is that one.
    seen: Option<(Owner, Duration)>,
    clock: SystemTimeSource,
    /// The lease that this process holds.
    held: Option<(Owner, Transactions)>,
    /// The token of the last one that it held.
    last_held: u64,
}

impl Owners {
    pub(super) fn new(config: &KafkaLogConfig, partition: u32) -> Self {
        Self {
            config: config.clone(),
            partition,
            reader: Reader::new(config, config.checkpoint_topic(), partition),
            committed: Committed::default(),
            known: BTreeMap::new(),
            next: 0,
            seen: None,
            clock: SystemTimeSource::new(),
            held: None,
            last_held: 0,
        }
    }

    /// The last value under a key.
    fn last<T: for<'de> Deserialize<'de>>(&mut self, wanted: &str) -> Result<Option<T>> {
        let (known, next) = (&mut self.known, &mut self.next);
        self.reader.read(*next, &self.committed, |offset, key, value| {
            *next = offset + 1;
            if value.is_empty() {
                known.remove(key);
            } else {
                known.insert(key.to_vec(), value.to_vec());
            }
            Ok(true)
        })?;
        let found = self.known.get(wanted.as_bytes());
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
        let held = self.held.as_mut().filter(|(owner, _)| owner.token == token);
        let Some((_, transactions)) = held else { return Err(Failure::Fenced) };
        let sent = transactions.send(topic, partition, messages);
        if matches!(sent, Err(Failure::Fenced)) {
            self.held = None;
        }
        sent
    }

    /// Brings to its end what this owner has begun.
    pub(super) fn settle(&mut self, token: u64) -> Result<()> {
        match self.held.as_mut().filter(|(owner, _)| owner.token == token) {
            Some((_, transactions)) => match transactions.finish() {
                Ok(()) | Err(Failure::Fenced) => Ok(()),
                Err(Failure::Aborted(e) | Failure::Unknown(e, _)) => Err(e),
            },
            // Whoever has taken over has ended it.
            None => Ok(()),
        }
    }

    fn write(&mut self, token: u64, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value).map_err(|e| Failure::Aborted(e.into()))?;
        let offsets = self.send(token, &self.config.checkpoint_topic(), &[(key, &json)])?;
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
        // Kafka may have ended a transaction of this process's that took too long, and nobody has come since.
        let own = self.held.is_none() && now.token == self.last_held;
        let over = at.saturating_sub(since) >= Duration::from_millis(now.span_ms);
        self.seen = Some((now, since));
        if own || over { self.take(owner, span) } else { Ok(None) }
    }

    /// Nothing where somebody else was faster.
    fn take(&mut self, owner: &str, span: Duration) -> Result<Option<Lease>> {
        self.held = None;
        let id = format!("{}-owner-{}", self.config.prefix, self.partition);
        let transactions = Transactions::start(&self.config, &id)?;
        let before: Option<Owner> = self.last(LEASE)?;
        let token = before.as_ref().map_or(0, |b| b.token) + 1;
        let now = Owner { token, owner: owner.to_owned(), span_ms: span.as_millis() as u64, renewed: 0 };
        self.held = Some((now.clone(), transactions));
        self.last_held = token;
        match self.write(token, LEASE, &now) {
            Ok(()) => {}
            Err(Failure::Fenced) => return Ok(None),
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
        let held = self.held.as_mut().filter(|(owner, _)| owner.token == lease.token);
        let Some((held, _)) = held else { return Err(self.stale(lease.token)) };
        held.renewed += 1;
        held.span_ms = span.as_millis() as u64;
        let now = held.clone();
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
            Failure::Fenced => self.stale(lease.token),
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
