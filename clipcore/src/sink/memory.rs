use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{ClipSink, Delivery};
use crate::cutter::Clip;
use crate::fusion::Moment;
use crate::log::Receipt;
use crate::{Error, ErrorKind, Result};

/// Keeps deliveries in this process, for tests and for applications that embed clipcore. Clones share them.
///
/// At most [`capacity`](Self::with_capacity) deliveries are kept until they are [taken](Self::take); further ones
/// fail with a retryable `Unavailable`. What was delivered is remembered for as long as the sink lives.
#[derive(Debug, Clone)]
pub struct MemorySink {
    name: Arc<str>,
    capacity: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    seen: HashSet<(Arc<str>, u32)>,
    deliveries: Vec<Delivery>,
}

impl Default for MemorySink {
    fn default() -> Self {
        Self::new()
    }
}

impl MemorySink {
    /// An empty sink named `memory`, for up to 65,536 deliveries at a time.
    pub fn new() -> Self {
        Self { name: "memory".into(), capacity: 65_536, kept: Arc::default() }
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Keeps at most `capacity` deliveries at a time.
    #[must_use]
    pub fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change is one step, so a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything delivered and not taken, in order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.kept().deliveries.clone()
    }

    /// The moments' transitions among them.
    pub fn moments(&self) -> Vec<Moment> {
        let moment = |d: &Delivery| if let Delivery::Moment(m) = d { Some(m.clone()) } else { None };
        self.kept().deliveries.iter().filter_map(moment).collect()
    }

    /// The clips' transitions among them.
    pub fn clips(&self) -> Vec<Clip> {
        let clip = |d: &Delivery| if let Delivery::Clip { clip, .. } = d { Some(clip.clone()) } else { None };
        self.kept().deliveries.iter().filter_map(clip).collect()
    }

    /// Takes everything out, in order.
    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.kept().deliveries)
    }
}

#[async_trait]
impl ClipSink for MemorySink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut kept = self.kept();
        let key = (item.item().clone(), item.rev());
        let mut receipt = item.receipt(&self.name);
        receipt.duplicate = kept.seen.contains(&key);
        if !receipt.duplicate {
            if kept.deliveries.len() >= self.capacity {
                return Err(Error::new(ErrorKind::Unavailable, "the memory sink is full")
                    .with_context("capacity", self.capacity)
                    .with_hint("take() what was delivered"));
            }
            kept.seen.insert(key);
            kept.deliveries.push(item.clone());
        }
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::sink as kit;

    #[test]
    fn conforms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        block_on(kit::sink(
            async || Ok(MemorySink::new()),
            async |sink| sink.deliveries().len(),
            file.path(),
        ));
    }

    #[test]
    fn a_full_sink_says_so_until_it_is_emptied() {
        block_on(async {
            let sink = MemorySink::new().with_capacity(1);
            sink.deliver(&kit::moment("s", "a", 1)).await.unwrap();
            let err = sink.deliver(&kit::moment("s", "a", 2)).await.unwrap_err();
            assert!(err.is_retryable(), "{err}");
            assert_eq!(sink.take().len(), 1);
            sink.deliver(&kit::moment("s", "a", 2)).await.unwrap();
            assert_eq!(sink.moments()[0].rev, 2);
        });
    }
}
