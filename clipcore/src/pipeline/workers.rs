//! The worker threads that engines run on: detectors and models may take their time, the reactor may not.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;
/// The way to one worker thread.
pub(super) type JobQueue = mpsc::Sender<Job>;

/// Jobs that may wait for one thread.
const QUEUE: usize = 64;

/// A fixed number of threads, each with a bounded queue. They end when the last sender is gone.
#[derive(Debug)]
pub(super) struct Workers {
    queues: Vec<JobQueue>,
}

impl Workers {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// `Io` where the system gives no thread.
    pub(super) fn start(threads: usize) -> Result<Self> {
        let queues = (0..threads.max(1)).map(|n| {
            let (tx, mut rx) = mpsc::channel::<Job>(QUEUE);
            std::thread::Builder::new().name(format!("clipcore-{n}")).spawn(move || {
                while let Some(job) = rx.blocking_recv() {
                    job();
                }
            })?;
            Ok(tx)
        });
        Ok(Self { queues: queues.collect::<Result<_>>()? })
    }

    /// The queue that `key` hashes to.
    pub(super) fn queue(&self, key: u32) -> JobQueue {
        self.queues[key as usize % self.queues.len()].clone()
    }
}

/// A stream's engine and the thread it runs on. The engine travels to the thread and back with each
/// job; one that panics does not come back.
#[derive(Debug)]
pub(super) struct Seat {
    engine: Option<Box<Engine>>,
    queue: JobQueue,
}

impl Seat {
    pub(super) fn new(engine: Engine, queue: JobQueue) -> Self {
        Self { engine: Some(Box::new(engine)), queue }
    }

    /// Whether the engine is still there.
    pub(super) fn is_alive(&self) -> bool {
        self.engine.is_some()
    }

    /// The queue of its thread, for an engine that takes its place.
    pub(super) fn queue(&self) -> JobQueue {
        self.queue.clone()
    }

    /// Whether a call now would wait for the thread.
    pub(super) fn would_wait(&self) -> bool {
        self.queue.capacity() == 0
    }

    /// Runs `work` on the worker thread.
    ///
    /// # Errors
    /// `Internal` where it panics, or where an earlier call did: the engine is gone then.
    ///
    /// # Cancel safety
    /// The engine is lost when the call is dropped half-way.
    pub(super) async fn call<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Result<R> {
        let mut engine = self.engine.take().ok_or_else(gone)?;
        let (tx, rx) = oneshot::channel();
        let job: Job = Box::new(move || {
            let done = catch_unwind(AssertUnwindSafe(move || {
                let result = work(&mut engine);
                (engine, result)
            }));
            // Nobody waits for the answer of a stream that was aborted.
            let _ = tx.send(done.map_err(|panic| describe(&*panic)));
        });
        self.queue.send(job).await.map_err(|_| gone())?;
        let (engine, result) = rx.await.map_err(|_| gone())?.map_err(|text| {
            Error::new(ErrorKind::Internal, format!("the engine has stopped: {text}"))
                .with_hint("the stream's log is intact: a build that is mended goes on where it was")
        })?;
        self.engine = Some(engine);
        Ok(result)
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the engine of this stream is gone")
}

/// What a panic said.
pub(super) fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
