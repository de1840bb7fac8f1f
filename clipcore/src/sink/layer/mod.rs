//! Layers around any sink: retry, time-out and dead letter.
//!
//! The outer layer is the one that is added last. What most people want is a time-out on each attempt, a few
//! attempts, and a place for what could not be delivered:
//!
//! ```
//! # async fn example() -> clipcore::Result<()> {
//! use std::time::Duration;
//!
//! use clipcore::sink::layer::RetryConfig;
//! use clipcore::sink::{JsonlSink, SinkExt};
//!
//! let sink = JsonlSink::open("out")
//!     .await?
//!     .with_timeout(Duration::from_secs(10))
//!     .with_retry(RetryConfig::default())
//!     .with_dead_letter("out/dead-letters.jsonl")
//!     .await?;
//! # let _ = sink; Ok(())
//! # }
//! ```

mod dead_letter;
mod redeliver;
mod retry;
mod timeout;

use std::path::Path;
use std::time::Duration;

pub use dead_letter::{DeadLetter, DeadLetterLayer};
pub use redeliver::{Redelivered, redeliver};
pub use retry::{RetryConfig, RetryLayer};
pub use timeout::TimeoutLayer;

use super::ClipSink;
use crate::Result;

/// Puts layers around a sink.
pub trait SinkExt: ClipSink + Sized {
    /// Tries again, with growing pauses, where an error says that this can help.
    fn with_retry(self, config: RetryConfig) -> RetryLayer<Self> {
        RetryLayer::new(self, config)
    }

    /// Ends calls that take longer than `limit` with a retryable `Timeout`.
    fn with_timeout(self, limit: Duration) -> TimeoutLayer<Self> {
        TimeoutLayer::new(self, limit)
    }

    /// Puts what cannot be delivered aside in the file `path`, and goes on.
    ///
    /// # Errors
    /// Where the file cannot be opened; see [`DeadLetterLayer::open`].
    fn with_dead_letter(
        self,
        path: impl AsRef<Path> + Send,
    ) -> impl Future<Output = Result<DeadLetterLayer<Self>>> + Send {
        DeadLetterLayer::open(self, path)
    }
}

impl<S: ClipSink> SinkExt for S {}

/// Sinks that go wrong in chosen ways.
#[cfg(test)]
mod testing {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use crate::log::Receipt;
    use crate::sink::{ClipSink, Delivery, MemorySink};
    use crate::{Error, ErrorKind, Result};

    /// Fails the first `failures` deliveries with an error of `kind`, then works.
    #[derive(Debug)]
    pub(super) struct Flaky {
        pub(super) inner: MemorySink,
        pub(super) kind: ErrorKind,
        pub(super) failures: u32,
        pub(super) attempts: AtomicU32,
    }

    impl Flaky {
        pub(super) fn new(kind: ErrorKind, failures: u32) -> Self {
            Self { inner: MemorySink::new(), kind, failures, attempts: AtomicU32::new(0) }
        }
    }

    #[async_trait]
    impl ClipSink for Flaky {
        fn name(&self) -> &str {
            "flaky"
        }

        async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
            if self.attempts.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err(Error::new(self.kind, "out of order"));
            }
            Ok(Receipt { sink: "flaky".into(), ..self.inner.deliver(item).await? })
        }
    }
}
