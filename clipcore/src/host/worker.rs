//! The part of a host that shares streams with other processes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::future::join_all;

use super::{Host, StreamState, WorkerConfig};
use crate::log::{Lease, Offset, Record, partition_of};
use crate::source::LogSource;
use crate::{ErrorKind, Result, StreamId};

/// How often a worker looks for streams that have begun.
const LOOK: Duration = Duration::from_millis(100);
/// How often hosts take up what others keep of streams.
const REFRESH: Duration = Duration::from_secs(1);
/// Arrivals looked at in one go.
const CHUNK: usize = 1000;

/// Keeps a front's knowledge of its streams fresh.
pub(super) async fn follow(host: Host) {
    while pause(&host, REFRESH).await {
        refresh(&host).await;
    }
}

pub(super) async fn refresh(host: &Host) {
    if let Err(error) = host.0.registry.refresh().await {
        tracing::warn!("what is kept of streams cannot be read, trying again: {error}");
    }
}

/// Whether the host goes on after so long.
async fn pause(host: &Host, span: Duration) -> bool {
    host.0.over.run_until_cancelled(host.0.time.sleep(span)).await.is_some()
}

/// Claims partitions, and runs their streams.
pub(super) async fn work(host: Host, config: WorkerConfig) {
    let mut worker = Worker::new(host, config);
    let (mut refreshed, mut renewed) = (None::<Duration>, None::<Duration>);
    loop {
        let now = worker.host.0.time.elapsed();
        let mut look = refreshed.is_none_or(|at| now >= at + REFRESH);
        if look {
            refreshed = Some(now);
            refresh(&worker.host).await;
        }
        // Three tries before a claim runs out.
        if renewed.is_none_or(|at| now >= at + worker.config.claim / 3) {
            renewed = Some(now);
            look |= worker.claims().await;
        }
        if look {
            worker.known().await;
        }
        worker.arrivals().await;
        if !pause(&worker.host, LOOK).await {
            break;
        }
    }
    worker.give_back().await;
}

/// A partition that this worker has.
struct Owned {
    lease: Lease,
    /// When the claim was last known to hold, by `TimeSource::elapsed`.
    held: Duration,
    /// How far its inbox was looked through for streams.
    next: Offset,
    /// Up to which offset each stream had been read when it was looked up.
    read: HashMap<StreamId, Offset>,
}

struct Worker {
    host: Host,
    config: WorkerConfig,
    name: String,
    owned: BTreeMap<u32, Owned>,
    /// Streams that could not be started when they were to be.
    refused: HashSet<StreamId>,
}

impl Worker {
    fn new(host: Host, config: WorkerConfig) -> Self {
        let name = config.name_or("worker");
        Self { host, config, name, owned: BTreeMap::new(), refused: HashSet::new() }
    }

    /// Renews what it has, and claims what is free; whether there was some. Partitions do not wait for each other: one after
    /// another might take longer than a claim lasts.
    async fn claims(&mut self) -> bool {
        let held = self.owned.iter().map(async |(partition, owned)| (*partition, self.renewed(owned).await));
        for (partition, held) in join_all(held).await {
            match (held, self.owned.get_mut(&partition)) {
                (Some(held), Some(owned)) => owned.held = held,
                _ => self.lose(partition).await,
            }
        }
        for partition in self.owned.keys() {
            self.keep_inbox(*partition).await;
        }
        let partitions = self.host.0.log_shared.whole().partitions();
        let most = if self.config.max_partitions == 0 { usize::MAX } else { self.config.max_partitions };
        let mut free: Vec<u32> = (0..partitions).filter(|p| !self.owned.contains_key(p)).collect();
        let mut gained = false;
        while !free.is_empty() && self.owned.len() < most {
            let room = (most - self.owned.len()).min(free.len());
            let claimed = join_all(free.drain(..room).map(|partition| self.claimed(partition))).await;
            for owned in claimed.into_iter().flatten() {
                self.owned.insert(owned.lease.partition, owned);
                gained = true;
            }
        }
        gained
    }

    /// When the claim was last known to hold; nothing where it does not any more.
    async fn renewed(&self, owned: &Owned) -> Option<Duration> {
        let (partition, now) = (owned.lease.partition, self.host.0.time.elapsed());
        match self.host.0.log_shared.whole().renew(&owned.lease, self.config.claim).await {
            Ok(()) => Some(now),
            Err(error) if error.kind() == ErrorKind::Conflict || now >= owned.held + self.config.claim => {
                tracing::warn!(partition, "the partition is lost: {error}");
                None
            }
            Err(error) => {
                tracing::warn!(partition, "the claim could not be renewed: {error}");
                Some(owned.held)
            }
        }
    }

    /// The partition, where it was free.
    async fn claimed(&self, partition: u32) -> Option<Owned> {
        // Asked before: the claim may run from the moment that the log takes it.
        let held = self.host.0.time.elapsed();
        match self.host.0.log_shared.whole().claim(partition, &self.name, self.config.claim).await {
            Ok(lease) => match self.gain(lease?, held).await {
                Ok(owned) => return Some(owned),
                Err(error) => tracing::warn!(partition, "the partition cannot be taken over yet: {error}"),
            },
            Err(error) => tracing::warn!(partition, "the partition cannot be claimed: {error}"),
        }
        None
    }

    /// Takes the inbox back: another worker that was about to have the partition, and has not got it, may have taken it.
    async fn keep_inbox(&self, partition: u32) {
        let host = &self.host;
        if host.0.inbox_shared.has(partition).await {
            return;
        }
        match host.0.inbox.acquire(partition, &self.name).await {
            Ok(inbox) => host.0.inbox_shared.give(inbox).await,
            Err(error) => tracing::warn!(partition, "the inbox cannot be taken back yet: {error}"),
        }
    }

    async fn gain(&self, lease: Lease, held: Duration) -> Result<Owned> {
        let (host, partition) = (&self.host, lease.partition);
        let inbox = host.0.inbox.acquire(partition, &self.name).await?;
        let next = host.0.inbox.trimmed(partition).await?;
        host.0.log_shared.give(lease.clone()).await;
        host.0.inbox_shared.give(inbox).await;
        for (stream, known) in host.0.registry.all() {
            if known.state == StreamState::Live && self.partition(&stream) == partition {
                host.hold(&stream);
            }
        }
        Ok(Owned { lease, held, next, read: HashMap::new() })
    }

    fn partition(&self, stream: &StreamId) -> u32 {
        partition_of(stream, self.host.0.inbox.partitions())
    }

    /// Stops acting for a partition that is somebody else's.
    async fn lose(&mut self, partition: u32) {
        self.owned.remove(&partition);
        for (stream, live) in self.host.lives().iter() {
            if self.partition(stream) == partition {
                live.stop.cancel();
            }
        }
        let host = self.host.clone();
        self.refused.retain(|stream| partition_of(stream, host.0.inbox.partitions()) != partition);
        self.host.0.log_shared.take(partition).await;
        self.host.0.inbox_shared.take(partition).await;
    }

    /// Starts what is kept as live and is not, and what has other settings anew.
    async fn known(&mut self) {
        for (stream, known) in self.host.0.registry.all() {
            if known.state != StreamState::Live || !self.owned.contains_key(&self.partition(&stream)) {
                continue;
            }
            let live = self.host.lives().get(&stream).cloned();
            match live {
                None => self.start(stream).await,
                Some(live) => live.adopt(&known.settings),
            }
        }
    }

    /// Starts what something has come for.
    async fn arrivals(&mut self) {
        for partition in self.owned.keys().copied().collect::<Vec<_>>() {
            match self.arrived(partition).await {
                Ok(streams) => {
                    if !streams.is_empty() {
                        // Whoever took it in has said before what it is.
                        refresh(&self.host).await;
                    }
                    for stream in streams {
                        self.start(stream).await;
                    }
                }
                Err(error) => tracing::warn!(partition, "the inbox cannot be read, trying again: {error}"),
            }
        }
    }

    async fn start(&mut self, stream: StreamId) {
        match self.host.start(&stream, None).await {
            Ok(live) => {
                live.leave(&*self.host.0.time);
                self.refused.remove(&stream);
            }
            // It is tried again and again, and told once.
            Err(error) if self.refused.insert(stream.clone()) => {
                tracing::warn!(%stream, "not started yet: {error}");
            }
            Err(_) => {}
        }
    }

    /// The streams that are not live and to which something has come that was not read.
    async fn arrived(&mut self, partition: u32) -> Result<Vec<StreamId>> {
        let inbox = self.host.0.inbox.clone();
        let mut found: Vec<StreamId> = Vec::new();
        let Some(owned) = self.owned.get_mut(&partition) else { return Ok(found) };
        loop {
            let read = inbox.read(partition, owned.next, CHUNK).await?;
            let Some((last, _)) = read.last() else { return Ok(found) };
            let next = last + 1;
            for (offset, record) in read {
                let Record::Arrival(arrival) = record else { continue };
                let stream = arrival.stream;
                if found.contains(&stream) || self.host.touch(&stream) {
                    continue;
                }
                if !owned.read.contains_key(&stream) {
                    let stored = inbox.last_checkpoint(partition, &LogSource::consumer(&stream)).await?;
                    owned.read.insert(stream.clone(), stored.map_or(0, |checkpoint| checkpoint.next));
                }
                let ended = self.host.0.registry.find(&stream).is_some_and(|k| k.state == StreamState::Ended);
                if !ended && owned.read.get(&stream).is_some_and(|read| offset >= *read) {
                    found.push(stream);
                }
            }
            owned.next = next;
        }
    }

    /// The host stops: once its streams have, others may go on with them at once.
    async fn give_back(&mut self) {
        let host = &self.host;
        while !host.lives().is_empty() {
            host.0.time.sleep(LOOK).await;
            let log = host.0.log_shared.whole();
            for owned in self.owned.values() {
                if let Err(error) = log.renew(&owned.lease, self.config.claim).await {
                    tracing::warn!("a claim could not be renewed: {error}");
                }
            }
        }
        for owned in self.owned.values() {
            if let Err(error) = host.0.log_shared.whole().renew(&owned.lease, Duration::ZERO).await {
                tracing::warn!("a claim could not be given back, it runs out by itself: {error}");
            }
        }
    }
}
