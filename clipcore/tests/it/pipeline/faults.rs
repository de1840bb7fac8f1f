use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clipcore::detector::{Detector, DetectorInfo, Output};
use clipcore::event::{AnyEvent, ChatMessage, Header, Kinds, Stamped, Unknown};
use clipcore::log::{
    Checkpoint, EventLog, FileLog, FileLogConfig, Lease, MemoryLog, Offset, Receipt, Record,
};
use clipcore::pipeline::{PipelineConfig, StreamSpec};
use clipcore::sink::{ClipSink, Delivery};
use clipcore::source::Item;
use clipcore::{Consent, Error, ErrorKind, Result, Timestamp};
use serde_json::Value;

use super::stage::*;
use super::support::*;

/// Reads what people write, and panics at what one of them writes.
pub(super) struct Nosy;

impl Detector for Nosy {
    type Input = ChatMessage;

    fn info(&self) -> DetectorInfo {
        DetectorInfo {
            needs: Consent { chat_text: true, face: false },
            ..DetectorInfo::new("nosy", &["word"])
        }
    }
    fn detect(&mut self, event: &Stamped<ChatMessage>, _: &mut Output) {
        assert!(&*event.data.user != "u40", "user u40 is too much for me");
    }
    fn advance(&mut self, _: Timestamp, _: &mut Output) {}
    fn reset(&mut self) {}
    fn snapshot(&self) -> Result<Value> {
        Ok(Value::Null)
    }
    fn restore(&mut self, _: &Value) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panicking_detector_ends_its_own_stream_only() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(2));
    let (bad, good) = (stream("bad"), stream("good"));
    let sink = Probe::new("probe");
    let scissors = Arc::new(Scissors::new(true));
    let pipeline = builder(log.clone())
        .with_stream(
            StreamSpec::new(bad.clone())
                .with_source(Script::new(show(&bad), End::Stop))
                .with_cutter(scissors.clone())
                .with_detector(|_| Ok(Box::new(Nosy))),
        )
        .with_stream(StreamSpec::new(good.clone()).with_source(Script::new(show(&good), End::Input)))
        .with_consent(Consent::ALL)
        .with_sink(Arc::new(sink.clone()))
        .with_config(PipelineConfig { workers: 1, batch: 8, queue: 4, ..config() })
        .build()
        .unwrap();
    let summary = pipeline.run().await.unwrap();
    let error = summary.streams[0].error.as_ref().unwrap();
    let says = error.to_string();
    for word in ["panicked", "user u40 is too much for me", "nosy", "bad"] {
        assert!(says.contains(word), "{says:?} lacks {word:?}");
    }
    assert!(!summary.streams[0].ended);
    assert!(summary.streams[1].error.is_none() && summary.streams[1].ended);
    assert_eq!(summary.streams[1].stats.moments, 4);
    // What was decided before is cut and delivered, and nothing of the log is lost.
    let decided = summary.streams[0].stats.moments as usize;
    assert!(decided > 0);
    assert_eq!(scissors.cuts.lock().unwrap().len(), decided);

    // A fixed build goes on where it was.
    let spec = StreamSpec::new(bad.clone())
        .with_source(Script::new(show(&bad), End::Input))
        .with_cutter(Arc::new(scissors.again(false)));
    let summary = builder(log.clone())
        .with_stream(spec)
        .with_sink(Arc::new(sink.clone()))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert!(summary.streams[0].error.is_none(), "{summary:?}");
    assert_eq!(scissors.cuts.lock().unwrap().len(), 4);
    assert_eq!(logged_moments(&*log, &bad).await.len(), 8);
}

#[tokio::test]
async fn sources_that_fail_are_reported_and_only_the_last_one_ends_the_stream() {
    let s = stream("s");
    for (ends, fails) in [
        ([End::Error, End::Input], false),
        ([End::Panic, End::Input], false),
        ([End::Error, End::Panic], true),
    ] {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = notices.clone();
        let [a, b] = ends.map(|end| Script::new(show(&s), end));
        let pipeline = builder(log.clone())
            .with_stream(StreamSpec::new(s.clone()).with_source(a).with_source(b))
            .on_notice(move |n| told.lock().unwrap().push(n.to_string()))
            .build()
            .unwrap();
        let summary = pipeline.run().await.unwrap();
        assert_eq!(summary.stream_error().is_some(), fails, "{ends:?}");
        assert_eq!(has_end(&*log, &s).await, !fails, "an input that failed has not ended: {ends:?}");
        let notices = notices.lock().unwrap().join("\n");
        let says = if ends[0] == End::Panic { "lost its head" } else { "the server is away" };
        assert!(notices.contains(says), "{notices}");
    }
}

#[tokio::test]
async fn a_source_that_does_not_stop_is_ended() {
    let s = stream("s");
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = notices.clone();
    let pipeline = builder(Arc::new(MemoryLog::new(1)))
        .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Never)))
        .on_notice(move |n| told.lock().unwrap().push(n.to_string()))
        .build()
        .unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    while handle.stats().streams[&s].clock < Some(secs(40.0)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    handle.stop();
    let summary = run.await.unwrap().unwrap();
    assert!(!summary.streams[0].ended && summary.streams[0].error.is_none(), "{summary:?}");
    assert!(notices.lock().unwrap().iter().any(|n| n.contains("did not end when asked")));
}

#[tokio::test]
async fn sinks_that_fail_cost_their_own_deliveries_only() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let good = Probe::new("good");
    let never = Probe::new("never").failing(ErrorKind::InvalidInput, false);
    let later = Probe::new("later").failing(ErrorKind::Unavailable, true);
    let run = |sinks: [&Probe; 3]| {
        let mut b = builder(log.clone())
            .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Input)));
        for sink in sinks {
            b = b.with_sink(Arc::new(sink.clone()));
        }
        b.build().unwrap().run()
    };
    let summary = run([&good, &never, &later]).await.unwrap();
    assert!(summary.stream_error().is_none());
    assert!(summary.sink_error().unwrap().to_string().contains("this sink is broken"));
    assert_eq!(summary.streams[0].stats.delivery_failures, 16);
    assert_eq!(good.items().len(), 8);
    // The next run, with everything mended, delivers what may be tried again, once.
    let (never, later) = (Probe::new("never"), Probe::new("later"));
    run([&good, &never, &later]).await.unwrap();
    assert_eq!(later.items(), good.items());
    assert!(never.items().is_empty(), "a permanent failure is final");
    assert_eq!(good.calls.lock().unwrap().len(), 8);
}

/// A sink that cannot work at all.
struct Broken;

#[async_trait]
impl ClipSink for Broken {
    fn name(&self) -> &str {
        "broken"
    }
    async fn check(&self) -> Result<()> {
        Err(Error::new(ErrorKind::NotFound, "the folder is not there"))
    }
    async fn deliver(&self, _: &Delivery) -> Result<Receipt> {
        panic!("must not be asked to deliver")
    }
}

#[tokio::test]
async fn a_sink_that_cannot_work_is_found_before_anything_is_taken_in() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Input)))
        .with_sink(Arc::new(Broken))
        .build()
        .unwrap();
    let error = pipeline.run().await.unwrap_err().to_string();
    assert!(error.contains("the folder is not there") && error.contains("broken"), "{error}");
    assert!(records(&*log, &s).await.is_empty());
}

/// A log whose disk is full now and then.
struct Full {
    inner: MemoryLog,
    calls: AtomicU64,
}

#[async_trait]
impl EventLog for Full {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }
    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % 7 == 3 {
            return Err(Error::new(ErrorKind::DiskFull, "no space left"));
        }
        self.inner.append(partition, records).await
    }
    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>> {
        self.inner.read(partition, from, max).await
    }
    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease> {
        self.inner.acquire(partition, owner).await
    }
    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.inner.checkpoint(lease, consumer, checkpoint).await
    }
    async fn last_checkpoint(&self, partition: u32, consumer: &str) -> Result<Option<Checkpoint>> {
        self.inner.last_checkpoint(partition, consumer).await
    }
    async fn trim(&self, partition: u32, before: Offset) -> Result<()> {
        self.inner.trim(partition, before).await
    }
    async fn trimmed(&self, partition: u32) -> Result<Offset> {
        self.inner.trimmed(partition).await
    }
}

#[tokio::test]
async fn a_full_disk_makes_the_stream_wait_and_loses_nothing() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(Full { inner: MemoryLog::new(1), calls: AtomicU64::new(0) });
    let sink = Probe::new("probe");
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Input)))
        .with_sink(Arc::new(sink.clone()))
        .with_config(PipelineConfig { batch: 4, ..config() })
        .build()
        .unwrap();
    let summary = pipeline.run().await.unwrap();
    assert!(summary.stream_error().is_none(), "{summary:?}");
    assert!(summary.streams[0].stats.log_retries > 3);
    assert_eq!(sink.items().len(), 8);
    assert_eq!(logged_moments(&*log, &s).await, replayed_moments(&*log, &s).await);
}

#[tokio::test]
async fn a_record_that_the_log_refuses_does_not_stop_the_stream() {
    let s = stream("s");
    let dir = tempfile::tempdir().unwrap();
    let log = FileLog::open(dir.path(), FileLogConfig::default(), Kinds::builtin()).await.unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let mut items = show(&s);
    // A program's own event, with a type that no reader would take.
    let header = Header::new(s.clone(), secs(0.2), "test", "long");
    let kind = "x".repeat(10_000).into();
    items.insert(2, Item::Event(AnyEvent::unknown(header, Unknown { kind, data: Value::Null })));
    let sink = Probe::new("probe");
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(items, End::Input)))
        .with_sink(Arc::new(sink.clone()))
        .build()
        .unwrap();
    let summary = pipeline.run().await.unwrap();
    assert!(summary.stream_error().is_none(), "{summary:?}");
    assert_eq!((summary.streams[0].stats.bad, sink.items().len()), (1, 8));
    assert_eq!(logged_moments(&*log, &s).await, replayed_moments(&*log, &s).await);
}

#[tokio::test]
async fn a_second_owner_stops_the_first() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let pipeline = builder(log.clone())
        .with_stream(StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Stop)))
        .build()
        .unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    while handle.stats().streams[&s].clock < Some(secs(40.0)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    log.acquire(0, "somebody else").await.unwrap();
    handle.stop();
    let summary = run.await.unwrap().unwrap();
    let error = summary.stream_error().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("another process"), "{error}");
}
