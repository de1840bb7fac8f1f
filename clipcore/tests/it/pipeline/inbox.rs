//! An inbox in front of a pipeline: what was acknowledged there is in the moments, whenever the process dies.

use std::sync::Arc;
use std::time::Duration;

use clipcore::WallTime;
use clipcore::event::{AnyEvent, Incoming, Kinds};
use clipcore::log::{Arrival, EventLog, MemoryLog, Record};
use clipcore::pipeline::{PipelineConfig, StreamSpec};
use clipcore::source::{Item, LogSource, LogSourceClock, LogSourceConfig};

use super::restart::Mortal;
use super::stage::*;
use super::support::*;

const NEVER: u64 = 1 << 40;

fn events() -> Vec<AnyEvent> {
    let items = show(&stream("show"));
    items.into_iter().filter_map(|i| if let Item::Event(e) = i { Some(e) } else { None }).collect()
}

fn arrival(event: &AnyEvent) -> Record {
    let incoming = Incoming::from_event(event, true, &Kinds::builtin()).unwrap();
    Record::Arrival(Arrival::event(event.stream(), WallTime::from_unix_micros(7), incoming))
}

fn end() -> Record {
    Record::Arrival(Arrival::end(&stream("show"), WallTime::from_unix_micros(8)))
}

/// What outlives a process.
struct World {
    inbox: Arc<MemoryLog>,
    log: Arc<MemoryLog>,
}

impl World {
    fn new() -> Self {
        Self { inbox: Arc::new(MemoryLog::new(1)), log: Arc::new(MemoryLog::new(1)) }
    }

    async fn post(&self, records: &[Record]) {
        self.inbox.append(0, records).await.unwrap();
    }

    fn source(&self, inbox: Arc<dyn EventLog>) -> LogSource {
        LogSource::new(inbox).with_config(LogSourceConfig {
            clock: LogSourceClock::Events,
            poll: Duration::from_millis(1),
            store_every: Duration::from_millis(1),
            ..LogSourceConfig::default()
        })
    }

    /// One process; whether it came to the end of the input.
    fn live(&self, inbox_dies: u64, log_dies: u64, after: bool) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let inbox = Arc::new(Mortal::new(self.inbox.clone(), inbox_dies, after));
        let log = Arc::new(Mortal::new(self.log.clone(), log_dies, after));
        let spec = StreamSpec::new(stream("show")).with_source(self.source(inbox.clone()));
        let config = PipelineConfig { batch: 3, queue: 3, ..config() };
        let pipeline = builder(log.clone()).with_stream(spec).with_config(config).build().unwrap();
        let ended = runtime.block_on(async {
            tokio::select! {
                summary = pipeline.run() => {
                    let summary = summary.unwrap();
                    assert!(summary.stream_error().is_none() && summary.streams[0].ended, "{summary:?}");
                    true
                }
                () = log.died.notified() => false,
                () = inbox.died.notified() => false,
            }
        });
        runtime.shutdown_background();
        ended
    }

    fn moments(&self) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let live = logged_moments(&*self.log, &stream("show")).await;
            assert_eq!(live, replayed_moments(&*self.log, &stream("show")).await, "replay differs");
            live
        })
    }

    fn filled() -> Self {
        let world = Self::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let all: Vec<_> = events().iter().map(arrival).collect();
            world.post(&all).await;
            world.post(&[end()]).await;
        });
        world
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_counted_twice_wherever_the_process_dies() {
    let whole = World::filled();
    assert!(whole.live(NEVER, NEVER, false));
    let expected = whole.moments();
    assert!(expected.len() >= 4, "{expected:?}");
    let mut deaths = 0;
    for (of_log, after) in [(true, false), (true, true), (false, true)] {
        for kill_at in 1.. {
            let world = World::filled();
            let (inbox, log) = if of_log { (NEVER, kill_at) } else { (kill_at, NEVER) };
            if world.live(inbox, log, after) {
                break;
            }
            deaths += 1;
            assert!(world.live(NEVER, NEVER, false), "the second process comes to the end");
            assert_eq!(world.moments(), expected, "killed at write {kill_at}, log {of_log}, after {after}");
        }
    }
    println!("{deaths} deaths");
    assert!(deaths > 50);
}

#[tokio::test]
async fn what_is_sent_twice_counts_once_even_after_a_restart() {
    let world = World::new();
    let all: Vec<_> = events().iter().map(arrival).collect();
    let half = all.len() / 2;
    let run = async |world: &World| {
        let repeated = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let source = world.source(world.inbox.clone()).with_repeat_counter(repeated.clone());
        let spec = StreamSpec::new(stream("show")).with_source(source);
        let pipeline = builder(world.log.clone()).with_stream(spec).build().unwrap();
        let handle = pipeline.handle();
        let run = tokio::spawn(pipeline.run());
        tokio::time::sleep(Duration::from_millis(100)).await;
        handle.stop();
        let summary = run.await.unwrap().unwrap();
        assert!(summary.stream_error().is_none(), "{summary:?}");
        (repeated.load(std::sync::atomic::Ordering::Relaxed), summary.streams[0].stats.events)
    };
    world.post(&all[..half]).await;
    world.post(&all[..half]).await;
    assert_eq!(run(&world).await, (half as u64, half as u64));
    world.post(&all).await;
    assert_eq!(run(&world).await, (half as u64, (all.len() - half) as u64));
}

#[tokio::test]
async fn an_event_without_an_instant_is_placed_where_it_was_received() {
    let world = World::new();
    let event = Kinds::builtin().parse(br#"{"type":"marker","id":"m","data":{"label":"now"}}"#).unwrap();
    let now = clipcore::clock::TimeSource::wall(&clipcore::clock::SystemTimeSource::new());
    world.post(&[Record::Arrival(Arrival::event(&stream("show"), now, event))]).await;
    let spec = StreamSpec::new(stream("show")).with_source(LogSource::new(world.inbox.clone()));
    let pipeline = builder(world.log.clone()).with_stream(spec).build().unwrap();
    let handle = pipeline.handle();
    let run = tokio::spawn(pipeline.run());
    tokio::time::sleep(Duration::from_millis(200)).await;
    handle.stop();
    run.await.unwrap().unwrap();
    let all = records(&*world.log, &stream("show")).await;
    let marker = all.iter().find_map(|r| match r {
        Record::Event(e) if e.kind() == "marker" => Some(e.header().clone()),
        _ => None,
    });
    let header = marker.expect("the marker is in the log");
    assert_eq!(header.time, Some(now));
    assert!(header.at.as_secs_f64().abs() < 5.0, "{}", header.at);
}
