//! Which partitions this process of a pool has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::DetectorPool;
use super::stream::look_at;
use crate::StreamId;
use crate::host::{Known, Share, StreamSettings, StreamState, renewed};
use crate::log::{Lease, partition_of};

/// How often streams are looked up.
const LOOK: Duration = Duration::from_secs(1);

/// A partition that this process has.
struct Owned {
    lease: Lease,
    /// When the claim was last known to hold, by `TimeSource::elapsed`.
    held: Duration,
    streams: BTreeMap<StreamId, Looking>,
    /// Others are to have it.
    leaving: bool,
}

/// A stream that is looked at.
struct Looking {
    recorded_at: String,
    settings: StreamSettings,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub(super) async fn run(pool: Arc<DetectorPool>, stop: CancellationToken) {
    let name = pool.parts.worker.name_or("detect");
    let mut claims =
        Claims { pool, name, share: Share::default(), owned: BTreeMap::new(), known: BTreeMap::new() };
    let mut renewed = None::<Duration>;
    loop {
        let now = claims.pool.parts.time.elapsed();
        if renewed.is_none_or(|at| now >= at + claims.pool.parts.worker.claim / 3) {
            renewed = Some(now);
            claims.claims().await;
        }
        claims.streams().await;
        if stop.run_until_cancelled(claims.pool.parts.time.sleep(LOOK)).await.is_none() {
            break;
        }
    }
    claims.give_back().await;
}

struct Claims {
    pool: Arc<DetectorPool>,
    name: String,
    share: Share,
    owned: BTreeMap<u32, Owned>,
    known: BTreeMap<StreamId, Known>,
}

impl Claims {
    /// Renews what it has, and claims what is free of its share.
    async fn claims(&mut self) {
        let (places, worker) = (self.pool.parts.places.clone(), self.pool.parts.worker.clone());
        let held = self.owned.iter().map(async |(partition, owned)| {
            let time = &*self.pool.parts.time;
            let held = renewed((&*places, &owned.lease), worker.claim, owned.held, time).await;
            let lost = |e: &_| {
                tracing::warn!(partition, "others look at the streams of this part from here on: {e}")
            };
            let held = held.inspect_err(lost).ok();
            (*partition, held)
        });
        for (partition, held) in join_all(held).await {
            match (held, self.owned.get_mut(&partition)) {
                (Some(held), Some(owned)) => owned.held = held,
                _ => drop(self.owned.remove(&partition)),
            }
        }
        self.share.count(&*places, &self.name, &worker).await;
        let partitions = places.partitions();
        let most = self.share.most_kept(partitions, &worker);
        let staying = self.owned.values().filter(|owned| !owned.leaving).count();
        for owned in self.owned.values_mut().rev().filter(|o| !o.leaving).take(staying.saturating_sub(most)) {
            owned.leave();
        }
        let most = self.share.most_taken(partitions, &worker);
        for partition in 0..partitions {
            if self.owned.len() >= most {
                break;
            }
            if self.owned.contains_key(&partition) {
                continue;
            }
            // Asked before: the claim may run from the moment that the log takes it.
            let held = self.pool.parts.time.elapsed();
            match places.claim(partition, &self.name, worker.claim).await {
                Ok(Some(lease)) => {
                    let owned = Owned { lease, held, streams: BTreeMap::new(), leaving: false };
                    self.owned.insert(partition, owned);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(partition, "the part cannot be claimed: {error}"),
            }
        }
    }

    /// Looks at what is live and recorded, and no more at what is not.
    async fn streams(&mut self) {
        match self.pool.parts.streams.load().await {
            Ok(known) => self.known = known,
            Err(error) => tracing::warn!("what is kept of streams cannot be read, trying again: {error}"),
        }
        let partitions = self.pool.parts.places.partitions();
        for (partition, owned) in &mut self.owned {
            owned.streams.retain(|stream, looking| {
                let same = self.known.get(stream).is_some_and(|k| {
                    k.state == StreamState::Live
                        && k.recorded_at.as_ref() == Some(&looking.recorded_at)
                        && k.settings == looking.settings
                });
                if !same {
                    looking.stop.cancel();
                }
                // What is looked at anew waits until it is no more looked at as before.
                same || !looking.task.is_finished()
            });
            if owned.leaving {
                continue;
            }
            for (stream, known) in &self.known {
                let Some(recorded_at) = known.recorded_at.clone() else { continue };
                let live = known.state == StreamState::Live && !known.settings.inputs.is_empty();
                if !live
                    || partition_of(stream, partitions) != *partition
                    || owned.streams.contains_key(stream)
                {
                    continue;
                }
                let (stop, settings) = (CancellationToken::new(), known.settings.clone());
                let looked = look_at(
                    self.pool.clone(),
                    owned.lease.clone(),
                    stream.clone(),
                    settings.clone(),
                    recorded_at.clone(),
                    stop.clone(),
                );
                let task = tokio::spawn(looked);
                owned.streams.insert(stream.clone(), Looking { recorded_at, settings, stop, task });
            }
        }
        let done: Vec<u32> =
            self.owned.iter().filter(|(_, o)| o.leaving && o.streams.is_empty()).map(|(p, _)| *p).collect();
        for partition in done {
            if let Some(owned) = self.owned.remove(&partition) {
                tracing::info!(partition, "given to another process of the pool");
                self.release(&owned.lease).await;
            }
        }
    }

    async fn give_back(&mut self) {
        for owned in self.owned.values_mut() {
            owned.leave();
        }
        for owned in std::mem::take(&mut self.owned).into_values() {
            let Owned { lease, streams, .. } = owned;
            for mut looking in streams.into_values() {
                // How it ended was told.
                let _ = (&mut looking.task).await;
            }
            self.release(&lease).await;
        }
        if let Err(error) = self.pool.parts.places.attend(&self.name, Duration::ZERO).await {
            tracing::debug!("others are not told that a process of the pool has gone: {error}");
        }
    }

    async fn release(&self, lease: &Lease) {
        if let Err(error) = self.pool.parts.places.renew(lease, Duration::ZERO).await {
            tracing::warn!("a claim could not be given back, it runs out by itself: {error}");
        }
    }
}

impl Owned {
    fn leave(&mut self) {
        self.leaving = true;
        self.streams.values().for_each(|looking| looking.stop.cancel());
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
