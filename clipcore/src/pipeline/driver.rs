//! One stream from its sources to its sinks. The driver is the only writer of the stream's records, so
//! its state and the log can never disagree about what came first.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::admit::Gate;
use super::deliver::Report;
use super::feed::{Outcome, feed};
use super::intake::{Intake, Taken};
use super::journal::{Journal, State};
use super::observe::{Notice, Progress};
use super::outgoing::Outgoing;
use super::pools::Pools;
use super::reference::Reference;
use super::retention::{Ages, Needs, Retention};
use super::schedule::Schedules;
use super::stats::Counters;
use super::ticker::Ticker;
use super::workers::Seat;
use super::{EngineFactory, Shared};
use crate::engine::Engine;
use crate::fusion::MomentState;
use crate::log::Record;
use crate::sink::Delivery;
use crate::source::Ack;
use crate::trace::span;
use crate::{Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

/// One stream's state; see the module.
pub(super) struct Driver {
    pub(super) stream: StreamId,
    pub(super) shared: Arc<Shared>,
    pub(super) make_engine: EngineFactory,
    pub(super) seat: Seat,
    pub(super) journal: Journal,
    pub(super) retention: Arc<Retention>,
    pub(super) gate: Gate,
    pub(super) intake: Intake,
    pub(super) reference: Reference,
    pub(super) pools: Pools,
    pub(super) schedules: Schedules,
    pub(super) ticker: Option<Ticker>,
    pub(super) outgoing: Outgoing,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    pub(super) state: Running,
}

/// What a driver remembers between steps.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Records that are not yet appended.
    pub(super) batch: Vec<Record>,
    /// What sources are to be told once the batch is appended.
    pub(super) acks: Vec<Ack>,
    /// Civil time minus stream time in microseconds, from the source that drives the clock.
    pub(super) live_offset: Option<i64>,
    /// The clock at the last checkpoint.
    checkpoint_at: Option<Timestamp>,
    /// Nothing can be appended any more.
    pub(super) log_failed: bool,
    /// An earlier run's state has been taken up.
    pub(super) recovered: bool,
    /// The watermark that an earlier run had reached.
    pub(super) decided: Option<Timestamp>,
    /// The end of the input is in the log.
    pub(super) ended: bool,
    /// It was there before this run.
    pub(super) was_ended: bool,
    /// Set once sources were asked to end: when they will be ended.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    /// Sources that failed, with whether they drive the clock.
    pub(super) failures: Vec<(bool, Error)>,
    pub(super) delivery_error: Option<Error>,
    pub(super) cutter_error: Option<Error>,
    pub(super) clips_closed: bool,
    snapshot_failed: bool,
    trim_failed: bool,
    /// The clock that observers were told last.
    told: Option<Timestamp>,
}

enum Wake {
    Taken(Taken),
    Report(Report),
    Clip(Option<Delivery>),
    Tick,
    Stop,
    Deadline,
    Forsaken,
}

impl Driver {
    /// Takes in everything the sources say until they have ended or `stop` is cancelled.
    pub(super) async fn live(&mut self) -> Result<()> {
        self.tick().await?;
        let mut paused = false;
        while !self.intake.is_over() {
            let crowded = self.outgoing.backlog() >= self.shared.config.max_backlog;
            if crowded && !paused {
                self.counters.update(|s| s.backlog_pauses += 1);
            }
            paused = crowded;
            // What sources say before they end is little, and they cannot end unless it is taken.
            let stopping = self.state.deadline.is_some();
            match self.wake(!crowded || stopping).await {
                Wake::Taken(taken) => self.take_batch(taken).await?,
                Wake::Report(report) => self.reports(report).await?,
                Wake::Clip(clip) => self.clip(clip).await?,
                Wake::Tick => self.tick().await?,
                Wake::Stop => self.wind_down(),
                Wake::Forsaken => self.forsake_pools(),
                Wake::Deadline => {
                    for name in self.intake.abort() {
                        self.notice(format!("{name} did not end when asked and was ended"), None);
                    }
                    self.state.deadline = Some(Box::pin(tokio::time::sleep(Duration::MAX)));
                }
            }
        }
        self.end().await
    }

    async fn wake(&mut self, may_take: bool) -> Wake {
        let (reference, stopping) = (&self.reference, self.state.deadline.is_some());
        let pools = &mut self.pools;
        let until_tick = self.ticker.as_ref().map(|t| t.until_next(&*self.shared.time));
        tokio::select! {
            taken = self.intake.next(|source| !stopping && reference.is_ahead(source)), if may_take => Wake::Taken(taken),
            Some(report) = self.outgoing.reports.recv() => Wake::Report(report),
            clip = self.outgoing.clips.next(), if !self.state.clips_closed => Wake::Clip(clip),
            () = async { self.shared.time.sleep(until_tick.unwrap_or_default()).await },
                if until_tick.is_some() && self.state.deadline.is_none() => Wake::Tick,
            () = self.stop.cancelled(), if self.state.deadline.is_none() => Wake::Stop,
            () = pools.forsaken(), if self.state.deadline.is_none() => Wake::Forsaken,
            () = async { if let Some(at) = &mut self.state.deadline { at.await } },
                if self.state.deadline.is_some() => Wake::Deadline,
        }
    }

    /// Asks all sources to end, and gives them a while.
    pub(super) fn wind_down(&mut self) {
        self.intake.stop();
        let grace = self.shared.config.grace;
        self.state.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(grace)));
    }

    /// Takes what came and what else is there, and appends it in one go.
    async fn take_batch(&mut self, first: Taken) -> Result<()> {
        self.take(first).await?;
        while self.state.batch.len() < self.shared.config.batch {
            let (reference, stopping) = (&self.reference, self.state.deadline.is_some());
            let ahead = |source| !stopping && reference.is_ahead(source);
            let Some(taken) = self.intake.try_next(ahead) else { break };
            self.take(taken).await?;
        }
        self.flush().await
    }

    /// Appends what was taken in, then acts on it.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.state.batch);
        let acks = std::mem::take(&mut self.state.acks);
        let records = self.append(records).await?;
        acks.iter().for_each(Ack::fire);
        if records.is_empty() {
            return Ok(());
        }
        let outcome = self.feed(records).await?;
        self.count(&outcome);
        if let Some(observe) = &self.shared.observers.signal {
            outcome.signals.iter().for_each(|signal| observe(signal));
        }
        let mut consequences: Vec<Record> = outcome.refused.into_iter().map(Record::Late).collect();
        consequences.extend(outcome.moments.into_iter().map(Record::Moment));
        for record in self.append(consequences).await? {
            if let Record::Moment(moment) = record {
                self.moment(moment);
            }
        }
        if outcome.watermark > Timestamp::MIN {
            self.outgoing.watermark(outcome.watermark);
        }
        self.outgoing.ledger.sweep(&self.outgoing.cameras);
        self.tell_progress();
        let due = match (self.gate.clock, self.state.checkpoint_at) {
            (Some(clock), Some(last)) => clock >= last + self.shared.config.checkpoint_every,
            (Some(clock), None) => {
                self.state.checkpoint_at = Some(clock);
                false
            }
            (None, _) => false,
        };
        if due { self.checkpoint().await } else { Ok(()) }
    }

    /// Appends records and gives them back, without those that the log refuses for what they are: these are
    /// reported and left out, so that one of them does not stop the stream.
    pub(super) async fn append(&mut self, records: Vec<Record>) -> Result<Vec<Record>> {
        if records.is_empty() {
            return Ok(records);
        }
        match self.append_all(&records).await {
            Err(error) if is_refusal(&error) => {}
            done => return done.map(|()| records),
        }
        let mut taken = Vec::with_capacity(records.len());
        for record in records {
            match self.append_all(std::slice::from_ref(&record)).await {
                Err(error) if is_refusal(&error) => self.bad(None, &error),
                done => {
                    done?;
                    taken.push(record);
                }
            }
        }
        Ok(taken)
    }

    async fn append_all(&mut self, records: &[Record]) -> Result<()> {
        let (counters, shared, stream) = (&self.counters, &self.shared, &self.stream);
        let mut told = false;
        let done = self.journal.append(records, &self.stop, |error| {
            counters.update(|s| s.log_retries += 1);
            if !std::mem::replace(&mut told, true) {
                let text = format!("the log takes nothing, sources wait: {error}");
                let error = Some(error.kind());
                (shared.observers.notice)(&Notice { stream: stream.clone(), text, error });
            }
        });
        let done = done.await;
        self.state.log_failed |= done.as_ref().is_err_and(|error| !is_refusal(error));
        if told && done.is_ok() {
            self.notice("the log takes records again".to_owned(), None);
        }
        done
    }

    pub(super) async fn feed(&mut self, records: Vec<Record>) -> Result<Outcome> {
        if self.seat.would_wait() {
            self.counters.update(|s| s.worker_waits += 1);
        }
        self.seat
            .call(move |engine: &mut Engine| feed(engine, records))
            .await
            .map_err(|error| error.with_context("stream", &self.stream))
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        self.counters.update(|s| {
            (s.late, s.full, s.duplicate) = (outcome.stats.late, outcome.stats.full, outcome.stats.duplicate);
            s.watermark = Some(outcome.watermark).filter(|w| *w > Timestamp::MIN);
            s.clock = self.gate.clock;
            s.clock_wall =
                self.gate.clock.zip(self.gate.wall_offset).map(|(clock, offset)| {
                    WallTime::from_unix_micros(clock.as_micros().saturating_add(offset))
                });
        });
    }

    fn tell_progress(&mut self) {
        self.counters.update(|s| s.pending = self.outgoing.ledger.pending() as u64);
        if self.state.told == self.gate.clock {
            return;
        }
        self.state.told = self.gate.clock;
        if let (Some(observe), Some(clock)) = (&self.shared.observers.progress, self.gate.clock) {
            observe(&Progress { stream: self.stream.clone(), clock, stats: self.counters.snapshot() });
        }
    }

    fn moment(&mut self, moment: crate::fusion::Moment) {
        if moment.state == MomentState::Closed {
            // How long it took is a matter of stream time, which the moment tells itself.
            let (stream, trace) = (&self.stream, moment.trace.as_deref());
            drop(
                span!("fuse", trace, %stream, moment = %moment.id, label = %moment.label, score = moment.score),
            );
        }
        self.counters.update(|s| match moment.state {
            MomentState::Closed => s.moments += 1,
            MomentState::Dropped => s.dropped += 1,
            MomentState::Provisional | MomentState::Open => {}
        });
        self.outgoing.moment(moment);
    }

    /// Nothing more will be taken in: lets cutters finish and sinks take what is decided.
    pub(super) async fn drain(&mut self) -> Result<()> {
        loop {
            self.outgoing.close_cutters();
            let cutting = self.outgoing.is_cutting() || !self.state.clips_closed;
            if !cutting && self.outgoing.ledger.pending() == 0 {
                return Ok(());
            }
            tokio::select! {
                Some(report) = self.outgoing.reports.recv() => self.reports(report).await?,
                clip = self.outgoing.clips.next(), if !self.state.clips_closed => self.clip(clip).await?,
                else => return Ok(()),
            }
        }
    }

    /// Stores engine, ledger and offset in one step.
    ///
    /// # Errors
    /// `Conflict` where another process has taken over; other failures are reported, and tried again later.
    pub(super) async fn checkpoint(&mut self) -> Result<()> {
        self.state.checkpoint_at = self.gate.clock;
        let engine = match self.seat.call(|engine| engine.snapshot()).await? {
            Ok(engine) => engine,
            Err(error) => {
                if !std::mem::replace(&mut self.state.snapshot_failed, true) {
                    let text = format!("no checkpoints, a restart will replay the log: {error}");
                    self.notice(text, Some(error.kind()));
                }
                return Ok(());
            }
        };
        let state = State {
            engine,
            ledger: self.outgoing.ledger.clone(),
            clock: self.gate.clock,
            wall_offset: self.gate.wall_offset,
            ended: self.state.ended,
            ages: Ages::default(),
        };
        match self.journal.checkpoint(state, self.shared.config.log_retain).await {
            Ok(needs) => {
                self.counters.update(|s| s.checkpoints += 1);
                self.trim(needs).await;
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                return Err(error.with_hint("another process has taken this stream over; stop one of them"));
            }
            Err(error) => self.notice(format!("checkpoint failed: {error}"), Some(error.kind())),
        }
        Ok(())
    }

    /// Drops what nobody needs of the log. A failure is told once: it costs room, and nothing else.
    async fn trim(&mut self, needs: Needs) {
        let (journal, config) = (&self.journal, &self.shared.config);
        let (log, partition) = (&*journal.log, journal.lease.partition);
        let trimmed = self.retention.trim(log, partition, &self.stream, needs, config).await;
        if let Err(error) = trimmed
            && !std::mem::replace(&mut self.state.trim_failed, true)
        {
            self.notice(format!("the log cannot be trimmed: {error}"), Some(error.kind()));
        }
    }

    pub(super) fn notice(&self, text: String, error: Option<ErrorKind>) {
        (self.shared.observers.notice)(&Notice { stream: self.stream.clone(), text, error });
    }
}

/// Whether the log will never take these records, whatever its own state.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported)
}
