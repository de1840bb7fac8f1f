//! An inbox as a source: what a gateway has taken in for a stream, handed to the stream's pipeline.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Acks, Item, Source, SourceOutput};
use crate::event::Incoming;
use crate::log::{Arrived, Checkpoint, EventLog, Lease, Offset, Record, partition_of};
use crate::{CameraId, Result, StreamId, Timestamp};

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Records of the inbox that are read in one go.
const AT_ONCE: usize = 1024;
/// With so many of the stream among them, more are likely to wait already.
const MANY: usize = 256;

/// What moves the clock of a stream that an inbox feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSourceClock {
    /// The stream's media, or once a second the pipeline where there is none: for what happens now. The default.
    #[default]
    Live,
    /// The latest `at` among the events: for events that are sent faster or slower than they happened. A stream whose events
    /// come in order of `at` then gives the moments of their replay.
    Events,
}

/// How an inbox is read.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSourceConfig {
    /// What moves the clock.
    pub clock: LogSourceClock,
    /// How often the inbox is asked for more where nobody wakes the source.
    pub poll: Duration,
    /// For how long what comes is gathered once something was read, so that many small arrivals cost the pipeline one round;
    /// what comes after a pause is read at once.
    pub gather: Duration,
    /// How often the position is stored; what is read again after a crash is at most about this much.
    pub store_every: Duration,
    /// Events whose source and id are among so many latest ones are passed over.
    pub remember: usize,
    /// Bytes of the inbox's partition that are kept although they have been read, so that a restart remembers.
    pub keep_bytes: u64,
    /// An event further ahead than this does not move the clock of [`LogSourceClock::Events`].
    pub max_step: Duration,
}

impl Default for LogSourceConfig {
    fn default() -> Self {
        Self {
            clock: LogSourceClock::Live,
            poll: Duration::from_millis(50),
            gather: Duration::from_millis(20),
            store_every: Duration::from_secs(1),
            remember: 1 << 16,
            keep_bytes: 16 << 20,
            max_step: Duration::from_secs(24 * 3600),
        }
    }
}

/// Reads the [arrivals](crate::log::Arrival) of its stream from an inbox, from where an earlier run has stopped.
///
/// Its position is a checkpoint in the inbox, stored only after the pipeline has durably logged (or refused) what lies before
/// it. After a crash it may say again what the pipeline has logged; that carries the same source and id and, since the
/// timeline goes on, the same instant, so the engine recognises it as repeated or late.
///
/// An event whose source and id came before, among the latest [`remember`](LogSourceConfig::remember), is passed over:
/// a producer that sends again because an answer was lost changes nothing, restarts included.
///
/// # Errors
/// What the inbox says where trying again cannot help.
pub struct LogSource {
    inbox: Arc<dyn EventLog>,
    config: LogSourceConfig,
    wake: Arc<Notify>,
    repeated: Arc<AtomicU64>,
    position: Arc<AtomicU64>,
    ended: CancellationToken,
}

impl std::fmt::Debug for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSource").field("config", &self.config).finish_non_exhaustive()
    }
}

impl LogSource {
    /// Reads `inbox`, in which no other consumer of the same stream reads.
    pub fn new(inbox: Arc<dyn EventLog>) -> Self {
        Self {
            inbox,
            config: LogSourceConfig::default(),
            wake: Arc::default(),
            repeated: Arc::default(),
            position: Arc::default(),
            ended: CancellationToken::new(),
        }
    }

    /// Sets how it is read.
    #[must_use]
    pub fn with_config(mut self, config: LogSourceConfig) -> Self {
        self.config = config;
        self
    }

    /// Looks for more as soon as `wake` is notified.
    #[must_use]
    pub fn with_wake(mut self, wake: Arc<Notify>) -> Self {
        self.wake = wake;
        self
    }

    /// Counts in `repeated` the events that were passed over because they had come before.
    #[must_use]
    pub fn with_repeat_counter(mut self, repeated: Arc<AtomicU64>) -> Self {
        self.repeated = repeated;
        self
    }

    /// Says in `position` up to which offset the inbox has been read.
    #[must_use]
    pub fn with_position(mut self, position: Arc<AtomicU64>) -> Self {
        self.position = position;
        self
    }

    /// Cancels `ended` once the end of the input is read, for sources beside this one that would never end.
    #[must_use]
    pub fn with_end(mut self, ended: CancellationToken) -> Self {
        self.ended = ended;
        self
    }

    /// The consumer's name in the inbox.
    pub fn consumer(stream: &StreamId) -> String {
        format!("source-{stream}")
    }
}

#[async_trait]
impl Source for LogSource {
    fn name(&self) -> String {
        "inbox".to_owned()
    }

    fn has_clock(&self) -> bool {
        self.config.clock == LogSourceClock::Events
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let mut reading = Reading::begin(*self, out).await?;
        let ended = reading.live().await?;
        reading.settle(ended).await
    }
}

/// What the position's checkpoint holds beside the offset.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// How far the events have moved the clock.
    clock: Option<Timestamp>,
}

/// What will have been read once an ack is fired.
struct Pending {
    ack: u64,
    next: Offset,
    /// How far what lies before `next` has moved the clock, and no further: else what follows it would come late.
    clock: Option<Timestamp>,
}

/// A run of the source.
struct Reading {
    source: LogSource,
    out: SourceOutput,
    lease: Lease,
    consumer: String,
    next: Offset,
    pending: VecDeque<Pending>,
    acks: Acks,
    /// The offset that is stored.
    stored: Offset,
    recent: Recent,
    clock: Option<Timestamp>,
    due: Interval,
}

impl Reading {
    async fn begin(source: LogSource, out: SourceOutput) -> Result<Self> {
        let (inbox, stream) = (&source.inbox, out.stream().clone());
        let partition = partition_of(&stream, inbox.partitions());
        let consumer = LogSource::consumer(&stream);
        let lease = inbox.acquire(partition, &format!("clipcore-{}", std::process::id())).await?;
        let stored = inbox.last_checkpoint(partition, &consumer).await?;
        let (stored, state) = match stored {
            Some(checkpoint) => (checkpoint.next, State::deserialize(checkpoint.state)?),
            None => (0, State::default()),
        };
        let mut due = tokio::time::interval(source.config.store_every.max(Duration::from_millis(1)));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = Self {
            recent: Recent::new(source.config.remember),
            acks: Acks::default(),
            pending: VecDeque::new(),
            next: inbox.trimmed(partition).await?,
            clock: state.clock,
            source,
            out,
            lease,
            consumer,
            stored,
            due,
        };
        reading.remember().await?;
        Ok(reading)
    }

    /// Takes note of what came before the position.
    async fn remember(&mut self) -> Result<()> {
        while self.next < self.stored {
            let (read, next) = self.read().await?;
            for (_, record) in read.iter().take_while(|(offset, _)| *offset < self.stored) {
                if let Record::Arrival(arrival) = record
                    && let Arrived::Event(event) = &arrival.what
                {
                    self.recent.is_new(event);
                }
            }
            self.next = if next == self.next { self.stored } else { next.min(self.stored) };
        }
        Ok(())
    }

    /// Reads until the stop, or the end of the stream's input: whether it was the end.
    async fn live(&mut self) -> Result<bool> {
        while !self.out.stop().is_cancelled() {
            let (read, next) = self.read().await?;
            if next == self.next {
                self.wait().await?;
                continue;
            }
            let more = read.len() >= MANY;
            let mut handed_over = false;
            for (offset, record) in read {
                let Record::Arrival(arrival) = record else { continue };
                match arrival.what {
                    // It is read again until the pipeline has logged the end.
                    Arrived::End => {
                        self.hand_over_ack(offset).await?;
                        self.source.ended.cancel();
                        return Ok(true);
                    }
                    Arrived::Signal(signal) => {
                        self.out.send(Item::Signal(signal)).await?;
                        handed_over = true;
                    }
                    Arrived::Looked(looked) => {
                        self.out.send(Item::Looked(looked)).await?;
                        handed_over = true;
                    }
                    Arrived::Event(event) if !self.recent.is_new(&event) => {
                        self.source.repeated.fetch_add(1, Ordering::Relaxed);
                    }
                    Arrived::Event(event) => {
                        self.see(&event);
                        self.out.send(Item::Incoming(event.with_default_time(arrival.received))).await?;
                        handed_over = true;
                    }
                }
            }
            self.next = next;
            self.source.position.store(next, Ordering::Relaxed);
            if handed_over {
                self.progress().await?;
                self.hand_over_ack(next).await?;
            } else if self.pending.is_empty() {
                self.pending.push_back(Pending { ack: 0, next, clock: self.clock });
            }
            if self.due.tick().now_or_never().is_some() {
                self.store().await?;
            }
            if !more {
                let gather = tokio::time::sleep(self.source.config.gather);
                self.out.stop().run_until_cancelled(gather).await;
            }
        }
        Ok(false)
    }

    /// Moves the clock of events.
    fn see(&mut self, event: &Incoming) {
        let step = self.source.config.max_step;
        let Some(at) = event.at().filter(|at| self.clock.is_none_or(|clock| *at <= clock + step)) else {
            return;
        };
        self.clock = self.clock.max(Some(at));
    }

    async fn progress(&self) -> Result<()> {
        match (self.source.config.clock, self.clock) {
            (LogSourceClock::Events, Some(at)) => {
                self.out.send(Item::Progress { camera: CameraId::main(), at, wall: None }).await
            }
            _ => Ok(()),
        }
    }

    async fn hand_over_ack(&mut self, next: Offset) -> Result<()> {
        let ack = self.acks.request();
        self.pending.push_back(Pending { ack: self.acks.made(), next, clock: self.clock });
        self.out.send(Item::Ack(ack)).await
    }

    /// Nothing is there: waits for more.
    async fn wait(&mut self) -> Result<()> {
        tokio::select! {
            () = self.source.wake.notified() => Ok(()),
            () = tokio::time::sleep(self.source.config.poll) => Ok(()),
            () = self.out.stop().cancelled() => Ok(()),
            _ = self.due.tick() => self.store().await,
        }
    }

    /// What is of the stream among the next records, and where they end; that is where it was where there are none.
    async fn read(&self) -> Result<(Vec<(Offset, Record)>, Offset)> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let (partition, stream) = (self.lease.partition, self.out.stream());
            match self.source.inbox.read_stream(partition, stream, self.next, AT_ONCE).await {
                Err(error) if error.is_retryable() && !self.out.stop().is_cancelled() => {
                    tracing::warn!(stream = %self.out.stream(), "the inbox cannot be read, trying again: {error}");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
                read => return read,
            }
        }
    }

    /// Stores how far the pipeline has logged.
    async fn store(&mut self) -> Result<()> {
        let fired = self.acks.fired();
        let mut reached = None;
        while self.pending.front().is_some_and(|first| first.ack <= fired) {
            reached = self.pending.pop_front();
        }
        let Some(Pending { next, clock, .. }) = reached.filter(|p| p.next > self.stored) else {
            return Ok(());
        };
        let state = serde_json::to_value(State { clock })?;
        let checkpoint = Checkpoint { next, state };
        self.source.inbox.checkpoint(&self.lease, &self.consumer, &checkpoint).await?;
        self.stored = next;
        let kept = self.source.inbox.within(self.lease.partition, self.source.config.keep_bytes).await?;
        match kept.min(next) {
            0 => Ok(()),
            before => self.source.inbox.trim(self.lease.partition, before).await,
        }
    }

    /// Waits until the pipeline has logged what it was given, as long as it is there.
    async fn settle(&mut self, ended: bool) -> Result<()> {
        let made = self.acks.made();
        let settled = tokio::select! {
            waited = self.acks.wait(made) => waited.is_ok(),
            () = self.out.closed() => false,
        };
        match self.store().await {
            Err(error) if settled && !ended => Err(error),
            _ => Ok(()),
        }
    }
}

/// The latest events by source and id, as hashes: two different ones are taken for one with a chance of `n / 2^64`.
#[derive(Debug)]
struct Recent {
    order: VecDeque<u64>,
    known: HashSet<u64>,
    capacity: usize,
    /// Under a key of this process's own, so that nobody can make two that fall together.
    hasher: RandomState,
}

impl Recent {
    fn new(capacity: usize) -> Self {
        Self { order: VecDeque::new(), known: HashSet::new(), capacity, hasher: RandomState::new() }
    }

    /// Whether the event has not come before; one without an id is always new.
    fn is_new(&mut self, event: &Incoming) -> bool {
        let Some(id) = event.id().filter(|_| self.capacity > 0) else { return true };
        let hash = self.hasher.hash_one((event.source().unwrap_or_default(), id));
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
