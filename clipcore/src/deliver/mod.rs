//! Delivering apart from finding: moments and clips out of a log that other processes write, into sinks.
//!
//! A [`Pipeline`](crate::pipeline::Pipeline) delivers to its own sinks. Where pipelines run on several machines, or what they find is
//! to go to sinks that should not hold them up, a [`Deliverer`] follows their log instead.

mod partition;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::host::WorkerConfig;
use crate::log::EventLog;
use crate::sink::ClipSink;

/// Where a deliverer keeps how far it has come.
#[derive(Clone)]
pub enum Position {
    /// Nowhere: each start delivers what the log holds again, which a sink of this process (a catalog) knows already.
    None,
    /// In the checkpoints of a log that is used for nothing else and has as many partitions; of the processes that share
    /// it, one at a time delivers what a partition holds.
    Claimed(Arc<dyn EventLog>, WorkerConfig),
}

/// Follows a log, and gives every sink each transition of moments and clips, in order for each stream.
///
/// Sinks do not wait for each other. An error that can pass is waited out; what a sink refuses for good is reported and
/// passed over, so put a [dead letter](crate::sink::layer) around it. After a crash some items are delivered
/// again, under the same id and revision.
#[derive(Clone)]
pub struct Deliverer {
    log: Arc<dyn EventLog>,
    sinks: Vec<Arc<dyn ClipSink>>,
    position: Position,
    /// The folder that the paths of clips are relative to.
    root: Option<PathBuf>,
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sinks: Vec<_> = self.sinks.iter().map(|sink| sink.name()).collect();
        f.debug_struct("Deliverer").field("sinks", &sinks).finish_non_exhaustive()
    }
}

impl Deliverer {
    /// Delivers what `log` holds to `sinks`, whose names differ.
    pub fn new(log: Arc<dyn EventLog>, sinks: Vec<Arc<dyn ClipSink>>, position: Position) -> Self {
        Self { log, sinks, position, root: None }
    }

    /// Says where finished clips lie, where they lie on this machine: `root` joined with a clip's path.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Delivers until `stop` is cancelled; what was begun is finished first.
    pub async fn run(self, stop: CancellationToken) {
        let partitions = 0..self.log.partitions();
        join_all(partitions.map(|partition| self.partition(partition, &stop))).await;
    }
}
