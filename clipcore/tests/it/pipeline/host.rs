//! Many streams in one process: each lives its own life.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clipcore::event::{Incoming, Kinds};
use clipcore::host::{Host, HostConfig, HostParts, StreamMake, StreamSettings, StreamState};
use clipcore::log::{EventLog, MemoryLog};
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::source::{Item, LogSourceClock};
use clipcore::{Error, ErrorKind, StreamId};

use super::stage::*;
use super::support::*;

struct World {
    dir: tempfile::TempDir,
    inbox: Arc<MemoryLog>,
    log: Arc<MemoryLog>,
    config: HostConfig,
}

impl World {
    fn new(config: HostConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, inbox: Arc::new(MemoryLog::new(2)), log: Arc::new(MemoryLog::new(2)), config }
    }

    async fn open(&self) -> Host {
        let factory = |stream: &StreamId, settings: &StreamSettings| {
            if settings.inputs.iter().any(|input| input == "nonsense") {
                return Err(Error::config("that is no input"));
            }
            if stream.as_str() == "broken" && Path::new("/").exists() {
                return Err(Error::new(ErrorKind::Unavailable, "its camera is away"));
            }
            let builder = Pipeline::builder()
                .with_fusion(|stream| Box::new(Windows::new(stream)))
                .with_detector(|_| Ok(Box::new(Burst::default())))
                .with_config(config());
            Ok(StreamMake::new(builder, StreamSpec::new(stream.clone())))
        };
        let parts = HostParts::new(self.inbox.clone(), self.log.clone(), Arc::new(factory));
        let parts = HostParts { config: self.config.clone(), ..parts };
        Host::open(self.dir.path().join("streams"), parts).await.unwrap()
    }
}

fn events(id: &StreamId) -> Vec<Incoming> {
    let items = show(id).into_iter();
    let events = items.filter_map(|i| if let Item::Event(e) = i { Some(e) } else { None });
    events.map(|e| Incoming::from_event(&e, true, &Kinds::builtin()).unwrap()).collect()
}

fn by_events() -> StreamSettings {
    StreamSettings { clock: LogSourceClock::Events, ..StreamSettings::default() }
}

async fn until(what: &str, reached: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if reached().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

async fn until_state(host: &Host, id: &StreamId, state: StreamState) {
    until(&format!("{state:?}"), async || host.status(id).is_some_and(|s| s.state == state)).await;
}

#[tokio::test]
async fn streams_go_on_where_they_were_and_end_when_told() {
    let world = World::new(HostConfig::default());
    let [a, b] = ["a", "b"].map(stream);
    let host = world.open().await;
    for id in [&a, &b] {
        host.put(id, by_events()).await.unwrap();
        let all = events(id);
        let (first, _) = all.split_at(all.len() / 2);
        let refused = host.accept(id, first.to_vec()).await.unwrap();
        assert!(refused.iter().all(Option::is_none));
    }
    host.drain().await;
    let refused = host.accept(&a, events(&a)).await.unwrap_err();
    assert!(refused.is_retryable() && refused.to_string().contains("stopping"), "{refused}");

    let host = world.open().await;
    for id in [&a, &b] {
        assert_eq!(host.status(id).unwrap().state, StreamState::Live, "it was live before");
        // The producer does not know what came through, and sends everything again.
        host.accept(id, events(id)).await.unwrap();
        host.end(id).await.unwrap();
        until_state(&host, id, StreamState::Ended).await;
        let live = logged_moments(&*world.log, id).await;
        assert!(live.iter().filter(|m| m.contains("closed")).count() >= 3, "{live:?}");
        assert_eq!(live, replayed_moments(&*world.log, id).await);
        let chats = records(&*world.log, id).await;
        let chats = chats.iter().filter(|r| r.to_json().unwrap().contains("chat.message")).count();
        assert_eq!(chats, events(id).len(), "nothing is lost or counted twice");
        let over = host.accept(id, events(id)).await.unwrap_err();
        assert!(over.kind() == ErrorKind::Conflict && over.to_string().contains("has ended"), "{over}");
    }
    let counted = host.totals().events as usize;
    let all = events(&a).len();
    assert!(
        (all..=2 * all).contains(&counted),
        "what the first process has not come to, and the rest: {counted}"
    );
    host.drain().await;
}

#[tokio::test]
async fn a_broken_stream_is_tried_again_and_touches_no_other() {
    let world = World::new(HostConfig::default());
    let host = world.open().await;
    let [good, broken] = ["good", "broken"].map(stream);
    host.accept(&broken, events(&broken)).await.unwrap();
    until_state(&host, &broken, StreamState::Failed).await;
    assert!(host.status(&broken).unwrap().error.unwrap().contains("camera is away"));
    host.put(&good, by_events()).await.unwrap();
    host.accept(&good, events(&good)).await.unwrap();
    host.end(&good).await.unwrap();
    until_state(&host, &good, StreamState::Ended).await;
    assert!(!logged_moments(&*world.log, &good).await.is_empty());
    host.drain().await;
}

#[tokio::test]
async fn more_streams_than_may_be_live_are_refused_before_anything_is_acknowledged() {
    let world = World::new(HostConfig { max_streams: 2, ..HostConfig::default() });
    let host = world.open().await;
    let [a, b, c] = ["a", "b", "c"].map(stream);
    for id in [&a, &b] {
        host.accept(id, events(id)).await.unwrap();
    }
    let refused = host.accept(&c, events(&c)).await.unwrap_err();
    assert!(refused.is_retryable() && refused.to_string().contains("max_streams"), "{refused}");
    assert!(host.status(&c).is_none());
    let nonsense = StreamSettings { inputs: vec!["nonsense".into()], ..StreamSettings::default() };
    assert_eq!(host.put(&a, nonsense).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(host.status(&a).unwrap().state, StreamState::Live, "it goes on as it was");
    host.drain().await;
}

#[tokio::test]
async fn a_quiet_stream_is_stopped_and_the_next_arrival_wakes_it() {
    let world = World::new(HostConfig { idle_stop: Duration::from_millis(300), ..HostConfig::default() });
    let host = world.open().await;
    let a = stream("a");
    host.put(&a, by_events()).await.unwrap();
    let all = events(&a);
    let (first, rest) = all.split_at(all.len() / 2);
    host.accept(&a, first.to_vec()).await.unwrap();
    until_state(&host, &a, StreamState::Idle).await;
    assert!(!has_end(&*world.log, &a).await, "a stop is no end");
    assert_eq!(host.live_streams(), 0);
    host.accept(&a, rest.to_vec()).await.unwrap();
    assert_eq!(host.status(&a).unwrap().state, StreamState::Live);
    host.end(&a).await.unwrap();
    until_state(&host, &a, StreamState::Ended).await;
    assert_eq!(logged_moments(&*world.log, &a).await, replayed_moments(&*world.log, &a).await);
    let partition = clipcore::log::partition_of(&a, world.log.partitions());
    assert!(world.log.last_checkpoint(partition, "pipeline-a").await.unwrap().is_some());
    host.drain().await;
}
