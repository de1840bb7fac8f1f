use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::log::Receipt;
use crate::sink::{ClipSink, Delivery};
use crate::{Result, StreamId, config, stable_id};

/// The longest that is waited because the other side asks for it.
const MAX_ASKED: Duration = Duration::from_secs(3600);

/// How often and after which pauses a delivery is tried again.
///
/// The pause before attempt `n + 1` is `first × factor^(n−1)`, at most `max`, shortened at random by up to `jitter`
/// of it, so that many deliveries that failed together do not come back together. Where an error says how long to
/// [wait](crate::Error::retry_after), it is at least that, up to an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// How often a delivery is tried in all, at least 1.
    pub attempts: u32,
    /// The first pause, in seconds in files.
    #[serde(with = "config::secs")]
    pub first: Duration,
    /// By how much each pause is longer than the one before, at least 1.
    pub factor: f64,
    /// The longest pause, in seconds in files.
    #[serde(with = "config::secs")]
    pub max: Duration,
    /// The share of a pause that is random, 0 to 1.
    pub jitter: f64,
    /// Seeds the randomness, which is a hash of seed, item and attempt: runs can be repeated exactly.
    pub seed: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(200),
            factor: 2.0,
            max: Duration::from_secs(30),
            jitter: 0.5,
            seed: 0,
        }
    }
}

impl RetryConfig {
    /// The pause after failed attempt `attempt` (counted from 1) for an item.
    pub fn pause(&self, item: &Delivery, attempt: u32) -> Duration {
        let grown =
            self.first.as_secs_f64() * self.factor.max(1.0).powf(f64::from(attempt.saturating_sub(1)));
        let pause = grown.min(self.max.as_secs_f64());
        let hash = stable_id(&[
            &self.seed.to_be_bytes(),
            item.item().as_bytes(),
            &item.rev().to_be_bytes(),
            &attempt.to_be_bytes(),
        ]);
        // 52 bits of the hash as a number from 0 to 1.
        let random = u64::from_str_radix(&hash[..13], 16).unwrap_or(0) as f64 / (1_u64 << 52) as f64;
        // NaN settings end as no jitter and no pause rather than a panic.
        let jitter = self.jitter.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(pause * (1.0 - jitter * random)).unwrap_or_default()
    }
}

/// Tries deliveries again where an error says that this can help; see [`RetryConfig`].
///
/// # Cancel safety
/// Dropping a call during a pause ends the attempts.
#[derive(Debug)]
pub struct RetryLayer<S> {
    inner: S,
    config: RetryConfig,
}

impl<S> RetryLayer<S> {
    /// Puts the layer around `inner`.
    pub fn new(inner: S, config: RetryConfig) -> Self {
        Self { inner, config }
    }
}

#[async_trait]
impl<S: ClipSink> ClipSink for RetryLayer<S> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn wants(&self, item: &Delivery) -> bool {
        self.inner.wants(item)
    }

    async fn check(&self) -> Result<()> {
        self.inner.check().await
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut attempt = 1;
        loop {
            match self.inner.deliver(item).await {
                Err(e) if e.is_retryable() && attempt < self.config.attempts => {
                    let asked = e.retry_after().unwrap_or_default().min(MAX_ASKED);
                    let pause = self.config.pause(item, attempt).max(asked);
                    // What lasts for several attempts is an outage that somebody should hear of, once an item.
                    if attempt == 3 {
                        tracing::warn!(sink = self.name(), item = %item.item(), error = %e, "still trying to deliver");
                    } else {
                        tracing::debug!(sink = self.name(), item = %item.item(), attempt, ?pause, error = %e, "trying again");
                    }
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
                Err(e) if attempt > 1 => return Err(e.with_context("attempts", attempt)),
                result => return result,
            }
        }
    }

    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        self.inner.erase(stream).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::testing::Flaky;
    use super::*;
    use crate::ErrorKind;
    use crate::conformance::sink as kit;
    use crate::sink::{MemorySink, SinkExt};

    fn quick() -> RetryConfig {
        RetryConfig { attempts: 4, first: Duration::ZERO, ..RetryConfig::default() }
    }

    #[tokio::test]
    async fn conforms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sink = MemorySink::new();
        let make = async || Ok(sink.clone().with_retry(quick()));
        kit::sink(make, async |_: &RetryLayer<MemorySink>| sink.deliveries().len(), file.path()).await;
    }

    #[tokio::test]
    async fn only_errors_that_can_pass_are_retried() {
        for (kind, failures, attempts, delivered) in [
            (ErrorKind::Unavailable, 0, 1, true),
            (ErrorKind::Unavailable, 3, 4, true),
            (ErrorKind::Unavailable, 4, 4, false),
            (ErrorKind::InvalidInput, 1, 1, false),
        ] {
            let sink = Flaky::new(kind, failures).with_retry(quick());
            let result = sink.deliver(&kit::moment("s", "m", 1)).await;
            assert_eq!(result.is_ok(), delivered);
            assert_eq!(sink.inner.attempts.load(Ordering::Relaxed), attempts);
            if let Err(e) = result
                && attempts > 1
            {
                assert!(e.to_string().contains("attempts: 4"), "{e}");
            }
        }
    }

    #[test]
    fn pauses_grow_to_the_limit_and_differ_by_item() {
        let config = RetryConfig::default();
        let (a, b) = (kit::moment("s", "a", 1), kit::moment("s", "b", 1));
        for attempt in 1..100 {
            let full = (0.2 * 2_f64.powi(attempt as i32 - 1)).min(30.0);
            let pause = config.pause(&a, attempt).as_secs_f64();
            assert!(pause >= full / 2.0 - 1e-6 && pause <= full + 1e-6, "attempt {attempt}: {pause}");
            assert_eq!(config.pause(&a, attempt), config.pause(&a, attempt));
            assert_ne!(config.pause(&a, attempt), config.pause(&b, attempt));
        }
        let other = RetryConfig { seed: 1, ..config.clone() };
        assert_ne!(config.pause(&a, 1), other.pause(&a, 1));
        let absurd = RetryConfig { factor: f64::NAN, jitter: f64::NAN, ..config };
        absurd.pause(&a, u32::MAX);
    }
}
