//! How much of the log is kept: what a restart needs in any case, and beyond that what the settings say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PipelineConfig;
use crate::log::{EventLog, Offset, partition_of};
use crate::{Result, StreamId, Timestamp};

/// Between "old enough to go" and "new" lie at most so many marks.
const MARKS: u32 = 32;

/// Where in the log the stream's clock stood, now and then: part of a checkpoint, so that a restart forgets no age.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Ages(VecDeque<(Timestamp, Offset)>);

impl Ages {
    /// Notes that everything before `next` was logged when the clock stood at `clock`; gives the offset before
    /// which everything is older than `retain`, 0 where nothing is known to be.
    pub(super) fn note(&mut self, retain: Duration, clock: Timestamp, next: Offset) -> Offset {
        if self.0.back().is_none_or(|(last, _)| clock >= *last + retain / MARKS) {
            self.0.push_back((clock, next));
        }
        let is_old = |mark: Option<&(Timestamp, Offset)>| mark.is_some_and(|(at, _)| *at + retain <= clock);
        while is_old(self.0.get(1)) {
            self.0.pop_front();
        }
        self.0.front().filter(|mark| is_old(Some(mark))).map_or(0, |(_, offset)| *offset)
    }
}

/// What one stream says of its partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// A restart reads from here.
    pub(super) restart: Offset,
    /// What lies before is older than the settings want to keep.
    pub(super) aged: Offset,
}

/// What the streams of a pipeline need of each partition.
#[derive(Debug, Default)]
pub(super) struct Retention {
    partitions: BTreeMap<u32, Mutex<BTreeMap<StreamId, Needs>>>,
}

impl Retention {
    /// Everything is needed until a stream says otherwise.
    pub(super) fn new(streams: &[StreamId], partitions: u32) -> Self {
        let mut all: BTreeMap<u32, BTreeMap<StreamId, Needs>> = BTreeMap::new();
        for stream in streams {
            let needs = all.entry(partition_of(stream, partitions)).or_default();
            needs.insert(stream.clone(), Needs::default());
        }
        Self {
            partitions: all.into_iter().map(|(partition, needs)| (partition, Mutex::new(needs))).collect(),
        }
    }

    /// The stream has ended: nothing is kept for it any more, and what it has said ages with what the others say.
    pub(super) fn forget(&self, partition: u32, stream: &StreamId) {
        if let Some(all) = self.partitions.get(&partition) {
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
        }
    }

    /// Takes note of a stream's needs and trims its partition by those of all streams.
    ///
    /// # Errors
    /// What the log says.
    pub(super) async fn trim(
        &self,
        log: &dyn EventLog,
        partition: u32,
        stream: &StreamId,
        needs: Needs,
        config: &PipelineConfig,
    ) -> Result<()> {
        if config.log_retain.is_zero() && config.log_max_bytes == 0 {
            return Ok(());
        }
        let Some(all) = self.partitions.get(&partition) else { return Ok(()) };
        let all = {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(stream.clone(), needs);
            let least = |of: fn(&Needs) -> Offset| all.values().map(of).min().unwrap_or(0);
            Needs { restart: least(|n| n.restart), aged: least(|n| n.aged) }
        };
        let crowded = match config.log_max_bytes {
            0 => 0,
            bytes => log.within(partition, bytes).await?,
        };
        let before = all.restart.min(all.aged.max(crowded));
        if before == 0 { Ok(()) } else { log.trim(partition, before).await }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::conformance::log::marker;
    use crate::log::MemoryLog;

    #[test]
    fn what_is_older_than_the_span_may_go_and_a_restart_remembers_it() {
        let mut ages = Ages::default();
        let retain = Duration::from_secs(100);
        let mut aged = 0;
        for at in 0..1000 {
            aged = ages.note(retain, Timestamp::from_secs(at), 10 * at as u64);
            assert!(aged <= 10 * (at - 100).max(0) as u64, "{aged} at {at} s is too new to go");
            assert!(ages.0.len() as u32 <= MARKS + 2);
        }
        assert!(aged >= 10 * (999 - 100 - 5), "{aged}");
        let mut again: Ages = serde_json::from_value(serde_json::to_value(&ages).unwrap()).unwrap();
        assert_eq!(again.note(retain, Timestamp::from_secs(999), 9990), aged);
    }

    #[test]
    fn nothing_goes_that_another_stream_of_the_partition_needs() {
        let log = MemoryLog::new(1);
        let [a, b] = ["a", "b"].map(|name| StreamId::new(name).unwrap());
        let retention = Retention::new(&[a.clone(), b.clone()], 1);
        let config = PipelineConfig { log_retain: Duration::from_secs(1), ..PipelineConfig::default() };
        block_on(async {
            let records: Vec<_> = (0..100).map(|n| marker(&n.to_string())).collect();
            log.append(0, &records).await.unwrap();
            let steps = [
                (&a, Needs { restart: 90, aged: 80 }, 0),
                (&b, Needs { restart: 30, aged: 60 }, 30),
                (&b, Needs { restart: 70, aged: 60 }, 60),
            ];
            for (stream, needs, trimmed) in steps {
                retention.trim(&log, 0, stream, needs, &config).await.unwrap();
                assert_eq!(log.trimmed(0).await.unwrap(), trimmed, "{needs:?}");
            }
            retention.forget(0, &b);
            assert_eq!(log.trimmed(0).await.unwrap(), 60, "an end drops nothing");
            retention.trim(&log, 0, &a, Needs { restart: 95, aged: 80 }, &config).await.unwrap();
            assert_eq!(log.trimmed(0).await.unwrap(), 80, "what has ended holds nobody up");
        });
    }
}
