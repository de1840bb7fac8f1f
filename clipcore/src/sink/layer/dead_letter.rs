use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::durable::{Durability, blocking};
use crate::log::Receipt;
use crate::sink::lines::Lines;
use crate::sink::{ClipSink, Delivery};
use crate::{ErrorKind, Result, StreamId};

/// One line of a dead-letter file: what could not be delivered, and why. It is all that is needed to deliver
/// it later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The sink's name.
    pub sink: Arc<str>,
    /// What went wrong, for people.
    pub error: String,
    /// The kind of error, as [`ErrorKind::as_str`] gives it.
    pub kind: String,
    /// Whether it might have passed: it was given up on after the attempts that were allowed.
    pub retryable: bool,
    /// What was to be delivered.
    pub delivery: Delivery,
}

/// Puts what a sink fails to deliver aside in a file of JSON lines, so that the rest goes on.
///
/// Every error counts, since retrying is the business of a [`RetryLayer`](super::RetryLayer) inside; only
/// `Cancelled` passes, because the item can be delivered after a restart, and with
/// [`permanent_only`](Self::permanent_only) whatever can pass. The receipt then has `dead_letter` set and
/// `location` names the file. A transition is put aside once, across restarts too; one that is delivered after
/// all keeps its line.
///
/// # Errors
/// Of [`deliver`](ClipSink::deliver): the sink's own, where the item could not be put aside either.
///
/// # Cancel safety
/// As the inner sink; a line that is being written is written.
#[derive(Debug)]
pub struct DeadLetterLayer<S> {
    inner: S,
    path: PathBuf,
    permanent_only: bool,
    lines: Arc<Mutex<Lines<Key>>>,
}

/// Item and revision.
type Key = (Arc<str>, u32);

impl<S: ClipSink> DeadLetterLayer<S> {
    /// Puts the layer around `inner`; opens or creates the file.
    ///
    /// # Errors
    /// `Conflict` where another sink or process writes the file; `Io` or `DiskFull`.
    pub async fn open(inner: S, path: impl AsRef<Path> + Send) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = path.clone();
        let lines = blocking(move || {
            Lines::open(&file, Durability::Fsync, |line| {
                let letter: DeadLetter = serde_json::from_slice(line).ok()?;
                Some((letter.delivery.item().clone(), letter.delivery.rev()))
            })
        })
        .await?;
        Ok(Self { inner, path, permanent_only: false, lines: Arc::new(Mutex::new(lines)) })
    }

    /// Lets errors pass that may be over after a restart, for callers who deliver again then, as a pipeline does.
    #[must_use]
    pub fn permanent_only(mut self) -> Self {
        self.permanent_only = true;
        self
    }
}

#[async_trait]
impl<S: ClipSink> ClipSink for DeadLetterLayer<S> {
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
        let error = match self.inner.deliver(item).await {
            Err(e) if e.kind() == ErrorKind::Cancelled || (self.permanent_only && e.is_retryable()) => {
                return Err(e);
            }
            Err(e) => e,
            result => return result,
        };
        let letter = DeadLetter {
            sink: self.name().into(),
            error: error.to_string(),
            kind: error.kind().as_str().to_owned(),
            retryable: error.is_retryable(),
            delivery: item.clone(),
        };
        let (lines, key, json) =
            (self.lines.clone(), (item.item().clone(), item.rev()), serde_json::to_string(&letter)?);
        let written =
            blocking(move || lines.lock().unwrap_or_else(PoisonError::into_inner).write(key, json)).await;
        match written {
            Ok(duplicate) => {
                tracing::warn!(
                    sink = self.name(),
                    item = %item.item(),
                    path = %self.path.display(),
                    %error,
                    "could not be delivered; put aside"
                );
                let location = Some(self.path.display().to_string());
                Ok(Receipt { location, duplicate, dead_letter: true, ..item.receipt(self.name()) })
            }
            Err(e) => Err(error.with_context("dead_letter", e)),
        }
    }

    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        let erased = self.inner.erase(stream).await?;
        let (lines, stream) = (self.lines.clone(), stream.clone());
        let put_aside = blocking(move || {
            let of = |line: &[u8]| {
                serde_json::from_slice::<DeadLetter>(line).is_ok_and(|l| *l.delivery.stream() == stream)
            };
            lines.lock().unwrap_or_else(PoisonError::into_inner).erase(of)
        });
        Ok(erased + put_aside.await?)
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Flaky;
    use super::*;
    use crate::conformance::sink as kit;
    use crate::sink::SinkExt;

    fn letters(path: &Path) -> Vec<DeadLetter> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn conforms_even_where_everything_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead.jsonl");
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = async || Flaky::new(ErrorKind::Io, u32::MAX).with_dead_letter(&path).await;
        kit::sink(open, async |_: &DeadLetterLayer<Flaky>| letters(&path).len(), file.path()).await;
        std::fs::remove_file(&path).unwrap();
        kit::sink_reopened(open, async |_: &DeadLetterLayer<Flaky>| letters(&path).len(), file.path()).await;
    }

    #[tokio::test]
    async fn what_is_put_aside_says_what_and_why_and_the_rest_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/dead.jsonl");
        let sink = Flaky::new(ErrorKind::Unavailable, 1).with_dead_letter(&path).await.unwrap();
        let (lost, fine) = (kit::moment("s", "lost", 1), kit::moment("s", "fine", 1));
        let receipt = sink.deliver(&lost).await.unwrap();
        assert!(receipt.dead_letter);
        assert_eq!(receipt.location.as_deref(), path.to_str());
        assert!(!sink.deliver(&fine).await.unwrap().dead_letter);
        assert_eq!(sink.inner.inner.deliveries(), [fine]);
        let letters = letters(&path);
        assert_eq!(letters.len(), 1);
        assert_eq!((&letters[0].delivery, &*letters[0].sink, letters[0].retryable), (&lost, "flaky", true));
        assert_eq!((&*letters[0].error, &*letters[0].kind), ("out of order", "unavailable"));
    }

    #[tokio::test]
    async fn shutting_down_puts_nothing_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead.jsonl");
        let sink = Flaky::new(ErrorKind::Cancelled, 1).with_dead_letter(&path).await.unwrap();
        assert!(sink.deliver(&kit::moment("s", "m", 1)).await.is_err());
        assert!(letters(&path).is_empty());
    }
}
