//! How much one caller may ask for: requests a second, and connections that stay open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So many callers are told apart; beyond that the one that asked longest ago is forgotten.
const MAX_CALLERS: usize = 10_000;

/// A token bucket for each caller.
pub(super) struct Rates {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Duration,
}

impl Rates {
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst: burst.max(1.0), buckets: Mutex::default() }
    }

    /// Takes one request from the caller's bucket; where there is none left, says after how many seconds there is.
    pub(super) fn take(&self, caller: &str, now: Duration) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(caller) {
            if buckets.len() >= MAX_CALLERS
                && let Some(oldest) = buckets.iter().min_by_key(|(_, b)| b.at).map(|(name, _)| name.clone())
            {
                buckets.remove(&oldest);
            }
            buckets.insert(caller.to_owned(), Bucket { left: self.burst, at: now });
        }
        let Some(bucket) = buckets.get_mut(caller) else { return Ok(()) };
        let gained = now.saturating_sub(bucket.at).as_secs_f64() * self.per_second;
        (bucket.left, bucket.at) = ((bucket.left + gained).min(self.burst), now);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(((1.0 - bucket.left) / self.per_second).ceil().clamp(1.0, 3600.0) as u64)
    }
}

/// Connections that stay open, by caller.
#[derive(Clone)]
pub(super) struct Connections {
    most: usize,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place among a caller's connections; given back when it is dropped.
pub(super) struct Place {
    caller: String,
    open: Arc<Mutex<HashMap<String, usize>>>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A place, unless the caller has as many as may be.
    pub(super) fn enter(&self, caller: &str) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(caller.to_owned()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { caller: caller.to_owned(), open: self.open.clone() })
    }

    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let rates = Rates::new(10.0, 5.0);
        let at = Duration::from_millis;
        assert_eq!((0..9).filter(|_| rates.take("a", at(0)).is_ok()).count(), 5);
        assert_eq!(rates.take("a", at(0)), Err(1));
        assert!(rates.take("b", at(0)).is_ok(), "another caller has a bucket of its own");
        let passed = (1..=1000).filter(|ms| rates.take("a", at(*ms)).is_ok()).count();
        assert_eq!(passed, 10);
    }

    #[test]
    fn places_come_back_when_connections_close() {
        let connections = Connections::new(2);
        let places: Vec<_> = (0..3).map(|_| connections.enter("a")).collect();
        assert!(places[1].is_some() && places[2].is_none() && connections.enter("b").is_some());
        drop(places);
        assert_eq!(connections.open(), 0);
        assert!(connections.enter("a").is_some());
    }
}
