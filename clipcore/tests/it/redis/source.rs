//! Events from pub/sub, as people's relays publish them.

use std::time::Duration;

use clipcore::StreamId;
use clipcore::conformance::sink as kit;
use clipcore::event::{ChatMessage, ChatSpike, Kinds};
use clipcore::sink::{ClipSink, RedisSink, RedisSinkConfig};
use clipcore::source::redis::{Published, RedisSubscriber};
use clipcore::source::{Item, RedisSource, RedisSourceConfig, Source, SourceOutput};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::redis::Redis;

struct Running {
    items: mpsc::Receiver<Item>,
    stop: CancellationToken,
    task: JoinHandle<clipcore::Result<()>>,
}

/// A source of stream `s1`, subscribed.
async fn start(redis: &Redis, channels: &str) -> Running {
    let (tx, items) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let out = SourceOutput::new(StreamId::new("s1").unwrap(), tx, stop.clone());
    let config = RedisSourceConfig { url: redis.url().parse().unwrap(), channels: channels.parse().unwrap() };
    let source = RedisSource::new(config, Kinds::builtin());
    let task = tokio::spawn(Box::new(source).run(out));
    subscribed(redis, &channels.replace("{stream_id}", "s1")).await;
    Running { items, stop, task }
}

async fn subscribed(redis: &Redis, channel: &str) {
    for _ in 0..200 {
        if redis.cli(&["PUBSUB", "NUMSUB", channel]).ends_with('1') {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody subscribes to {channel}");
}

async fn next(running: &mut Running) -> Item {
    let item = tokio::time::timeout(Duration::from_secs(10), running.items.recv()).await;
    item.expect("an item comes").expect("the source goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_in_what_relays_publish_but_nothing_of_its_own() {
    let Some(redis) = Redis::start("redis::source::takes_in_what_relays_publish_but_nothing_of_its_own")
    else {
        return;
    };
    let mut running = start(&redis, "live:{stream_id}").await;
    let say = |json: &str| redis.cli(&["PUBLISH", "live:s1", json]);

    say(r#"{"type":"chat.message","at":12.5,"data":{"user":"u","text":"hi"}}"#);
    let Item::Event(event) = next(&mut running).await else { panic!("no event") };
    assert_eq!((event.stream().as_str(), event.at().as_secs_f64()), ("s1", 12.5));
    assert!(event.payload::<ChatMessage>().is_some());

    // Without a time: of the instant at which it came.
    say(r#"{"type":"chat_spike","data":{"rate":9}}"#);
    let Item::Incoming(incoming) = next(&mut running).await else { panic!("not incoming") };
    assert!(incoming.time().is_some());
    let event = incoming.resolve(&mut |_| Some(clipcore::Timestamp::ZERO)).unwrap();
    assert_eq!(event.payload::<ChatSpike>().map(|s| s.rate), Some(9.0));

    let cloud = r#"{"specversion":"1.0","id":"7","source":"x","type":"marker","subject":"s1",
        "time":"2026-11-23T01:02:03.456Z","data":{"label":"ace"}}"#;
    say(cloud);
    let Item::Incoming(incoming) = next(&mut running).await else { panic!("not incoming") };
    assert_eq!(incoming.time().unwrap().to_string(), "2026-11-23T01:02:03.456Z");

    say("nonsense");
    let Item::Bad(error) = next(&mut running).await else { panic!("not bad") };
    assert!(error.to_string().contains("channel: live:s1"), "{error}");

    let config = RedisSinkConfig { url: redis.url().parse().unwrap(), ..RedisSinkConfig::default() };
    let sink = RedisSink::new(config).unwrap();
    for rev in 1..=3 {
        sink.deliver(&kit::moment("s1", "m", rev)).await.unwrap();
    }
    say(r#"{"type":"chat.message","clipcore":"gateway","at":1,"data":{"user":"u"}}"#);
    say(r#"{"type":"marker","at":99,"data":{}}"#);
    let Item::Event(event) = next(&mut running).await else { panic!("clipcore heard itself") };
    assert_eq!(event.at().as_secs_f64(), 99.0);

    running.stop.cancel();
    running.task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_told_and_made_again() {
    let Some(mut redis) = Redis::start("redis::source::a_lost_connection_is_told_and_made_again") else {
        return;
    };
    let mut running = start(&redis, "events/{stream_id}/in").await;
    redis.stop();
    let Item::Notice(text) = next(&mut running).await else { panic!("no notice") };
    assert!(text.contains("lost the connection") && text.contains(&redis.port().to_string()), "{text}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis.resume();
    let Item::Notice(text) = next(&mut running).await else { panic!("no notice") };
    assert!(text.contains("again"), "{text}");
    subscribed(&redis, "events/s1/in").await;
    redis.cli(&["PUBLISH", "events/s1/in", r#"{"type":"marker","at":5,"data":{}}"#]);
    assert!(matches!(next(&mut running).await, Item::Event(_)));
    redis.stop();
    assert!(matches!(next(&mut running).await, Item::Notice(_)));
    running.stop.cancel();
    running.task.await.unwrap().unwrap();
}

/// A pipeline that takes nothing costs messages and says how many, never memory.
#[tokio::test(flavor = "multi_thread")]
async fn messages_for_a_pipeline_that_is_behind_are_counted() {
    let Some(redis) = Redis::start("redis::source::messages_for_a_pipeline_that_is_behind_are_counted")
    else {
        return;
    };
    let mut running = start(&redis, "live:{stream_id}").await;
    let sent = 20_000;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut pipe = redis::pipe();
    for at in 0..sent {
        pipe.cmd("PUBLISH")
            .arg("live:s1")
            .arg(format!(r#"{{"type":"marker","at":{at},"data":{{}}}}"#))
            .ignore();
    }
    pipe.query_async::<()>(&mut connection).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut events, mut lost) = (0, 0);
    while events + lost < sent {
        match next(&mut running).await {
            Item::Event(_) => events += 1,
            Item::Notice(text) => lost += text.split(' ').next().unwrap().parse::<usize>().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events + lost, sent);
    assert!(lost > 10_000 && events > 4000, "{events} came, {lost} were lost");
    running.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_subscriber_hears_many_streams() {
    let Some(redis) = Redis::start("redis::source::one_subscriber_hears_many_streams") else { return };
    let (tx, mut rx) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let config = RedisSourceConfig { url: redis.url().parse().unwrap(), ..RedisSourceConfig::default() };
    let subscriber = RedisSubscriber::new(config, Kinds::builtin());
    let task = tokio::spawn({
        let stop = stop.clone();
        async move { subscriber.run(tx, &stop).await }
    });
    while redis.cli(&["PUBSUB", "NUMPAT"]) != "1" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for stream in ["a", "b"] {
        redis.cli(&["PUBLISH", &format!("live:{stream}"), r#"{"type":"marker","at":1,"data":{}}"#]);
        let Some(Published::Event { stream: heard, event }) = rx.recv().await else { panic!("no event") };
        assert_eq!((heard.as_str(), event.stream()), (stream, Some(&heard)));
    }
    redis.cli(&["PUBLISH", "live:../etc", r#"{"type":"marker","at":1,"data":{}}"#]);
    assert!(matches!(rx.recv().await, Some(Published::Bad(_))));
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_ends_the_source() {
    let args = ["--requirepass", "hush"];
    let Some(redis) = Redis::start_with("redis::source::a_refused_password_ends_the_source", &args) else {
        return;
    };
    let (tx, _rx) = mpsc::channel(1);
    let out = SourceOutput::new(StreamId::new("s1").unwrap(), tx, CancellationToken::new());
    let config = RedisSourceConfig { url: redis.url().parse().unwrap(), ..RedisSourceConfig::default() };
    let source = RedisSource::new(config, Kinds::builtin());
    let error = Box::new(source).run(out).await.unwrap_err();
    assert_eq!(error.kind(), clipcore::ErrorKind::Config, "{error}");
}
