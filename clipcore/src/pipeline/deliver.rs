//! The tasks that sinks and cutters run in, one each, so that a slow one holds up nobody else.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::Instrument;

use super::workers::describe;
use crate::cutter::{Cutter, Deliveries};
use crate::fusion::Moment;
use crate::log::Receipt;
use crate::sink::{ClipSink, Delivery};
use crate::{CameraId, Error, ErrorKind, Result, Timestamp, trace};

/// What a sink's or cutter's task reports to its stream.
#[derive(Debug)]
pub(super) enum Report {
    /// A sink is through with an item.
    Delivered { sink: usize, item: Arc<Delivery>, outcome: Result<Receipt> },
    /// A cutter has taken up a moment's transition.
    Told { cutter: usize, moment: Moment, outcome: Result<()> },
    /// A cutter has finished.
    Finished { camera: CameraId, outcome: Result<()> },
}

/// What a cutter is told, in this order.
#[derive(Debug, Clone)]
pub(super) enum Tell {
    Moment(Moment),
    /// Moments are decided up to this instant.
    Watermark(Timestamp),
}

/// A bounded queue with the items that wait for room in it. The waiting line is bounded by the stream,
/// which takes in nothing more while it is long.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    queue: Option<mpsc::Sender<T>>,
    waiting: VecDeque<T>,
}

impl<T> Outbox<T> {
    pub(super) fn new(capacity: usize) -> (Self, mpsc::Receiver<T>) {
        let (tx, rx) = mpsc::channel(capacity.max(1));
        (Self { queue: Some(tx), waiting: VecDeque::new() }, rx)
    }

    /// Queues an item; says whether it has to wait for room.
    pub(super) fn push(&mut self, item: T) -> bool {
        self.waiting.push_back(item);
        self.pump();
        !self.waiting.is_empty()
    }

    /// Moves what waits into the queue, as far as there is room.
    pub(super) fn pump(&mut self) {
        let Some(queue) = &self.queue else { return };
        while let Some(item) = self.waiting.pop_front() {
            match queue.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item) | TrySendError::Closed(item)) => {
                    self.waiting.push_front(item);
                    return;
                }
            }
        }
    }

    /// Whether an item would go into the queue at once, and leave room for another.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.queue.as_ref().is_some_and(|queue| queue.capacity() > 1)
    }

    /// How many wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lets the task end once it has emptied its queue.
    pub(super) fn close(&mut self) {
        self.queue = None;
    }
}

/// Feeds one sink with one stream's items, in order.
pub(super) async fn run_sink(
    index: usize,
    sink: Arc<dyn ClipSink>,
    mut items: mpsc::Receiver<Arc<Delivery>>,
    reports: mpsc::Sender<Report>,
) {
    while let Some(item) = items.recv().await {
        let span = trace::delivery(sink.name(), &item);
        let outcome = AssertUnwindSafe(sink.deliver(&item)).catch_unwind().instrument(span).await;
        let outcome = outcome.unwrap_or_else(|panic| Err(panicked("the sink", &*panic)));
        if reports.send(Report::Delivered { sink: index, item, outcome }).await.is_err() {
            return;
        }
    }
}

/// Tells one cutter of one stream's moments, in order; lets it finish when there are no more.
pub(super) async fn run_cutter(
    index: usize,
    cutter: Arc<dyn Cutter>,
    mut queue: mpsc::Receiver<Tell>,
    clips: Deliveries,
    reports: mpsc::Sender<Report>,
) {
    while let Some(tell) = queue.recv().await {
        let moment = match tell {
            Tell::Moment(moment) => moment,
            Tell::Watermark(at) => {
                cutter.watermark(at);
                continue;
            }
        };
        let outcome = AssertUnwindSafe(cutter.moment(&moment, &clips)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| Err(panicked("the cutter", &*panic)));
        if reports.send(Report::Told { cutter: index, moment, outcome }).await.is_err() {
            return;
        }
    }
    let outcome = AssertUnwindSafe(cutter.finish()).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|panic| Err(panicked("the cutter", &*panic)));
    // The stream reads reports until it has this one, unless it was aborted.
    let _ = reports.send(Report::Finished { camera: cutter.camera().clone(), outcome }).await;
}

pub(super) fn panicked(who: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    Error::new(ErrorKind::Internal, format!("{who} panicked: {}", describe(panic)))
}
