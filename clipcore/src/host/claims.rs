//! Which partitions a worker has: an even share of them, as far as streams whose recording lies on its machine allow.

use std::time::Duration;

use futures::future::join_all;

use super::worker::{Owned, Worker};
use super::{StreamState, share};
use crate::Result;
use crate::log::{Lease, partition_of};

impl Worker {
    /// Renews what it has, and claims what is free; whether there was some. Partitions do not wait for each other: one after
    /// another might take longer than a claim lasts.
    pub(super) async fn claims(&mut self) -> bool {
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
        self.share.count(&*self.host.0.log_shared.whole(), &self.name, &self.config).await;
        self.give_up(self.share.most_kept(partitions, &self.config));
        let most = self.share.most_taken(partitions, &self.config);
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

    /// Stops the streams of what is beyond its share, but for those with media: what is not yet cut of their recordings could
    /// be cut by nobody else.
    fn give_up(&mut self, most: usize) {
        let staying = self.owned.values().filter(|owned| !owned.leaving).count();
        let mut surplus = staying.saturating_sub(most);
        let records: Vec<u32> = self
            .host
            .0
            .registry
            .all()
            .into_iter()
            .filter(|(_, known)| known.state == StreamState::Live && !known.settings.inputs.is_empty())
            .map(|(stream, _)| self.partition(&stream))
            .collect();
        for (partition, owned) in self.owned.iter_mut().rev() {
            if surplus == 0 {
                break;
            }
            if !owned.leaving && !records.contains(partition) {
                owned.leaving = true;
                surplus -= 1;
            }
        }
        for (stream, live) in self.host.lives().iter() {
            if self.owned.get(&self.partition(stream)).is_some_and(|owned| owned.leaving) {
                live.stop.cancel();
            }
        }
    }

    /// Gives back what it was to give up and has no streams of any more.
    pub(super) async fn leave(&mut self) {
        let leaving = self.owned.iter().filter(|(_, owned)| owned.leaving);
        let busy: Vec<u32> = self.host.lives().keys().map(|stream| self.partition(stream)).collect();
        let done: Vec<u32> = leaving.map(|(p, _)| *p).filter(|p| !busy.contains(p)).collect();
        for partition in done {
            let Some(owned) = self.owned.get(&partition) else { continue };
            let lease = owned.lease.clone();
            tracing::info!(partition, "given to another worker");
            self.lose(partition).await;
            self.release(&lease).await;
        }
    }

    /// Lets others have a partition at once.
    pub(super) async fn release(&self, lease: &Lease) {
        if let Err(error) = self.host.0.log_shared.whole().renew(lease, Duration::ZERO).await {
            tracing::warn!("a claim could not be given back, it runs out by itself: {error}");
        }
    }

    /// When the claim was last known to hold; nothing where it does not any more.
    pub(super) async fn renewed(&self, owned: &Owned) -> Option<Duration> {
        let (log, time) = (self.host.0.log_shared.whole(), &*self.host.0.time);
        let renewed = share::renewed((&*log, &owned.lease), self.config.claim, owned.held, time).await;
        let lost = |error: &_| tracing::warn!(owned.lease.partition, "the partition is lost: {error}");
        renewed.inspect_err(lost).ok()
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
        Ok(Owned::new(lease, held, next))
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
}
