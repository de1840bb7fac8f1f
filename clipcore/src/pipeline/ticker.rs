//! The clock of a stream without media: one record a second, from the edge's own clock.

use std::time::Duration;

use crate::clock::TimeSource;
use crate::{Timestamp, WallTime};

const PERIOD: Duration = Duration::from_secs(1);

/// Maps monotonic time to the stream's timeline.
#[derive(Debug)]
pub(super) struct Ticker {
    origin: Timestamp,
    since: Duration,
}

impl Ticker {
    /// Starts the timeline at zero, or continues an earlier run's: its last clock record and the civil time
    /// that has passed since say where.
    pub(super) fn start(time: &dyn TimeSource, last: Option<Timestamp>, wall_offset: Option<i64>) -> Self {
        let by_wall = wall_offset
            .map(|offset| Timestamp::from_micros(time.wall().as_unix_micros().saturating_sub(offset)));
        let origin = last.map_or(Timestamp::ZERO, |last| by_wall.map_or(last, |at| at.max(last)));
        Self { origin, since: time.elapsed() }
    }

    fn exact(&self, time: &dyn TimeSource) -> Timestamp {
        self.origin + time.elapsed().saturating_sub(self.since)
    }

    /// The last whole second, and the civil time then.
    pub(super) fn now(&self, time: &dyn TimeSource) -> (Timestamp, WallTime) {
        let exact = self.exact(time);
        let at = exact.floor_to(PERIOD);
        (at, time.wall().offset_micros(at.micros_since(exact)))
    }

    /// How long until the next whole second.
    pub(super) fn until_next(&self, time: &dyn TimeSource) -> Duration {
        let exact = self.exact(time);
        Duration::from_micros(exact.next_multiple(PERIOD).micros_since(exact).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualTimeSource;

    #[test]
    fn a_restart_continues_the_timeline_by_civil_time() {
        let time = ManualTimeSource::new(WallTime::from_unix_micros(100_000_000));
        let ticker = Ticker::start(&time, None, None);
        time.advance(Duration::from_millis(2300));
        assert_eq!(ticker.now(&time), (Timestamp::from_secs(2), WallTime::from_unix_micros(102_000_000)));
        assert_eq!(ticker.until_next(&time), Duration::from_millis(700));

        time.advance(Duration::from_millis(7700));
        let again = Ticker::start(&time, Some(Timestamp::from_secs(2)), Some(100_000_000));
        assert_eq!(again.now(&time).0, Timestamp::from_secs(10));
        let set_back = Ticker::start(&time, Some(Timestamp::from_secs(60)), Some(100_000_000));
        assert_eq!(set_back.now(&time).0, Timestamp::from_secs(60), "the timeline never goes back");
    }
}
