//! One partition's way to the sinks.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Deliverer, Position};
use crate::host::WorkerConfig;
use crate::log::{Checkpoint, EventLog, Lease, Offset, Record};
use crate::sink::{ClipSink, Delivery};
use crate::{ErrorKind, Result};

/// How often the log is asked for more.
const POLL: Duration = Duration::from_millis(100);
/// Records looked at in one go, and the most that are delivered again after a crash.
const CHUNK: usize = 256;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Where one sink has come to in one partition.
struct Place<'a> {
    sink: &'a Arc<dyn ClipSink>,
    next: Offset,
    kept: Option<(&'a dyn EventLog, &'a Lease, String)>,
}

impl Deliverer {
    pub(super) async fn partition(&self, partition: u32, stop: &CancellationToken) {
        match &self.position {
            Position::None => {
                let all = self.sinks.iter().map(|sink| self.deliver(partition, sink, None, stop));
                join_all(all).await;
            }
            Position::Claimed(offsets, worker) => {
                let name = worker.name_or("deliver");
                while !stop.is_cancelled() {
                    match offsets.claim(partition, &name, worker.claim).await {
                        Ok(Some(lease)) => {
                            self.hold(&**offsets, worker, &lease, stop).await;
                            continue;
                        }
                        Ok(None) => {}
                        Err(error) => tracing::warn!(
                            partition,
                            "what to deliver cannot be claimed, trying again: {error}"
                        ),
                    }
                    pause(stop, worker.claim / 3).await;
                }
            }
        }
    }

    /// Delivers for as long as the claim holds.
    async fn hold(
        &self,
        offsets: &dyn EventLog,
        worker: &WorkerConfig,
        lease: &Lease,
        stop: &CancellationToken,
    ) {
        let mine = stop.child_token();
        let all = async {
            let all = self.sinks.iter();
            join_all(all.map(|sink| self.deliver(lease.partition, sink, Some((offsets, lease)), &mine)))
                .await;
        };
        tokio::select! {
            () = all => {
                if let Err(error) = offsets.renew(lease, Duration::ZERO).await {
                    tracing::warn!("a claim could not be given back, it runs out by itself: {error}");
                }
            }
            error = keep(offsets, worker.claim, lease) => {
                tracing::warn!(partition = lease.partition, "others deliver from here on: {error}");
            }
        }
    }

    async fn deliver(
        &self,
        partition: u32,
        sink: &Arc<dyn ClipSink>,
        kept: Option<(&dyn EventLog, &Lease)>,
        stop: &CancellationToken,
    ) {
        let mut backoff = BACKOFF.0;
        let kept = kept.map(|(offsets, lease)| (offsets, lease, format!("deliver-{}", sink.name())));
        let mut place = Place { sink, next: 0, kept };
        let mut begun = false;
        while !stop.is_cancelled() {
            let step = async {
                if !begun {
                    place.next = place.begin().await?;
                    begun = true;
                }
                self.step(partition, &mut place, stop).await
            };
            match step.await {
                Ok(true) => backoff = BACKOFF.0,
                Ok(false) => pause(stop, POLL).await,
                Err(error) => {
                    let (name, wait) = (sink.name(), backoff.as_secs_f64());
                    tracing::warn!(
                        sink = name,
                        partition,
                        "not delivered, trying again in {wait} s: {error}"
                    );
                    pause(stop, backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Delivers what the next records say; whether there were any.
    async fn step(&self, partition: u32, place: &mut Place<'_>, stop: &CancellationToken) -> Result<bool> {
        let read = self.log.read(partition, place.next, CHUNK).await?;
        let Some((last, _)) = read.last() else { return Ok(false) };
        let next = last + 1;
        for (offset, record) in read {
            if stop.is_cancelled() {
                break;
            }
            let item = match record {
                Record::Moment(moment) => Delivery::Moment(moment),
                Record::Clip(clip) => {
                    let path = self.root.as_ref().zip(clip.path.as_ref()).map(|(root, path)| root.join(path));
                    Delivery::Clip { clip, file: path.filter(|path| path.is_file()) }
                }
                _ => continue,
            };
            let span = crate::trace::delivery(place.sink.name(), &item);
            match place.sink.deliver(&item).instrument(span).await {
                Ok(_) => {}
                Err(error) if error.is_retryable() => {
                    place.reach(offset).await?;
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!(sink = place.sink.name(), item = %item.item(), "given up on: {error}");
                }
            }
            place.next = offset + 1;
        }
        let reached = if stop.is_cancelled() { place.next } else { next };
        place.reach(reached).await?;
        Ok(true)
    }
}

impl Place<'_> {
    async fn begin(&self) -> Result<Offset> {
        let Some((offsets, lease, consumer)) = &self.kept else { return Ok(0) };
        Ok(offsets.last_checkpoint(lease.partition, consumer).await?.map_or(0, |found| found.next))
    }

    async fn reach(&mut self, next: Offset) -> Result<()> {
        self.next = next;
        let Some((offsets, lease, consumer)) = &self.kept else { return Ok(()) };
        offsets.checkpoint(lease, consumer, &Checkpoint { next, state: Value::Null }).await
    }
}

/// Renews a claim until it is lost.
async fn keep(offsets: &dyn EventLog, span: Duration, lease: &Lease) -> crate::Error {
    let mut held = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(span / 3).await;
        let asked = tokio::time::Instant::now();
        match offsets.renew(lease, span).await {
            Ok(()) => held = asked,
            Err(error) if error.kind() == ErrorKind::Conflict || held.elapsed() >= span => return error,
            Err(error) => tracing::warn!("a claim could not be renewed, trying again: {error}"),
        }
    }
}

async fn pause(stop: &CancellationToken, span: Duration) {
    stop.run_until_cancelled(tokio::time::sleep(span)).await;
}
