//! Taking viewers out of logs that other processes work on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::share::renewed;
use super::{Host, WorkerConfig};
use crate::durable::blocking;
use crate::log::{EventLog, Lease, RewriteRecord, RewriteState};
use crate::privacy::{Erased, Viewer, rewrites_of_viewer};
use crate::{Error, ErrorKind, Result};

/// For how long a partition is held at a time; should this process die, others go on with it after that.
const HOLD: Duration = Duration::from_secs(10);
/// How long is waited for another process that does the same.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

impl Host {
    /// Takes a viewer out, partition by partition. One in which they are found is taken from its worker meanwhile: what that
    /// still has in memory reaches no log any more, and it begins anew from checkpoints without them.
    pub(super) async fn erase_viewer_shared(&self, viewer: &Arc<Viewer>) -> Result<Erased> {
        let mut erased = Erased::default();
        for partition in 0..self.0.log_shared.whole().partitions() {
            if !self.mentions(partition, viewer).await? {
                continue;
            }
            let (records, states) = rewrites_of_viewer(viewer, |_| true);
            let here = self.while_seized(partition, self.rewrite_at(partition, records, states)).await?;
            erased.records += here.records;
            erased.checkpoints += here.checkpoints;
        }
        erased.unreached = self.unreached().await?;
        Ok(erased)
    }

    /// Lets other fronts know that keys of pseudonyms are kept here.
    pub(super) async fn note_keys(&self) -> Result<()> {
        let Some(keys) = self.own_keys().await? else { return Ok(()) };
        let dir = self.0.folder.as_ref().map(|folder| folder.dir().to_owned()).unwrap_or_default();
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        self.0.registry.store().note_keys(&keys, &format!("{}:{}", machine(), dir.display())).await
    }

    /// What tells the keys of this process from others'.
    async fn own_keys(&self) -> Result<Option<String>> {
        let Some(pseudonyms) = self.0.edge.pseudonyms.clone() else { return Ok(None) };
        blocking(move || pseudonyms.identity()).await.map(Some)
    }

    /// Where keys are kept that this process does not have.
    pub(super) async fn unreached(&self) -> Result<Vec<String>> {
        let (own, mut all) = (self.own_keys().await?, self.0.registry.store().keys().await?);
        all.retain(|keys, _| Some(keys) != own.as_ref());
        Ok(all.into_values().collect())
    }

    /// Whether a record or a checkpoint of the partition names the viewer.
    async fn mentions(&self, partition: u32, viewer: &Arc<Viewer>) -> Result<bool> {
        let found = Arc::new(AtomicBool::new(false));
        let note = found.clone();
        let (records, states) = rewrites_of_viewer(viewer, move |_| {
            note.store(true, Ordering::SeqCst);
            false
        });
        let note = found.clone();
        let states: RewriteState = Arc::new(move |consumer, state| {
            if states(consumer, state).is_some() {
                note.store(true, Ordering::SeqCst);
            }
            None
        });
        self.rewrite_at(partition, records, states).await?;
        Ok(found.load(Ordering::SeqCst))
    }

    /// Rewrites a partition of both logs. The inbox first: what is not there any more has been logged.
    async fn rewrite_at(
        &self,
        partition: u32,
        records: RewriteRecord,
        states: RewriteState,
    ) -> Result<Erased> {
        let mut erased = Erased::default();
        for log in self.logs().into_iter().filter(|log| partition < log.partitions()) {
            erased.records += log.rewrite(partition, records.clone()).await?;
            erased.checkpoints += log.rewrite_checkpoints(partition, states.clone()).await?;
        }
        Ok(erased)
    }

    /// Does `work` while no worker has the partition; its former one gets it back.
    async fn while_seized<T>(&self, partition: u32, work: impl Future<Output = Result<T>>) -> Result<T> {
        let log = self.0.log_shared.whole();
        let lease = self.seize(&*log, partition).await?;
        let done = tokio::select! {
            done = work => done,
            error = self.hold_seized(&*log, &lease) => Err(error),
        };
        match (done, log.hand_back(&lease).await) {
            (Ok(_), Err(error)) if error.kind() == ErrorKind::Conflict => Err(interrupted(partition)),
            (done, Err(error)) => {
                tracing::warn!(
                    partition,
                    "could not be handed back, others get it when its time is over: {error}"
                );
                done
            }
            (done, Ok(())) => done,
        }
    }

    async fn seize(&self, log: &dyn EventLog, partition: u32) -> Result<Lease> {
        let name = WorkerConfig::default().name_or("eraser");
        let begun = self.0.time.elapsed();
        loop {
            if let Some(lease) = log.seize(partition, &name, HOLD).await? {
                return Ok(lease);
            }
            if self.0.time.elapsed() >= begun + PATIENCE {
                return Err(interrupted(partition));
            }
            self.0.time.sleep(LOOK).await;
        }
    }

    /// Holds the partition until that fails.
    async fn hold_seized(&self, log: &dyn EventLog, lease: &Lease) -> Error {
        let mut held = self.0.time.elapsed();
        loop {
            self.0.time.sleep(HOLD / 3).await;
            held = match renewed((log, lease), HOLD, held, &*self.0.time).await {
                Ok(held) => held,
                Err(error) if error.kind() == ErrorKind::Conflict => return interrupted(lease.partition),
                Err(error) => return error,
            };
        }
    }
}

/// This machine's name, as far as the system says it without being asked for more than a file.
fn machine() -> String {
    let name =
        std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "?".to_owned())
}

fn interrupted(partition: u32) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "another process works on these streams, so that not all could be taken out",
    )
    .with_context("partition", partition)
    .with_hint("ask again in a moment: it goes on where it was")
}
