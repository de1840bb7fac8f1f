use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clipcore::event::Kinds;
use clipcore::log::{Checkpoint, EventLog, FileLog, FileLogConfig, MemoryLog};
use clipcore::pipeline::{PipelineConfig, StreamSpec};

use super::restart::{World, last_clock, uninterrupted};
use super::stage::*;
use super::support::*;

const RETAIN: Duration = Duration::from_secs(10);

fn kept(world: &World) -> (u64, Vec<f64>) {
    World::block_on(async {
        let trimmed = world.log.trimmed(0).await.unwrap();
        let clocks = records(&*world.log, &world.stream).await;
        let clock = |r: &clipcore::log::Record| match r {
            clipcore::log::Record::Event(e) if e.kind() == "clock" => Some(e.at().as_secs_f64()),
            _ => None,
        };
        (trimmed, clocks.iter().filter_map(clock).collect())
    })
}

/// What everybody was told, whatever the order.
fn told(world: &World) -> Vec<BTreeSet<String>> {
    world.sinks.iter().map(|sink| sink.items().into_iter().collect()).collect()
}

#[test]
fn a_kill_at_any_write_loses_nothing_of_a_log_that_is_trimmed() {
    let whole = uninterrupted();
    for from_the_start in [true, false] {
        let (mut kill_at, mut deaths) = (1, 0);
        loop {
            let world = World { retain: RETAIN, ..World::new() };
            let over = world.live(kill_at, kill_at % 2 == 0, 0.0);
            if !over {
                let from = if from_the_start { 0.0 } else { last_clock(&world) };
                assert!(world.live(u64::MAX, true, from));
            }
            let how = format!("killed at write {kill_at}");
            assert_eq!(told(&world), told(&whole), "{how}");
            assert_eq!(world.scissors.cuts.lock().unwrap().len(), 4, "{how}: each clip is cut once");
            let (trimmed, clocks) = kept(&world);
            assert!(trimmed > 0, "{how}: nothing was trimmed");
            assert!(clocks[0] > 5.0 && clocks[0] <= 31.0, "{how}: the log begins at {} s", clocks[0]);
            if over {
                break;
            }
            deaths += 1;
            kill_at += 1 + kill_at / 6;
        }
        assert!(deaths > 15, "only {deaths} deaths were provoked");
    }
}

#[tokio::test]
async fn a_log_is_kept_within_its_bytes_and_without_limits_whole() {
    let s = stream("s");
    let run = async |log_max_bytes| {
        let dir = tempfile::tempdir().unwrap();
        let settings = FileLogConfig { segment_bytes: 2000, ..FileLogConfig::default() };
        let log: Arc<dyn EventLog> =
            Arc::new(FileLog::open(dir.path(), settings, Kinds::builtin()).await.unwrap());
        let spec = StreamSpec::new(s.clone()).with_source(Script::new(show(&s), End::Input));
        let config = PipelineConfig { log_max_bytes, batch: 4, ..config() };
        builder(log.clone()).with_config(config).with_stream(spec).build().unwrap().run().await.unwrap();
        let files = std::fs::read_dir(dir.path().join("0")).unwrap().flatten();
        let segments = files.filter(|f| f.path().extension().is_some_and(|e| e == "log"));
        let bytes: u64 = segments.map(|f| f.metadata().unwrap().len()).sum();
        (log.trimmed(0).await.unwrap(), bytes)
    };
    let (trimmed, whole) = run(0).await;
    assert_eq!(trimmed, 0, "everything is kept");
    assert!(whole > 20_000, "{whole}");
    let (trimmed, bytes) = run(8000).await;
    assert!(trimmed > 0 && bytes <= 8000 && bytes > 4000, "{trimmed}: {bytes} bytes are left");
}

#[tokio::test]
async fn a_restart_that_would_need_what_was_trimmed_says_so() {
    let s = stream("s");
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(1));
    let notices = Arc::new(Mutex::new(String::new()));
    let run = async |items, end| {
        let told = notices.clone();
        let spec = StreamSpec::new(s.clone()).with_source(Script::new(items, end));
        let config = PipelineConfig { log_retain: RETAIN, batch: 4, ..config() };
        let pipeline = builder(log.clone())
            .with_config(config)
            .with_stream(spec)
            .on_notice(move |n| told.lock().unwrap().push_str(&n.to_string()))
            .build()
            .unwrap();
        pipeline.run().await.unwrap();
    };
    run(show(&s)[..140].to_vec(), End::Error).await;
    assert!(log.trimmed(0).await.unwrap() > 0);
    run(show(&s)[..150].to_vec(), End::Error).await;
    assert!(!notices.lock().unwrap().contains("trimmed"), "a checkpoint that fits needs nothing else");

    let (lease, consumer) = (log.acquire(0, "test").await.unwrap(), format!("pipeline-{s}"));
    let Checkpoint { next, mut state } = log.last_checkpoint(0, &consumer).await.unwrap().unwrap();
    state["engine"]["fusion"] = serde_json::json!("of an older version");
    log.checkpoint(&lease, &consumer, &Checkpoint { next, state }).await.unwrap();
    run(show(&s), End::Input).await;
    let notices = notices.lock().unwrap();
    assert!(notices.contains("the beginning of the log is gone, it was trimmed"), "{notices}");
}
