use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use clipcore::cutter::ClipState;
use clipcore::event::Kinds;
use clipcore::log::{Checkpoint, EventLog, FileLog, FileLogConfig, Lease, MemoryLog, Offset, Record};
use clipcore::pipeline::{PipelineConfig, StreamSpec};
use clipcore::source::Item;
use clipcore::{ErrorKind, Result, StreamId};
use tokio::sync::Notify;

use super::stage::*;
use super::support::*;

/// A log that dies with its process at the n-th call: before the call has taken effect, or after.
pub(super) struct Mortal {
    inner: Arc<dyn EventLog>,
    left: AtomicU64,
    after: bool,
    pub(super) died: Notify,
}

impl Mortal {
    pub(super) fn new(inner: Arc<dyn EventLog>, kill_at: u64, after: bool) -> Self {
        Self { inner, left: AtomicU64::new(kill_at), after, died: Notify::new() }
    }

    /// Whether the call may take effect, and whether it may return.
    fn fate(&self) -> (bool, bool) {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            0 => {
                self.left.store(0, Ordering::Relaxed);
                (false, false)
            }
            1 => (self.after, false),
            _ => (true, true),
        }
    }

    async fn die(&self) -> ! {
        self.left.store(0, Ordering::Relaxed);
        self.died.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl EventLog for Mortal {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }
    async fn append(&self, partition: u32, records: &[Record]) -> Result<Offset> {
        let (acts, returns) = self.fate();
        // A crash in the middle of a call leaves some of its first records.
        let records = if returns { records } else { &records[..records.len().div_ceil(2)] };
        let done = if acts { self.inner.append(partition, records).await } else { Ok(0) };
        if !returns {
            self.die().await;
        }
        done
    }
    async fn read(&self, partition: u32, from: Offset, max: usize) -> Result<Vec<(Offset, Record)>> {
        self.inner.read(partition, from, max).await
    }
    async fn acquire(&self, partition: u32, owner: &str) -> Result<Lease> {
        self.inner.acquire(partition, owner).await
    }
    async fn checkpoint(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let (acts, returns) = self.fate();
        let done = if acts { self.inner.checkpoint(lease, consumer, checkpoint).await } else { Ok(()) };
        if !returns {
            self.die().await;
        }
        done
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

/// What outlives a process.
pub(super) struct World {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) sinks: [Probe; 2],
    pub(super) scissors: Scissors,
    pub(super) stream: StreamId,
    /// How much of the log is kept; zero is all.
    pub(super) retain: Duration,
    pub(super) items: Vec<Item>,
    /// Events come from a file rather than from the source.
    pub(super) scheduled: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let stream = stream("show");
        Self {
            log: Arc::new(MemoryLog::new(1)),
            sinks: [Probe::new("a"), Probe::new("b")],
            scissors: Scissors::new(false),
            items: show(&stream),
            scheduled: false,
            retain: Duration::ZERO,
            stream,
        }
    }

    /// One process: runs until the input has ended, or until it is killed at the n-th write. Says whether it
    /// came to the end.
    pub(super) fn live(&self, kill_at: u64, after: bool, from: f64) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let log = Arc::new(Mortal::new(self.log.clone(), kill_at, after));
        // What was said before the last clock that was logged is logged too.
        let told = |item: &Item| matches!(item, Item::Progress { at, .. } if *at <= secs(from));
        let items = self.items.iter().skip(self.items.iter().rposition(told).map_or(0, |last| last + 1));
        let (mut said, mut scheduled) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Event(event) if self.scheduled => scheduled.push(event.clone()),
                item => said.push(item.clone()),
            }
        }
        let spec = StreamSpec::new(self.stream.clone())
            .with_source(Script::new(said, End::Input))
            .with_schedule(scheduled)
            .with_cutter(Arc::new(self.scissors.again(false)));
        let mut b = builder(log.clone()).with_stream(spec).with_config(PipelineConfig {
            batch: 3,
            queue: 3,
            sink_queue: 1,
            log_retain: self.retain,
            ..config()
        });
        for sink in &self.sinks {
            b = b.with_sink(Arc::new(sink.clone()));
        }
        let pipeline = b.build().unwrap();
        let ended = runtime.block_on(async {
            tokio::select! {
                summary = pipeline.run() => {
                    let summary = summary.unwrap();
                    assert!(summary.stream_error().is_none(), "{summary:?}");
                    assert!(summary.streams[0].ended);
                    true
                }
                () = log.died.notified() => false,
            }
        });
        runtime.shutdown_background();
        ended
    }

    pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn moments(&self) -> Vec<String> {
        Self::block_on(logged_moments(&*self.log, &self.stream))
    }

    fn receipts(&self) -> BTreeSet<(String, String, u32)> {
        let records = Self::block_on(records(&*self.log, &self.stream));
        let receipt = |r: &Record| match r {
            Record::Receipt(r) => Some((r.sink.to_string(), r.item.to_string(), r.rev)),
            _ => None,
        };
        records.iter().filter_map(receipt).collect()
    }

    /// Everything that must be true however often the process died.
    pub(super) fn check(&self, uninterrupted: &Self, how: &str) {
        assert_eq!(self.moments(), uninterrupted.moments(), "{how}: moments");
        let replayed = Self::block_on(replayed_moments(&*self.log, &self.stream));
        assert_eq!(self.moments(), replayed, "{how}: replay of the log");
        let (logged, found) = Self::block_on(late_counts(&*self.log, &self.stream));
        assert_eq!(logged, found, "{how}: decisions that something was late");
        for (sink, whole) in self.sinks.iter().zip(&uninterrupted.sinks) {
            let (mut here, mut there) = (sink.items(), whole.items());
            let moments = |items: &[String]| -> Vec<String> {
                let ids: BTreeSet<String> = sink.inner.moments().iter().map(|m| m.id.to_string()).collect();
                items.iter().filter(|i| ids.contains(i.split('/').next().unwrap())).cloned().collect()
            };
            assert_eq!(moments(&here), moments(&there), "{how}: order of moments");
            here.sort();
            there.sort();
            assert_eq!(here, there, "{how}: deliveries, each with one effect");
        }
        assert_eq!(self.scissors.cuts.lock().unwrap().len(), 4, "{how}: each clip is cut once");
    }
}

pub(super) fn uninterrupted() -> World {
    let world = World::new();
    assert!(world.live(u64::MAX, true, 0.0));
    assert_eq!(world.moments().len(), 8);
    world
}

/// Kills the process at the n-th write for many n, restarts it, and compares with a run that was left alone.
/// The source starts over as a file does, or goes on where the log ends as a live one does.
fn kill_once(resume: bool, scheduled: bool) {
    let whole = uninterrupted();
    let (mut kill_at, mut deaths) = (1, 0);
    loop {
        for after in [false, true] {
            let world = World { scheduled, ..World::new() };
            if world.live(kill_at, after, 0.0) {
                assert!(deaths > 40, "only {deaths} deaths were provoked");
                return;
            }
            deaths += 1;
            let receipts = world.receipts();
            let before: Vec<usize> = world.sinks.iter().map(|s| s.calls.lock().unwrap().len()).collect();
            // A live source has lost what was never appended; here it is patient and says it again.
            let from = if resume { last_clock(&world) } else { 0.0 };
            assert!(world.live(u64::MAX, true, from));
            let how = format!("killed {} write {kill_at}", if after { "after" } else { "before" });
            world.check(&whole, &how);
            if scheduled {
                let again = repeated_events(&world);
                assert!(again <= 8, "{how}: {again} events of the file were let in again");
            }
            for (sink, before) in world.sinks.iter().zip(before) {
                for (item, rev) in &sink.calls.lock().unwrap()[before..] {
                    let acknowledged = (sink.inner.name_of(), item.clone(), *rev);
                    assert!(!receipts.contains(&acknowledged), "{how}: {acknowledged:?} was repeated");
                }
            }
        }
        kill_at += 1 + kill_at / 12;
    }
}

fn repeated_events(world: &World) -> usize {
    let records = World::block_on(records(&*world.log, &world.stream));
    let ids: Vec<_> = records
        .iter()
        .filter_map(|r| if let Record::Event(e) = r { Some(e.header().id.clone()) } else { None })
        .collect();
    ids.len() - ids.iter().collect::<BTreeSet<_>>().len()
}

trait NameOf {
    fn name_of(&self) -> String;
}

impl NameOf for clipcore::sink::MemorySink {
    fn name_of(&self) -> String {
        clipcore::sink::ClipSink::name(self).to_owned()
    }
}

pub(super) fn last_clock(world: &World) -> f64 {
    let records = World::block_on(records(&*world.log, &world.stream));
    let clock = |r: &Record| match r {
        Record::Event(e) if e.kind() == "clock" => Some(e.at().as_secs_f64()),
        _ => None,
    };
    records.iter().filter_map(clock).fold(0.0, f64::max)
}

#[test]
fn a_kill_at_any_write_changes_nothing_when_the_source_starts_over() {
    kill_once(false, false);
}

#[test]
fn a_kill_at_any_write_changes_nothing_when_events_come_from_a_file() {
    kill_once(false, true);
}

#[test]
fn a_kill_at_any_write_changes_nothing_when_the_source_goes_on() {
    kill_once(true, false);
}

#[test]
fn a_process_that_dies_again_and_again_gets_there() {
    let whole = uninterrupted();
    for step in [7, 13, 29] {
        let world = World::new();
        let mut lives = 1;
        while !world.live(step, lives % 2 == 0, last_clock(&world)) {
            lives += 1;
            assert!(lives < 500, "it makes no progress with {step} writes a life");
        }
        assert!(lives > 2);
        world.check(&whole, &format!("{lives} lives of {step} writes"));
    }
}

#[test]
fn a_log_in_a_folder_is_opened_again_by_each_process() {
    let whole = uninterrupted();
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let mut lives = 0;
    loop {
        let open = FileLog::open(dir.path(), FileLogConfig::default(), Kinds::builtin());
        world.log = Arc::new(World::block_on(open).unwrap());
        lives += 1;
        if world.live(25, lives % 2 == 0, last_clock(&world)) {
            break;
        }
        world.log = Arc::new(MemoryLog::new(1));
        assert!(lives < 500);
    }
    assert!(lives > 2);
    world.check(&whole, &format!("{lives} lives on one folder"));
}

#[test]
fn live_and_replay_agree_when_events_come_in_any_order_late_and_between_crashes() {
    for seed in 1..6 {
        let mut world = World::new();
        // Of what comes late, a source that starts over says some as repeats only: how many depends on when it died.
        world.items = shuffled(&world.stream, seed, 18);
        let mut lives = 1;
        while !world.live(5 + 4 * seed, lives % 2 == 0, last_clock(&world)) {
            let live = world.moments();
            let replayed = World::block_on(replayed_moments(&*world.log, &world.stream));
            // What was decided in the instant of the crash may not be logged yet.
            assert!(replayed.starts_with(&live), "seed {seed}, life {lives}:\n{live:#?}\n{replayed:#?}");
            lives += 1;
            assert!(lives < 500);
        }
        assert!(lives > 2);
        let replayed = World::block_on(replayed_moments(&*world.log, &world.stream));
        assert_eq!(world.moments(), replayed, "seed {seed}");
        let (logged, found) = World::block_on(late_counts(&*world.log, &world.stream));
        assert!(found >= 5, "{found}");
        assert_eq!(logged, found, "seed {seed}: late decisions");
        assert!(replayed.len() >= 6, "{replayed:#?}");
        for sink in &world.sinks {
            let told: Vec<String> =
                sink.inner.moments().iter().map(|m| serde_json::to_string(m).unwrap()).collect();
            assert_eq!(told, replayed, "seed {seed}: what a sink was told");
        }
    }
}

#[tokio::test]
async fn a_stop_finishes_pending_clips_and_leaves_the_stream_open() {
    let s = stream("live");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let (sink, scissors) = (Probe::new("probe"), Arc::new(Scissors::new(true)));
    // The last moment of the show is still open when the stop comes.
    let items: Vec<Item> = show(&s)
        .into_iter()
        .filter(|i| !matches!(i, Item::Progress { at, .. } if *at > secs(37.0)))
        .collect();
    let run = |items: Vec<Item>, end, scissors: &Arc<Scissors>| {
        let spec =
            StreamSpec::new(s.clone()).with_source(Script::new(items, end)).with_cutter(scissors.clone());
        let pipeline =
            builder(log.clone()).with_stream(spec).with_sink(Arc::new(sink.clone())).build().unwrap();
        (pipeline.handle(), tokio::spawn(pipeline.run()))
    };
    let (handle, first) = run(items, End::Stop, &scissors);
    while handle.stats().streams[&s].clock < Some(secs(37.0)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(scissors.cuts.lock().unwrap().is_empty(), "the clips are pending");
    handle.stop();
    let summary = first.await.unwrap().unwrap();
    assert!(!summary.streams[0].ended && summary.streams[0].error.is_none());
    assert_eq!(summary.streams[0].stats.clips, 3);
    assert!(!has_end(&*log, &s).await, "a stop is not the end of the input");
    let ready = sink.inner.clips().iter().filter(|c| c.state == ClipState::Ready).count();
    assert_eq!(ready, 3, "pending clips are finished and delivered");

    let (_, second) = run(show(&s), End::Input, &Arc::new(scissors.again(false)));
    let summary = second.await.unwrap().unwrap();
    assert!(summary.streams[0].ended);
    let stats = &summary.streams[0].stats;
    assert!(stats.repeated > 50 && stats.late == 0, "what was logged is not too late: {stats:?}");
    let expected = uninterrupted_in(&s).await;
    assert_eq!(logged_moments(&*log, &s).await, expected);
    assert_eq!(scissors.cuts.lock().unwrap().len(), 4);

    // A third run has nothing to add, and says so.
    let (_, third) = run(show(&s), End::Input, &Arc::new(scissors.again(false)));
    let before = sink.calls.lock().unwrap().len();
    let summary = third.await.unwrap().unwrap();
    assert!(summary.streams[0].ended);
    assert_eq!(logged_moments(&*log, &s).await, expected);
    assert_eq!(sink.calls.lock().unwrap().len(), before);
    assert_eq!(summary.streams[0].stats.events, 0);
}

async fn uninterrupted_in(s: &StreamId) -> Vec<String> {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let spec = StreamSpec::new(s.clone()).with_source(Script::new(show(s), End::Input));
    builder(log.clone()).with_stream(spec).build().unwrap().run().await.unwrap();
    logged_moments(&*log, s).await
}

#[tokio::test]
async fn an_abort_ends_at_once_and_the_next_run_delivers_what_is_pending() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let stuck = Probe::new("probe").slow(&gate);
    let run = |sink: &Probe, end| {
        let spec = StreamSpec::new(s.clone()).with_source(Script::new(show(&s), end));
        let pipeline =
            builder(log.clone()).with_stream(spec).with_sink(Arc::new(sink.clone())).build().unwrap();
        (pipeline.handle(), tokio::spawn(pipeline.run()))
    };
    let (handle, first) = run(&stuck, End::Stop);
    while handle.stats().streams[&s].moments < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    handle.stop();
    tokio::task::yield_now().await;
    handle.abort();
    assert_eq!(first.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(stuck.items().is_empty());

    let mended = Probe::new("probe");
    let (_, second) = run(&mended, End::Input);
    second.await.unwrap().unwrap();
    assert_eq!(mended.items().len(), 8, "what was decided before the abort is not lost");
}

#[tokio::test]
async fn a_checkpoint_that_does_not_fit_costs_a_replay_and_nothing_else() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let sink = Probe::new("probe");
    let notices = Arc::new(Mutex::new(Vec::new()));
    for (state, says) in
        [(Some(serde_json::json!({"nonsense": 1})), "of another form"), (None, "does not fit")]
    {
        let lease = log.acquire(0, "test").await.unwrap();
        let consumer = format!("pipeline-{s}");
        let last = log.last_checkpoint(0, &consumer).await.unwrap();
        let state = state.or_else(|| {
            let mut state = last.clone().unwrap().state;
            state["engine"]["fusion"] = serde_json::json!("of an older version");
            Some(state)
        });
        let next = last.map_or(0, |c| c.next);
        log.checkpoint(&lease, &consumer, &Checkpoint { next, state: state.unwrap() }).await.unwrap();
        let told = notices.clone();
        let spec = StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Input));
        let pipeline = builder(log.clone())
            .with_stream(spec)
            .with_sink(Arc::new(sink.clone()))
            .on_notice(move |n| told.lock().unwrap().push(n.to_string()))
            .build()
            .unwrap();
        pipeline.run().await.unwrap();
        let notices = std::mem::take(&mut *notices.lock().unwrap()).join("\n");
        assert!(notices.contains(says), "{notices}");
    }
    assert_eq!(sink.items().len(), 8);
    assert_eq!(sink.calls.lock().unwrap().len(), 8, "receipts in the log are honoured");
}
