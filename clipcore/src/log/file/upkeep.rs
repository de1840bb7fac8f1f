//! Taking something out of a log that is in use. The newest segment is never touched: it is the writer's.

use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::segment::Segment;
use super::writer::{View, lock};
use super::{FileLog, rewrite, segment};
use crate::Result;
use crate::durable::blocking;
use crate::log::{Offset, RewriteRecord};

/// A segment that is not written to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) base: Offset,
    /// Where the next one begins.
    pub(crate) end: Offset,
}

impl FileLog {
    /// Segments of a partition that are closed, oldest first, and the first offset of the newest one.
    pub(crate) fn segments(&self, partition: u32) -> Result<(Vec<Closed>, Offset)> {
        let view = lock(&self.partition(partition)?.view);
        let closed = view.segments.windows(2).map(|pair| Closed { base: pair[0].base, end: pair[1].base });
        Ok((closed.collect(), view.segments.last().map_or(0, |newest| newest.base)))
    }

    /// Begins a new segment where there is something in the newest one.
    pub(crate) async fn roll(&self, partition: u32) -> Result<()> {
        self.partition(partition)?.call(Vec::new(), Vec::new(), true).await.map(drop)
    }

    /// Goes through everything that was acknowledged.
    pub(super) async fn rewrite_all(&self, partition: u32, change: RewriteRecord) -> Result<usize> {
        self.roll(partition).await?;
        let mut all = 0;
        for segment in self.segments(partition)?.0 {
            let change = change.clone();
            let done = self.rewrite_segment(partition, segment, (), move |(), json| Ok(change(json)));
            all += done.await?.0;
        }
        Ok(all)
    }

    /// When the segment was last written, in microseconds since 1970; nothing where it was trimmed away.
    pub(crate) async fn written(&self, partition: u32, segment: Closed) -> Result<Option<i64>> {
        let path = segment::path(&self.partition(partition)?.dir, segment.base);
        blocking(move || match rewrite::written(&path) {
            Err(_) if !path.exists() => Ok(None),
            written => written.map(Some),
        })
        .await
    }

    /// Goes through the records of a closed segment with `state`; where `change` gives another JSON it takes the record's place.
    /// Gives the state back, with how many were changed.
    pub(crate) async fn rewrite_segment<T: Send + 'static>(
        &self,
        partition: u32,
        segment: Closed,
        mut state: T,
        mut change: impl FnMut(&mut T, &[u8]) -> Result<Option<String>> + Send + 'static,
    ) -> Result<(usize, T)> {
        let part = self.partition(partition)?;
        let (dir, view, upkeep) = (part.dir.clone(), part.view.clone(), part.upkeep.clone());
        blocking(move || {
            let _upkeep = lock(&upkeep);
            let path = segment::path(&dir, segment.base);
            if !is_closed(&view, segment) {
                return Ok((0, state));
            }
            // Whoever has looked a place up before it is replaced finds out, and whoever does in between.
            forget(&view, segment);
            let changed =
                rewrite::rewrite(&path, segment.base, &mut |json: &[u8], _: &Path| change(&mut state, json));
            forget(&view, segment);
            Ok((changed?, state))
        })
        .await
    }

    /// Goes through the states of a partition's checkpoints that were written last before `held`; where `change` gives another
    /// one it takes its place.
    pub(crate) async fn rewrite_states(
        &self,
        partition: u32,
        held: i64,
        change: impl Fn(&Value) -> Option<Value> + Send + 'static,
    ) -> Result<usize> {
        let part = self.partition(partition)?;
        let (dir, consumers) = (part.dir.clone(), part.consumers.clone());
        blocking(move || {
            let _consumers = lock(&consumers);
            rewrite::checkpoints(&dir, &mut |_, state, path| {
                let old = rewrite::written(path).is_ok_and(|written| written < held);
                old.then(|| change(state)).flatten().map(Some)
            })
        })
        .await
    }

    /// Before which offset segments have no words any more.
    pub(crate) async fn wordless_before(&self, partition: u32) -> Result<Offset> {
        let dir = self.partition(partition)?.dir.clone();
        blocking(move || rewrite::wordless_before(&dir)).await
    }

    /// Notes as much.
    pub(crate) async fn set_wordless_before(&self, partition: u32, before: Offset) -> Result<()> {
        let dir = self.partition(partition)?.dir.clone();
        blocking(move || rewrite::set_wordless_before(&dir, before)).await
    }
}

fn is_closed(view: &Mutex<View>, segment: Closed) -> bool {
    lock(view).segments.windows(2).any(|pair| pair[0].base == segment.base)
}

/// Where records lie in the segment, and what they say, is not known any more.
fn forget(view: &Mutex<View>, segment: Closed) {
    let mut view = lock(view);
    view.rewrites += 1;
    view.tail.forget_before(segment.end);
    if let Some(found) = view.segments.iter_mut().find(|found| found.base == segment.base) {
        *found = Segment::new(segment.base);
    }
}
