use std::time::Duration;

use async_trait::async_trait;

use crate::log::Receipt;
use crate::sink::{ClipSink, Delivery};
use crate::{Error, ErrorKind, Result, StreamId};

/// Ends calls of a sink that take too long with a retryable `Timeout`.
///
/// # Cancel safety
/// The inner call is dropped: it may have had its effect, which the sink knows when it is delivered again.
#[derive(Debug)]
pub struct TimeoutLayer<S> {
    inner: S,
    limit: Duration,
}

impl<S: ClipSink> TimeoutLayer<S> {
    /// Puts the layer around `inner`; each call may take `limit`.
    pub fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }

    async fn limit<T>(
        &self,
        call: impl Future<Output = Result<T>> + Send,
        operation: &'static str,
    ) -> Result<T> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                format!("the sink did not answer within {:?}", self.limit),
            )
            .with_operation(operation)
            .with_context("sink", self.inner.name())),
        }
    }
}

#[async_trait]
impl<S: ClipSink> ClipSink for TimeoutLayer<S> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn wants(&self, item: &Delivery) -> bool {
        self.inner.wants(item)
    }

    async fn check(&self) -> Result<()> {
        self.limit(self.inner.check(), "sink::check").await
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        self.limit(self.inner.deliver(item), "sink::deliver").await
    }

    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        self.limit(self.inner.erase(stream), "sink::erase").await
    }

    async fn close(&self) -> Result<()> {
        self.limit(self.inner.close(), "sink::close").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sink as kit;
    use crate::sink::{MemorySink, SinkExt};

    struct Stuck;

    #[async_trait]
    impl ClipSink for Stuck {
        fn name(&self) -> &str {
            "stuck"
        }
        async fn deliver(&self, _: &Delivery) -> Result<Receipt> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn conforms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let sink = MemorySink::new();
        let make = async || Ok(sink.clone().with_timeout(Duration::from_secs(600)));
        kit::sink(make, async |_: &TimeoutLayer<MemorySink>| sink.deliveries().len(), file.path()).await;
    }

    #[tokio::test]
    async fn a_stuck_sink_is_named_and_may_be_retried() {
        let sink = Stuck.with_timeout(Duration::from_millis(1));
        let err = sink.deliver(&kit::moment("s", "m", 1)).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Timeout);
        assert!(err.is_retryable());
        assert!(err.to_string().contains("sink: stuck"), "{err}");
    }
}
