//! Writers to a log on a server, for tests in which the server fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clipcore::conformance::log as kit;
use clipcore::log::{EventLog, Record};
use tokio::task::JoinHandle;

/// Writers that each repeat what failed, as the pipeline does.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<String>>>,
}

impl Writers {
    pub(crate) fn start(log: &Arc<impl EventLog + 'static>, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicUsize::new(0));
        let write = |writer: usize| {
            let (log, stop, written) = (log.clone(), stop.clone(), written.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("{writer}-{}", acknowledged.len());
                    while let Err(e) = log.append(0, &[kit::marker(&id)]).await {
                        assert!(e.is_retryable(), "{e}");
                    }
                    acknowledged.push(id);
                    written.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        };
        let tasks = (0..count).map(write).collect();
        Self { stop, written, tasks }
    }

    /// Ends them once more than `least` records are acknowledged, and holds those against what is there.
    pub(crate) async fn compare(self, log: &impl EventLog, least: usize) {
        let enough = async {
            while self.written.load(Ordering::Relaxed) <= least {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // That there are too few is told below.
        let _ = tokio::time::timeout(Duration::from_secs(60), enough).await;
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for task in self.tasks {
            acknowledged.extend(task.await.unwrap());
        }
        let mut found = ids(log).await;
        assert!(acknowledged.len() > least, "only {} records were written", acknowledged.len());
        found.sort();
        acknowledged.sort();
        assert_eq!(found, acknowledged);
    }
}

/// The ids of all events of the first partition, in order.
pub(crate) async fn ids(log: &impl EventLog) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut from = 0;
    loop {
        let some = log.read(0, from, 500).await.unwrap();
        let Some((last, _)) = some.last() else { return ids };
        from = last + 1;
        ids.extend(some.iter().map(|(_, record)| match record {
            Record::Event(event) => event.header().id.to_string(),
            other => panic!("{other:?}"),
        }));
    }
}
