use std::collections::VecDeque;
use std::time::Duration;

use super::WorkerConfig;
use crate::clock::TimeSource;
use crate::log::{EventLog, Lease};
use crate::{Error, ErrorKind, Result};

/// Counts of workers that are remembered: two spans of a claim.
const COUNTS: usize = 6;

/// An even share of a log's partitions, among the workers that say they are there.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// How many workers there were lately, the last count last.
    counts: VecDeque<usize>,
}

impl Share {
    /// Says that the worker is there, and takes note of how many are; to be called three times in the span of a claim.
    pub(crate) async fn count(&mut self, log: &dyn EventLog, name: &str, config: &WorkerConfig) {
        // As long as claims, so that what a dead worker had and its share become free together.
        match log.attend(name, config.claim).await {
            Ok(workers) => self.counts.push_back(workers),
            Err(error) => tracing::debug!("it is not known how many workers there are: {error}"),
        }
        if self.counts.len() > COUNTS {
            self.counts.pop_front();
        }
    }

    /// How many partitions it may keep. One that has died and been started again counts twice for a while: nothing is given
    /// up for the dead.
    pub(crate) fn most_kept(&self, partitions: u32, config: &WorkerConfig) -> usize {
        share(self.counts.iter().min(), partitions, config)
    }

    /// How many it may have with those that are free. One that has just been started takes all that is free, and so whatever
    /// it had before.
    pub(crate) fn most_taken(&self, partitions: u32, config: &WorkerConfig) -> usize {
        share(if self.counts.len() < 2 { None } else { self.counts.back() }, partitions, config)
    }
}

/// How many partitions each of so many workers is to have at most.
fn share(workers: Option<&usize>, partitions: u32, config: &WorkerConfig) -> usize {
    let workers = workers.copied().unwrap_or(1).max(1);
    let share = (partitions as usize).div_ceil(workers);
    if config.max_partitions == 0 { share } else { share.min(config.max_partitions) }
}

/// Renews a claim that was last known to hold at `held`, by `TimeSource::elapsed`; gives when it was last known to hold now.
///
/// # Errors
/// It is lost: to another, or because it could not be renewed for as long as it lasts.
pub(crate) async fn renewed(
    (log, lease): (&dyn EventLog, &Lease),
    span: Duration,
    held: Duration,
    time: &dyn TimeSource,
) -> Result<Duration> {
    let now = time.elapsed();
    // A partition that is slow must not cost others their claims.
    let renewed = tokio::select! {
        renewed = log.renew(lease, span) => renewed,
        () = time.sleep(span / 3) => Err(Error::new(ErrorKind::Timeout, "the log does not answer")),
    };
    match renewed {
        Ok(()) => Ok(now),
        Err(error) if error.kind() == ErrorKind::Conflict || now >= held + span => Err(error),
        Err(error) => {
            tracing::warn!(lease.partition, "the claim could not be renewed: {error}");
            Ok(held)
        }
    }
}
