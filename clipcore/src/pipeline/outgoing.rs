//! One stream's way out: moments to cutters and sinks, clips to sinks.

use std::sync::Arc;

use futures::channel::mpsc as clips;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::PipelineConfig;
use super::deliver::{Outbox, Report, Tell, run_cutter, run_sink};
use super::ledger::{Due, Ledger};
use super::stats::Counters;
use crate::cutter::{Clip, ClipState, Cutter};
use crate::fusion::Moment;
use crate::sink::{ClipSink, Delivery};
use crate::{CameraId, Timestamp};

/// The sinks and cutters of one stream, and what they still owe or are owed.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) ledger: Ledger,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) clips: clips::Receiver<Delivery>,
    pub(super) sink_names: Vec<Arc<str>>,
    pub(super) cameras: Vec<CameraId>,
    sinks: Vec<Outbox<Arc<Delivery>>>,
    cutters: Vec<Outbox<Tell>>,
    /// Cutters that have not finished.
    running: usize,
    counters: Arc<Counters>,
}

impl Outgoing {
    /// Starts a task for each sink and cutter.
    pub(super) fn start(
        sinks: &[Arc<dyn ClipSink>],
        cutters: Vec<Arc<dyn Cutter>>,
        config: &PipelineConfig,
        counters: Arc<Counters>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (report_tx, reports) = mpsc::channel(config.queue.max(1));
        let (clip_tx, clips) = clips::channel(config.queue);
        let mut out = Self {
            ledger: Ledger::default(),
            reports,
            clips,
            sink_names: sinks.iter().map(|s| s.name().into()).collect(),
            cameras: cutters.iter().map(|c| c.camera().clone()).collect(),
            sinks: Vec::new(),
            cutters: Vec::new(),
            running: cutters.len(),
            counters,
        };
        for (index, sink) in sinks.iter().enumerate() {
            let (outbox, items) = Outbox::new(config.sink_queue);
            out.sinks.push(outbox);
            tasks.spawn(run_sink(index, sink.clone(), items, report_tx.clone()));
        }
        for (index, cutter) in cutters.into_iter().enumerate() {
            // Room for a watermark beside moments.
            let (outbox, queue) = Outbox::new(config.sink_queue.max(4));
            out.cutters.push(outbox);
            tasks.spawn(run_cutter(index, cutter, queue, clip_tx.clone(), report_tx.clone()));
        }
        out
    }

    /// How many items wait, for the sink or cutter that is furthest behind.
    pub(super) fn backlog(&self) -> usize {
        let sinks = self.sinks.iter().map(Outbox::waiting);
        sinks.chain(self.cutters.iter().map(Outbox::waiting)).max().unwrap_or(0)
    }

    /// A moment's transition was logged: everybody is to know.
    pub(super) fn moment(&mut self, moment: Moment) {
        self.ledger.moment(&moment, !self.cutters.is_empty());
        for outbox in &mut self.cutters {
            if outbox.push(Tell::Moment(moment.clone())) {
                self.counters.update(|s| s.cutter_waits += 1);
            }
        }
        self.item(Arc::new(Delivery::Moment(moment)));
    }

    /// Moments are decided up to `at`: cutters that are behind hear of a later instant later.
    pub(super) fn watermark(&mut self, at: Timestamp) {
        for outbox in self.cutters.iter_mut().filter(|o| o.has_room()) {
            outbox.push(Tell::Watermark(at));
        }
    }

    /// An item was logged: every sink is to have it.
    pub(super) fn item(&mut self, item: Arc<Delivery>) {
        self.ledger.owe(item.clone(), &self.sink_names, false);
        for index in 0..self.sinks.len() {
            self.hand_over(index, item.clone());
        }
    }

    fn hand_over(&mut self, sink: usize, item: Arc<Delivery>) {
        if self.sinks[sink].push(item) {
            self.counters.update(|s| s.sink_waits += 1);
        }
    }

    /// Hands items to the sinks that lack them.
    pub(super) fn hand_out(&mut self, due: Vec<Due>) {
        for (name, item) in due {
            if let Some(index) = self.sink_names.iter().position(|n| *n == name) {
                self.hand_over(index, item);
            }
        }
    }

    /// A record of an earlier run: a moment's transition.
    pub(super) fn replay_moment(&mut self, moment: Moment) {
        self.ledger.moment(&moment, !self.cutters.is_empty());
        self.ledger.owe(Arc::new(Delivery::Moment(moment)), &self.sink_names, false);
    }

    /// A record of an earlier run: a clip's transition. Where a ready one's file lies, its cutter will say.
    pub(super) fn replay_clip(&mut self, clip: Clip) {
        self.ledger.logged_clip(&clip);
        // Whoever changes a clip by hand delivers it.
        if clip.edit > 0 {
            return;
        }
        let held = clip.state == ClipState::Ready && self.cameras.contains(&clip.camera);
        self.ledger.owe(Arc::new(Delivery::Clip { clip, file: None }), &self.sink_names, held);
    }

    /// After the records of an earlier run: gives sinks and cutters what they still lack.
    pub(super) fn resume(&mut self) {
        self.ledger.sweep(&self.cameras);
        let due = self.ledger.resume(&self.sink_names);
        self.hand_out(due);
        for (index, camera) in self.cameras.iter().enumerate() {
            for moment in self.ledger.unfinished(camera) {
                self.cutters[index].push(Tell::Moment(moment));
            }
        }
    }

    /// A sink is through with an item: there is room for the next.
    pub(super) fn sink_has_room(&mut self, sink: usize) {
        self.sinks[sink].pump();
    }

    /// A cutter has taken a moment: there is room for the next.
    pub(super) fn cutter_has_room(&mut self, cutter: usize) {
        self.cutters[cutter].pump();
    }

    /// Lets every cutter finish that has been told everything.
    pub(super) fn close_cutters(&mut self) {
        for outbox in self.cutters.iter_mut().filter(|o| o.waiting() == 0) {
            outbox.close();
        }
    }

    /// A cutter has finished.
    pub(super) fn cutter_finished(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Whether cutters still run.
    pub(super) fn is_cutting(&self) -> bool {
        self.running > 0
    }
}
