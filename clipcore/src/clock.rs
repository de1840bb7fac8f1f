//! The only place that reads clocks.
//!
//! Compute takes time from events; the edges (sources, the pipeline's clock for streams without media,
//! the recorder) ask a [`TimeSource`], so that a test can turn time by hand.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::WallTime;

/// Tells civil and monotonic time, and waits.
///
/// # Contract
/// `elapsed` never goes back; `wall` may (the system's clock is set). `sleep` returns once `elapsed` has grown
/// by at least the duration.
#[async_trait]
pub trait TimeSource: Debug + Send + Sync {
    /// Civil time now.
    fn wall(&self) -> WallTime;

    /// Time since some fixed instant of this process.
    fn elapsed(&self) -> Duration;

    /// Waits.
    ///
    /// # Cancel safety
    /// Dropping it has no effect.
    async fn sleep(&self, duration: Duration);
}

/// The system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemTimeSource {
    origin: Instant,
}

impl SystemTimeSource {
    /// Counts `elapsed` from now.
    #[allow(clippy::disallowed_methods)] // this is the place that reads clocks
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemTimeSource {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl TimeSource for SystemTimeSource {
    #[allow(clippy::disallowed_methods)] // this is the place that reads clocks
    fn wall(&self) -> WallTime {
        let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
        };
        WallTime::from_unix_micros(micros)
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// A clock that stands still until it is [advanced](Self::advance).
///
/// ```
/// use std::time::Duration;
/// use clipcore::WallTime;
/// use clipcore::clock::{ManualTimeSource, TimeSource};
///
/// let time = ManualTimeSource::new(WallTime::from_unix_micros(0));
/// time.advance(Duration::from_secs(3));
/// assert_eq!(time.wall().to_string(), "1970-01-01T00:00:03.000Z");
/// ```
#[derive(Debug)]
pub struct ManualTimeSource {
    start: Mutex<WallTime>,
    elapsed: watch::Sender<Duration>,
}

impl ManualTimeSource {
    /// A clock that shows `start`.
    pub fn new(start: WallTime) -> Self {
        Self { start: Mutex::new(start), elapsed: watch::Sender::new(Duration::ZERO) }
    }

    /// Moves civil and monotonic time on, and wakes whoever waited for that.
    pub fn advance(&self, by: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed += by);
    }

    /// Sets civil time, as an administrator or a time server may; monotonic time is not moved.
    pub fn set_wall(&self, wall: WallTime) {
        let elapsed = i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX);
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = wall.offset_micros(-elapsed);
    }
}

#[async_trait]
impl TimeSource for ManualTimeSource {
    fn wall(&self) -> WallTime {
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        start.offset_micros(i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut elapsed = self.elapsed.subscribe();
        let until = *elapsed.borrow() + duration;
        // The sender lives as long as `self`, so this cannot fail while we are here.
        let _ = elapsed.wait_for(|now| *now >= until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_what_year_it_is() {
        let time = SystemTimeSource::new();
        assert!(time.wall() > WallTime::parse("2024-01-01T00:00:00Z").unwrap());
        assert!(time.elapsed() <= time.elapsed());
    }

    #[tokio::test]
    async fn manual_time_wakes_sleepers_and_survives_a_set_clock() {
        let time = std::sync::Arc::new(ManualTimeSource::new(WallTime::from_unix_micros(0)));
        let sleeper = tokio::spawn({
            let time = time.clone();
            async move { time.sleep(Duration::from_secs(2)).await }
        });
        tokio::task::yield_now().await;
        time.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        time.set_wall(WallTime::from_unix_micros(500));
        time.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        assert_eq!(time.wall().as_unix_micros(), 1_000_500);
        assert_eq!(time.elapsed(), Duration::from_secs(2));
    }
}
