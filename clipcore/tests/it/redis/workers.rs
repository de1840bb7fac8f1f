//! Workers that share the streams of a deployment: evenly, and nobody is taken away what only it can cut.

use std::sync::Arc;
use std::time::Duration;

use clipcore::StreamId;
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::host::{
    Host, HostMode, HostParts, RedisStreams, StreamFactory, StreamMake, StreamSettings, WorkerConfig,
};
use clipcore::log::{EventLog, RedisLog, RedisLogConfig, partition_of};
use clipcore::pipeline::{Pipeline, StreamSpec};

use crate::support::redis::Redis;

const PARTITIONS: u32 = 6;

async fn open(redis: &Redis, mode: HostMode) -> Host {
    let log = async |name: &str| {
        let config = RedisLogConfig {
            url: redis.url().parse().unwrap(),
            prefix: format!("shared:{name}"),
            partitions: PARTITIONS,
            ..RedisLogConfig::default()
        };
        let log: Arc<dyn EventLog> = Arc::new(RedisLog::open(config, Kinds::builtin()).await.unwrap());
        log
    };
    let fusion = FusionConfig::default().factory().unwrap();
    let factory: StreamFactory = Arc::new(move |stream: &StreamId, _: &StreamSettings| {
        let fusion = fusion.clone();
        let builder = Pipeline::builder().with_fusion(move |stream: &StreamId| fusion(stream));
        Ok(StreamMake::new(builder, StreamSpec::new(stream.clone())))
    });
    let store = RedisStreams::new(&redis.url().parse().unwrap(), "shared", Duration::from_secs(5)).unwrap();
    let parts = HostParts { mode, ..HostParts::new(log("inbox").await, log("log").await, factory) };
    Host::open_with(Arc::new(store), parts).await.unwrap()
}

fn worker() -> HostMode {
    HostMode::Worker(WorkerConfig { claim: Duration::from_millis(900), ..WorkerConfig::default() })
}

/// One stream for each partition.
fn streams() -> Vec<StreamId> {
    let named = |n: usize| StreamId::new(format!("s{n}")).unwrap();
    let of = |partition| (0..).map(named).find(|s| partition_of(s, PARTITIONS) == partition).unwrap();
    (0..PARTITIONS).map(of).collect()
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    for _ in 0..600 {
        if reached() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_evenly_but_for_recordings_and_take_over_what_is_left() {
    let Some(redis) = Redis::start("redis::workers::workers_share_evenly") else { return };
    let front = open(&redis, HostMode::Front).await;
    let all = streams();
    for (number, stream) in all.iter().enumerate() {
        // What has media stays where its recording is.
        let inputs = if number >= 4 { vec!["rtmp://camera/live".to_owned()] } else { Vec::new() };
        front.put(stream, StreamSettings { inputs, ..StreamSettings::default() }).await.unwrap();
    }
    let runs = |host: &Host| -> Vec<usize> {
        (0..all.len()).filter(|n| host.status(&all[*n]).is_some_and(|s| s.stats.is_some())).collect()
    };
    let one = open(&redis, worker()).await;
    until("all streams at the only worker", || runs(&one).len() == all.len()).await;
    let two = open(&redis, worker()).await;
    until("an even share", || runs(&one).len() == 3 && runs(&two).len() == 3).await;
    assert!(runs(&one).contains(&4) && runs(&one).contains(&5), "{:?}", runs(&one));

    one.drain().await;
    until("all streams at the one that is left", || runs(&two).len() == all.len()).await;
    two.drain().await;
    front.drain().await;
}
