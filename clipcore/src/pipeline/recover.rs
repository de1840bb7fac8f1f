//! Starting where an earlier run of the same stream stopped or died.

use std::collections::HashSet;
use std::sync::Arc;

use super::driver::Driver;
use super::journal::State;
use super::ticker::Ticker;
use super::workers::Seat;
use crate::event::Clock;
use crate::fusion::Moment;
use crate::log::{Late, Offset, Record};
use crate::{Result, Timestamp};

/// Records read at a time.
const CHUNK: usize = 1000;

/// What the records after a checkpoint said and what the engine made of them.
#[derive(Default)]
struct Replayed {
    logged: HashSet<(Arc<str>, u32)>,
    logged_late: usize,
    moments: Vec<Moment>,
    late: Vec<Late>,
}

impl Driver {
    /// Restores the last checkpoint and replays the log from there. What the engine emits again is recognised by
    /// `(id, rev)`; what died before it was logged is logged now; what sinks and cutters lack is handed to
    /// them.
    pub(super) async fn recover(&mut self) -> Result<()> {
        let from = self.restore().await?;
        if let Some(from) = from {
            let trimmed = self.journal.log.trimmed(self.journal.lease.partition).await?;
            if from < trimmed {
                let text = "the beginning of the log is gone, it was trimmed: what was found near where it begins now may be found differently";
                self.notice(text.to_owned(), None);
            }
        }
        let replayed = self.replay(from.unwrap_or(0)).await?;
        let Replayed { logged, logged_late, moments, late } = replayed;
        let mut records: Vec<Record> = late.into_iter().skip(logged_late).map(Record::Late).collect();
        let fresh = moments.into_iter().filter(|m| !logged.contains(&(m.id.clone(), m.rev)));
        records.extend(fresh.map(Record::Moment));
        for record in self.append(records).await? {
            if let Record::Moment(moment) = record {
                self.outgoing.replay_moment(moment);
            }
        }
        self.outgoing.resume();
        if let Ok(watermark) = self.seat.call(|engine| engine.watermark()).await
            && watermark > Timestamp::MIN
        {
            self.state.decided = Some(watermark);
            self.outgoing.watermark(watermark);
        }
        if let Some(clock) = self.gate.clock {
            self.schedules.skip(clock);
        }
        if self.ticker.is_some() {
            let time = &*self.shared.time;
            self.ticker = Some(Ticker::start(time, self.gate.clock, self.gate.wall_offset));
        }
        Ok(())
    }

    /// The offset to replay from: that of the checkpoint, 0 where it does not fit, `None` where there is none.
    async fn restore(&mut self) -> Result<Option<Offset>> {
        let state = match self.journal.restore().await {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => found,
            Err(error) if error.kind() == crate::ErrorKind::InvalidInput => {
                self.notice(format!("the checkpoint is of another form, replaying the log: {error}"), None);
                return Ok(Some(0));
            }
            Err(error) => return Err(error),
        };
        let (next, State { engine, ledger, clock, wall_offset, ended, ages }) = state;
        let kinds = self.shared.kinds.clone();
        if let Err(error) = self.seat.call(move |e| e.restore(&engine, &kinds)).await? {
            // Detectors or fusion have changed their state's form: a fresh engine can read the log instead.
            self.notice(format!("the checkpoint does not fit, replaying the log: {error}"), None);
            self.seat = Seat::new((self.make_engine)()?, self.seat.queue());
            return Ok(Some(0));
        }
        self.outgoing.ledger = ledger;
        (self.gate.clock, self.gate.wall_offset) = (clock, wall_offset);
        self.state.ended = ended;
        self.journal.ages = ages;
        Ok(Some(next))
    }

    async fn replay(&mut self, from: Offset) -> Result<Replayed> {
        let mut replayed = Replayed::default();
        self.journal.next = from;
        loop {
            let read = self.journal.log.read(self.journal.lease.partition, self.journal.next, CHUNK).await?;
            let Some((last, _)) = read.last() else { return Ok(replayed) };
            self.journal.next = last + 1;
            let mut causes = Vec::new();
            for record in read.into_iter().map(|(_, r)| r).filter(|r| *r.stream() == self.stream) {
                match record {
                    Record::Event(event) => {
                        if let Some(clock) = event.payload::<Clock>() {
                            self.gate.clock_at(event.at(), clock.wall);
                            self.state.ended |= clock.end;
                        }
                        causes.push(Record::Event(event));
                    }
                    Record::Signal(_) => causes.push(record),
                    Record::Late(_) => replayed.logged_late += 1,
                    Record::Moment(moment) => {
                        replayed.logged.insert((moment.id.clone(), moment.rev));
                        self.outgoing.replay_moment(moment);
                    }
                    Record::Clip(clip) => self.outgoing.replay_clip(clip),
                    Record::Receipt(r) => self.outgoing.ledger.settle(&r.item, r.rev, &r.sink),
                    // It lives in an inbox; what came of it is here as an event.
                    Record::Arrival(_) => {}
                }
            }
            let outcome = self.feed(causes).await?;
            self.count(&outcome);
            replayed.moments.extend(outcome.moments);
            replayed.late.extend(outcome.refused);
        }
    }
}
