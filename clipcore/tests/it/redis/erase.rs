//! A stream that is to be gone from logs that processes share.

use std::sync::Arc;
use std::time::Duration;

use clipcore::detector::MarkerDetector;
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::host::{Host, HostMode, HostParts, RedisStreams, StreamMake, StreamState, WorkerConfig};
use clipcore::log::{RedisLog, RedisLogConfig};
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::redis::RedisUrl;
use clipcore::{ErrorKind, StreamId};

use crate::support::redis::Redis;

async fn host(url: &RedisUrl, mode: HostMode) -> Host {
    let log = async |name: &str| {
        let config = RedisLogConfig {
            url: url.clone(),
            prefix: format!("test:{name}"),
            partitions: 2,
            ..RedisLogConfig::default()
        };
        Arc::new(RedisLog::open(config, Kinds::builtin()).await.unwrap())
    };
    let fusion = FusionConfig::default().factory().unwrap();
    let factory = move |stream: &StreamId, _: &_| {
        let fusion = fusion.clone();
        let builder = Pipeline::builder()
            .with_fusion(move |stream| fusion(stream))
            .with_detector(|_| Ok(Box::new(MarkerDetector::default())));
        Ok(StreamMake::new(builder, StreamSpec::new(stream.clone())))
    };
    let parts = HostParts::new(log("inbox").await, log("log").await, Arc::new(factory));
    let streams = RedisStreams::new(url, "test", Duration::from_secs(5)).unwrap();
    Host::open_with(Arc::new(streams), HostParts { mode, ..parts }).await.unwrap()
}

async fn until(front: &Host, stream: &StreamId, state: StreamState) {
    for _ in 0..500 {
        if front.status(stream).is_some_and(|status| status.state == state) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{stream} did not become {state:?}: {:?}", front.status(stream));
}

/// Everything that the server holds.
fn dump(redis: &Redis) -> String {
    let keys = redis.cli(&["--scan"]);
    let all = keys.lines().map(|key| match redis.cli(&["TYPE", key]).as_str() {
        "stream" => redis.cli(&["XRANGE", key, "-", "+"]),
        "hash" => redis.cli(&["HGETALL", key]),
        _ => String::new(),
    });
    format!("{keys}\n{}", all.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_has_ended_is_taken_out_of_what_processes_share() {
    let Some(redis) = Redis::start("a_stream_that_has_ended_is_taken_out_of_what_processes_share") else {
        return;
    };
    let url: RedisUrl = redis.url().parse().unwrap();
    let worker = host(&url, HostMode::Worker(WorkerConfig::default())).await;
    let front = host(&url, HostMode::Front).await;
    let [vanishing, lasting] = ["vanishing", "lasting"].map(|name| StreamId::new(name).unwrap());
    for stream in [&vanishing, &lasting] {
        let marker = |n| format!(r#"{{"type":"marker","id":"{stream}-{n}","data":{{"label":"ace"}}}}"#);
        let events = (0..5).map(|n| Kinds::builtin().parse(marker(n).as_bytes()).unwrap()).collect();
        assert!(front.accept(stream, events).await.unwrap().iter().all(Option::is_none));
        until(&worker, stream, StreamState::Live).await;
    }
    let refused = front.erase_stream(&vanishing).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(refused.hint().unwrap().contains("end it first"), "{refused}");
    let refused = worker.erase_stream(&vanishing).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    let refused = front.erase_viewer("twitch", "ann").await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Unsupported && refused.hint().is_some(), "{refused}");

    front.end(&vanishing).await.unwrap();
    until(&front, &vanishing, StreamState::Ended).await;
    assert!(dump(&redis).contains("vanishing"));
    let erased = front.erase_stream(&vanishing).await.unwrap();
    assert!(erased.records >= 11 && erased.checkpoints >= 1 && erased.files == 1, "{erased:?}");
    let left = dump(&redis);
    assert!(!left.contains("vanishing") && left.contains("lasting"), "{left}");
    assert_eq!(front.erase_stream(&vanishing).await.unwrap(), Default::default());
    // What others share the partitions with goes on.
    let marker = Kinds::builtin().parse(br#"{"type":"marker","data":{}}"#).unwrap();
    front.accept(&lasting, vec![marker]).await.unwrap();
    front.end(&lasting).await.unwrap();
    until(&front, &lasting, StreamState::Ended).await;
    let (events, _) = front.events(&lasting, 0, 1000).await.unwrap();
    assert_eq!(events.iter().filter(|(_, event)| event.kind() == "marker").count(), 6);
    front.drain().await;
    worker.drain().await;
}
