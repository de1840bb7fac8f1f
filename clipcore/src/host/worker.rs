//! The part of a host that shares streams with other processes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::future::join_all;

use super::share::Share;
use super::{Host, StreamState, WorkerConfig};
use crate::log::{Arrived, Lease, Offset, Record, partition_of};
use crate::source::LogSource;
use crate::{Result, StreamId};

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
        worker.leave().await;
        if !pause(&worker.host, LOOK).await {
            break;
        }
    }
    worker.give_back().await;
}

/// A partition that this worker has.
pub(super) struct Owned {
    pub(super) lease: Lease,
    /// When the claim was last known to hold, by `TimeSource::elapsed`.
    pub(super) held: Duration,
    /// Others are to have it as soon as its streams have stopped.
    pub(super) leaving: bool,
    /// How far its inbox was looked through for streams.
    next: Offset,
    /// Up to which offset each stream had been read when it was looked up.
    read: HashMap<StreamId, Offset>,
}

impl Owned {
    pub(super) fn new(lease: Lease, held: Duration, next: Offset) -> Self {
        Self { lease, held, leaving: false, next, read: HashMap::new() }
    }
}

pub(super) struct Worker {
    pub(super) host: Host,
    pub(super) config: WorkerConfig,
    pub(super) name: String,
    pub(super) owned: BTreeMap<u32, Owned>,
    pub(super) share: Share,
    /// Streams that could not be started when they were to be.
    pub(super) refused: HashSet<StreamId>,
}

impl Worker {
    fn new(host: Host, config: WorkerConfig) -> Self {
        let name = config.name_or("worker");
        Self { host, config, name, owned: BTreeMap::new(), share: Share::default(), refused: HashSet::new() }
    }

    pub(super) fn partition(&self, stream: &StreamId) -> u32 {
        partition_of(stream, self.host.0.inbox.partitions())
    }

    /// Starts what is kept as live and is not, and what has other settings anew.
    async fn known(&mut self) {
        for (stream, known) in self.host.0.registry.all() {
            let owned = self.owned.get(&self.partition(&stream));
            if known.state != StreamState::Live || owned.is_none_or(|owned| owned.leaving) {
                continue;
            }
            let live = self.host.lives().get(&stream).cloned();
            match live {
                None => self.start(stream).await,
                Some(live) => {
                    live.adopt(&known.settings);
                    self.host.say_recorded(&stream, known).await;
                }
            }
        }
    }

    /// Starts what something has come for.
    async fn arrivals(&mut self) {
        let staying = self.owned.iter().filter(|(_, owned)| !owned.leaving);
        for partition in staying.map(|(partition, _)| *partition).collect::<Vec<_>>() {
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
                // What detectors find in a recording begins no stream.
                if matches!(arrival.what, Arrived::Signal(_) | Arrived::Looked(_)) {
                    continue;
                }
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
    async fn give_back(&self) {
        let host = &self.host;
        let mut renewed = host.0.time.elapsed();
        while !host.lives().is_empty() {
            host.0.time.sleep(LOOK).await;
            let now = host.0.time.elapsed();
            if now >= renewed + self.config.claim / 3 {
                renewed = now;
                join_all(self.owned.values().map(|owned| self.renewed(owned))).await;
            }
        }
        join_all(self.owned.values().map(|owned| self.release(&owned.lease))).await;
        if let Err(error) = host.0.log_shared.whole().attend(&self.name, Duration::ZERO).await {
            tracing::debug!("others are not told that a worker has gone: {error}");
        }
    }
}
