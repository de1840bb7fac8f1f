//! From what sources say to records of the log: admission, clock records, the end of the input.

use std::time::Duration;

use super::driver::Driver;
use super::intake::Taken;
use crate::event::{AnyEvent, Clock, EpochStart, Header, Stamped};
use crate::log::Record;
use crate::source::Item;
use crate::{CameraId, Error, ErrorKind, Result, Timestamp, WallTime};

/// Clock records of media lie on multiples of this.
const CLOCK_STEP: Duration = Duration::from_millis(500);
/// Who writes clock and epoch records.
const EDGE: &str = "clipcore:edge";
/// So many bad inputs are reported one by one; more are counted.
const MAX_BAD_NOTICES: u64 = 10;

impl Driver {
    pub(super) async fn take(&mut self, taken: Taken) -> Result<()> {
        let (source, item) = match taken {
            Taken::Item(source, item) => (source, item),
            Taken::Ended(source) => return self.source_ended(source).await,
        };
        let at = match &item {
            Item::Incoming(incoming) => incoming.at(),
            Item::Event(event) => Some(event.at()),
            Item::Signal(signal) => Some(signal.at),
            Item::Epoch { at, .. } => Some(*at),
            Item::Progress { .. } | Item::Looked(_) | Item::Notice(_) | Item::Bad(_) | Item::Ack(_) => None,
        };
        // What lies before the watermark cannot count again; to log it as late would only be noise.
        if at < self.state.decided && at.is_some() && self.intake.is_repeating(source) {
            self.counters.update(|s| s.repeated += 1);
            return Ok(());
        }
        match item {
            Item::Incoming(incoming) => self.admit(Some(source), self.gate.incoming(incoming)),
            Item::Event(event) => self.admit(Some(source), self.gate.event(event)),
            Item::Signal(signal) => match self.gate.signal(signal) {
                Ok(signal) => {
                    self.counters.update(|s| s.signals += 1);
                    if let Some(observe) = &self.shared.observers.signal {
                        observe(&signal);
                    }
                    self.state.batch.push(Record::Signal(signal));
                }
                Err(error) => self.bad(Some(source), &error),
            },
            Item::Epoch { camera, at, epoch } => self.epoch(camera, at, epoch),
            Item::Progress { .. } if !self.intake.has_clock(source) => {
                let error = Error::invalid("this source reports progress, but says that it has no clock");
                self.bad(Some(source), &error);
            }
            Item::Progress { camera, at, wall } => {
                if let Some(wall) = wall {
                    self.state.live_offset = Some(wall.as_unix_micros().saturating_sub(at.as_micros()));
                }
                self.intake.progress(source, at);
                self.reference.progress(source, &camera, at, wall.is_some());
                return self.follow_reference().await;
            }
            Item::Looked(looked) => return self.looked(looked).await,
            Item::Notice(text) => self.notice(format!("{}: {text}", self.intake.name(source)), None),
            Item::Bad(error) => self.bad(Some(source), &error),
            Item::Ack(ack) => self.state.acks.push(ack),
        }
        Ok(())
    }

    fn admit(&mut self, source: Option<usize>, event: Result<AnyEvent>) {
        match event {
            Ok(event) => {
                self.counters.update(|s| s.events += 1);
                self.state.batch.push(Record::Event(event));
            }
            Err(error) => self.bad(source, &error),
        }
    }

    pub(super) fn bad(&mut self, source: Option<usize>, error: &Error) {
        if error.kind() == ErrorKind::ConsentRequired {
            let mut first = false;
            self.counters.update(|s| {
                first = s.refused == 0;
                s.refused += 1;
            });
            if first {
                self.notice(error.to_string(), Some(error.kind()));
            }
            return;
        }
        let mut count = 0;
        self.counters.update(|s| {
            s.bad += 1;
            count = s.bad;
        });
        let name = source.map_or("input", |source| self.intake.name(source));
        match count {
            ..MAX_BAD_NOTICES => self.notice(format!("{name}: {error}"), Some(error.kind())),
            MAX_BAD_NOTICES => {
                self.notice(format!("{name}: {error} (more like this are counted only)"), Some(error.kind()));
            }
            _ => {}
        }
    }

    fn epoch(&mut self, camera: CameraId, at: Timestamp, epoch: EpochStart) {
        let mut header =
            Header::new(self.stream.clone(), at, EDGE, format!("epoch-{camera}-{}", epoch.number));
        header.camera = Some(camera);
        self.state.batch.push(Record::Event(AnyEvent::wire(Stamped::new(header, epoch))));
    }

    async fn source_ended(&mut self, source: usize) -> Result<()> {
        let grace = self.shared.config.grace;
        let outcome = tokio::time::timeout(grace, self.intake.outcome(source)).await.unwrap_or(Ok(()));
        if let Err(error) = outcome
            && !(error.kind() == ErrorKind::Cancelled && self.state.deadline.is_some())
        {
            self.notice(format!("{}: {error}", self.intake.name(source)), Some(error.kind()));
            let error = error.with_context("source", self.intake.name(source));
            self.state.failures.push((self.intake.has_clock(source), error));
        }
        self.reference.ended(source);
        self.follow_reference().await?;
        if self.intake.has_clock(source) && !self.intake.has_running_clock() && !self.intake.is_over() {
            match self.reference.awaited().filter(|_| !self.stop.is_cancelled()) {
                Some(live) => self.pools.wait(live.then_some(self.shared.config.max_pool_lag)),
                // Without media the stream's clock stands still: what else runs has nothing to add to.
                None => self.wind_down(),
            }
        }
        Ok(())
    }

    pub(super) async fn follow_reference(&mut self) -> Result<()> {
        for text in self.pools.lagging(&self.reference) {
            self.notice(text, None);
        }
        let Some(reach) = self.reference.reach() else { return Ok(()) };
        let at = reach.floor_to(CLOCK_STEP);
        if self.gate.clock.is_some_and(|clock| at <= clock) {
            return Ok(());
        }
        let wall = self.state.live_offset.map(|offset| wall_at(at, offset));
        self.let_in_scheduled(at).await?;
        self.clock(at, wall);
        Ok(())
    }

    /// The clock of a stream whose sources have none.
    pub(super) async fn tick(&mut self) -> Result<()> {
        let Some((at, wall)) = self.ticker.as_ref().map(|t| t.now(&*self.shared.time)) else { return Ok(()) };
        if self.gate.clock.is_none_or(|clock| at > clock) {
            self.let_in_scheduled(at).await?;
            self.clock(at, Some(wall));
            self.flush().await?;
        }
        Ok(())
    }

    /// Lets in the scheduled events up to `to`, with the clock records between them: neither memory nor
    /// the moments depend on how far the clock jumps.
    async fn let_in_scheduled(&mut self, to: Timestamp) -> Result<()> {
        while let Some(due) = self.schedules.due().filter(|due| *due <= to) {
            let before = due.offset_micros(-1).floor_to(CLOCK_STEP);
            if self.gate.clock.is_none_or(|clock| before > clock) {
                self.clock(before, self.state.live_offset.map(|offset| wall_at(before, offset)));
            }
            if let Some(event) = self.schedules.take(to) {
                let event = self.gate.event(event);
                self.admit(None, event);
            }
            if self.state.batch.len() >= self.shared.config.batch {
                self.flush().await?;
                if self.stop.is_cancelled() && to == Timestamp::MAX {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn clock(&mut self, at: Timestamp, wall: Option<WallTime>) {
        self.gate.clock_at(at, wall);
        let header = Header::new(self.stream.clone(), at, EDGE, format!("clock-{}", at.as_micros()));
        let clock = Clock { wall, end: false };
        self.state.batch.push(Record::Event(AnyEvent::wire(Stamped::new(header, clock))));
    }

    /// The sources are over: where that is the end of the input, says so in the log.
    pub(super) async fn end(&mut self) -> Result<()> {
        let has_clock = !self.intake.clock_sources().is_empty();
        let driving = if has_clock { self.intake.clock_sources().len() } else { self.intake.len() };
        let failed = self.state.failures.iter().filter(|(clock, _)| *clock || !has_clock).count();
        if driving > 0 && failed == driving {
            let first = self.state.failures.iter().position(|(clock, _)| *clock || !has_clock);
            self.flush().await?;
            return first.map_or(Ok(()), |first| Err(self.state.failures.swap_remove(first).1));
        }
        if !self.stop.is_cancelled() {
            self.let_in_scheduled(Timestamp::MAX).await?;
        }
        if !self.stop.is_cancelled() {
            let at = self.gate.clock.unwrap_or(Timestamp::ZERO);
            let header = Header::new(self.stream.clone(), at, EDGE, "clock-end");
            let clock = Clock { wall: None, end: true };
            self.state.batch.push(Record::Event(AnyEvent::wire(Stamped::new(header, clock))));
            self.state.ended = true;
        }
        self.flush().await
    }
}

fn wall_at(at: Timestamp, offset: i64) -> WallTime {
    WallTime::from_unix_micros(at.as_micros().saturating_add(offset))
}
