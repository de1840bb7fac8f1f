//! Clients that may stop answering for good.
//!
//! librdkafka can lock itself up when a broker goes (confluentinc/librdkafka#5476): whoever calls it then waits for ever. What
//! only reads is made anew in place of one that is stuck; the stuck one and its thread stay behind.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;
use crate::durable::blocking;
use crate::{Error, ErrorKind, Result};

/// So many times what a step of a call may take: a call has several, and may wait for others.
const PATIENCE: u32 = 6;

/// Something whose calls block, and can be made anew without harm.
pub(crate) struct Replaceable<T> {
    make: Box<dyn Fn() -> T + Send + Sync>,
    current: Mutex<Arc<Mutex<T>>>,
    patience: Duration,
}

impl<T: fmt::Debug> fmt::Debug for Replaceable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replaceable").field("current", &self.current).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Replaceable<T> {
    /// One whose steps may take `timeout` each.
    pub(crate) fn new(timeout: Duration, make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let current = Mutex::new(Arc::new(Mutex::new(make())));
        Self { make: Box::new(make), current, patience: timeout * PATIENCE }
    }

    /// Works with it, on a thread that may block.
    ///
    /// # Errors
    /// `Timeout` where it does not come back: the next call has another. Else what the work says.
    pub(crate) async fn with<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut T) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let current = lock(&self.current).clone();
        let busy = current.clone();
        let working = blocking(move || work(&mut lock(&busy)));
        if let Ok(done) = tokio::time::timeout(self.patience, working).await {
            return done;
        }
        let mut now = lock(&self.current);
        if Arc::ptr_eq(&now, &current) {
            tracing::error!("a client of Kafka does not answer any more: another takes its place");
            *now = Arc::new(Mutex::new((self.make)()));
        }
        Err(Error::new(ErrorKind::Timeout, "a client of Kafka does not answer any more"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn one_that_does_not_come_back_is_replaced() {
        let number = std::sync::atomic::AtomicU32::new(0);
        let next = move || number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let client = Replaceable::new(Duration::from_millis(50), next);
        assert_eq!(client.with(|n| Ok(*n)).await.unwrap(), 0);
        let (end, ended) = channel::<()>();
        let stuck = client.with(move |_| Ok(ended.recv().is_ok())).await.unwrap_err();
        assert!(stuck.kind() == ErrorKind::Timeout && stuck.is_retryable(), "{stuck}");
        assert_eq!(client.with(|n| Ok(*n)).await.unwrap(), 1, "it waits for the one that is stuck");
        drop(end);
    }
}
