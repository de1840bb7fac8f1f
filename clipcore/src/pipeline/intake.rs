//! The sources' end: one bounded queue and one task each, read in turns.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::deliver::panicked;
use crate::source::{Item, Source, SourceOutput};
use crate::{Error, ErrorKind, Result, StreamId, Timestamp};

/// What came out of a source.
#[derive(Debug)]
pub(super) enum Taken {
    Item(usize, Item),
    Ended(usize),
}

/// The sources of one stream.
#[derive(Debug, Default)]
pub(super) struct Intake {
    inlets: Vec<Inlet>,
    turn: usize,
}

#[derive(Debug)]
struct Inlet {
    name: String,
    has_clock: bool,
    /// A source that starts over says what an earlier run has logged, up to this instant.
    repeats_until: Option<Timestamp>,
    items: Option<mpsc::Receiver<Item>>,
    done: Option<oneshot::Receiver<Result<()>>>,
    stop: CancellationToken,
    task: Option<AbortHandle>,
}

/// What all sources of a stream are given.
pub(super) struct Inflow<'a> {
    pub(super) stream: &'a StreamId,
    pub(super) capacity: usize,
    pub(super) stop: &'a CancellationToken,
    pub(super) waits: &'a Arc<AtomicU64>,
    pub(super) resume_at: Option<Timestamp>,
}

impl Intake {
    /// Makes a source's queue and the task that runs it.
    pub(super) fn add(
        &mut self,
        source: Box<dyn Source>,
        inflow: &Inflow<'_>,
        spawn: impl FnOnce(futures::future::BoxFuture<'static, ()>) -> AbortHandle,
    ) {
        let (tx, rx) = mpsc::channel(inflow.capacity.max(1));
        let (done_tx, done_rx) = oneshot::channel();
        let stop = inflow.stop.child_token();
        let output = SourceOutput::new(inflow.stream.clone(), tx, stop.clone())
            .with_wait_counter(inflow.waits.clone())
            .with_resume_at(inflow.resume_at);
        let (name, has_clock) = (source.name(), source.has_clock());
        let task = spawn(
            async move {
                let outcome = AssertUnwindSafe(source.run(output)).catch_unwind().await;
                // Nobody asks any more once the stream is gone.
                let _ = done_tx.send(outcome.unwrap_or_else(|p| Err(panicked("the source", &*p))));
            }
            .boxed(),
        );
        self.inlets.push(Inlet {
            name,
            has_clock,
            repeats_until: inflow.resume_at.filter(|_| has_clock),
            items: Some(rx),
            done: Some(done_rx),
            stop,
            task: Some(task),
        });
    }

    pub(super) fn name(&self, source: usize) -> &str {
        &self.inlets[source].name
    }

    pub(super) fn has_clock(&self, source: usize) -> bool {
        self.inlets[source].has_clock
    }

    /// Whether the source drives the clock and has not come as far as an earlier run had: it says again what the
    /// log holds.
    pub(super) fn is_repeating(&self, source: usize) -> bool {
        self.inlets[source].repeats_until.is_some()
    }

    /// The source has said everything before `at`.
    pub(super) fn progress(&mut self, source: usize, at: Timestamp) {
        let inlet = &mut self.inlets[source];
        inlet.repeats_until = inlet.repeats_until.filter(|until| at < *until);
    }

    /// The sources that drive the clock.
    pub(super) fn clock_sources(&self) -> Vec<usize> {
        (0..self.inlets.len()).filter(|&i| self.inlets[i].has_clock).collect()
    }

    /// Whether a source that drives the clock still runs.
    pub(super) fn has_running_clock(&self) -> bool {
        self.inlets.iter().any(|i| i.has_clock && i.items.is_some())
    }

    /// How many sources there were.
    pub(super) fn len(&self) -> usize {
        self.inlets.len()
    }

    /// Whether every source has ended and everything it said was taken.
    pub(super) fn is_over(&self) -> bool {
        self.inlets.iter().all(|i| i.items.is_none())
    }

    /// Asks every source to end.
    pub(super) fn stop(&self) {
        for inlet in &self.inlets {
            inlet.stop.cancel();
        }
    }

    /// Asks every source to end and takes nothing more from them; waits for each at most `grace`.
    pub(super) async fn close(&mut self, grace: Duration) {
        self.stop();
        for inlet in &mut self.inlets {
            inlet.items = None;
        }
        let done = self.inlets.iter_mut().filter_map(|inlet| inlet.done.take());
        // How they end does not matter any more.
        let _ = tokio::time::timeout(grace, join_all(done)).await;
    }

    /// Ends the sources that did not end when asked; gives their names.
    pub(super) fn abort(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for inlet in self.inlets.iter_mut().filter(|i| i.items.is_some()) {
            if let Some(task) = inlet.task.take() {
                task.abort();
            }
            // A thread of the source may still hold the queue's other end.
            if let Some(items) = &mut inlet.items {
                items.close();
            }
            names.push(inlet.name.clone());
        }
        names
    }

    /// The next thing any source says, in turns; pending for ever when all are over. Sources for which
    /// `wait` is true are not read.
    pub(super) async fn next(&mut self, wait: impl Fn(usize) -> bool) -> Taken {
        let count = self.inlets.len();
        std::future::poll_fn(|cx| {
            for step in 0..count {
                let index = (self.turn + step) % count;
                let inlet = &mut self.inlets[index];
                let Some(items) = &mut inlet.items else { continue };
                if wait(index) {
                    continue;
                }
                match items.poll_recv(cx) {
                    Poll::Ready(Some(item)) => {
                        self.turn = index + 1;
                        return Poll::Ready(Taken::Item(index, item));
                    }
                    Poll::Ready(None) => {
                        inlet.items = None;
                        return Poll::Ready(Taken::Ended(index));
                    }
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// As [`next`](Self::next), for what is there already.
    pub(super) fn try_next(&mut self, wait: impl Fn(usize) -> bool) -> Option<Taken> {
        self.next(wait).now_or_never()
    }

    /// How a source that is over has ended.
    pub(super) async fn outcome(&mut self, source: usize) -> Result<()> {
        let Some(done) = self.inlets[source].done.take() else { return Ok(()) };
        done.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Cancelled, "the source did not end when it was asked to"))
        })
    }
}
