//! Moments and clips in Redis Streams.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clipcore::ErrorKind;
use clipcore::conformance::sink as kit;
use clipcore::fusion::Moment;
use clipcore::sink::layer::RetryConfig;
use clipcore::sink::{ClipSink, Delivery, RedisSink, RedisSinkConfig, SinkExt};
use serde::Deserialize;

use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

fn config(url: &str, prefix: &str) -> RedisSinkConfig {
    RedisSinkConfig { url: url.parse().unwrap(), prefix: prefix.to_owned(), ..RedisSinkConfig::default() }
}

/// How many entries the streams under `prefix` hold.
fn entries(redis: &Redis, prefix: &str) -> usize {
    let keys = redis.cli(&["KEYS", &format!("{{{prefix}:*}}:*s")]);
    keys.lines()
        .filter(|k| !k.is_empty())
        .map(|key| redis.cli(&["XLEN", key]).parse::<usize>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(redis) = Redis::start("redis::sink::conforms") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let number = AtomicU32::new(0);
    let make = async || {
        number.fetch_add(1, Ordering::Relaxed);
        RedisSink::new(config(&redis.url(), &format!("t{}", number.load(Ordering::Relaxed))))
    };
    let effects = async |_: &RedisSink| entries(&redis, &format!("t{}", number.load(Ordering::Relaxed)));
    kit::sink(make, effects, file.path()).await;
    let open = async || RedisSink::new(config(&redis.url(), "again"));
    kit::sink_reopened(open, async |_| entries(&redis, "again"), file.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_missed_word_of_an_entry_finds_it_by_its_id() {
    let Some(redis) = Redis::start("redis::sink::who_missed_word_of_an_entry_finds_it_by_its_id") else {
        return;
    };
    let client = redis::Client::open(redis.url()).unwrap();
    let mut heard = client.get_async_pubsub().await.unwrap();
    heard.subscribe("live:s1").await.unwrap();
    let sink = RedisSink::new(config(&redis.url(), "clipcore")).unwrap();
    let item = kit::moment("s1", "m1", 3);
    let receipt = sink.deliver(&item).await.unwrap();
    let message = futures::StreamExt::next(&mut heard.on_message()).await.unwrap();
    let message: serde_json::Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
    let entry = message["clipcore"].as_str().unwrap();
    assert_eq!(receipt.location.unwrap(), format!("{{clipcore:s1}}:moments {entry}"));
    assert_eq!(message["type"], "clipcore.moment");
    let stored = redis.cli(&["XRANGE", "{clipcore:s1}:moments", entry, entry]);
    let stored: serde_json::Value = serde_json::from_str(stored.lines().nth(2).unwrap()).unwrap();
    assert_eq!(stored["data"], message["data"]);
    let Delivery::Moment(moment) = item else { unreachable!() };
    assert_eq!(Moment::deserialize(&stored["data"]).unwrap(), moment);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_outlast_an_outage_and_lost_answers_once_each() {
    let Some(mut redis) =
        Redis::start("redis::sink::deliveries_outlast_an_outage_and_lost_answers_once_each")
    else {
        return;
    };
    let proxy = Proxy::new(redis.port());
    let url = format!("redis://127.0.0.1:{}", proxy.port);
    let config = RedisSinkConfig { timeout: Duration::from_millis(300), ..config(&url, "out") };
    let quick = RetryConfig { attempts: 100, max: Duration::from_millis(200), ..RetryConfig::default() };
    let sink = RedisSink::new(config.clone()).unwrap().with_retry(quick);
    sink.check().await.unwrap();
    let deliver = async {
        for rev in 1..=40 {
            sink.deliver(&kit::moment("s1", "m", rev)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let disturb = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.lose_answers();
        tokio::time::sleep(Duration::from_millis(400)).await;
        proxy.mend();
        tokio::time::sleep(Duration::from_millis(100)).await;
        redis.stop();
        tokio::time::sleep(Duration::from_millis(400)).await;
        redis.resume();
    };
    futures::join!(deliver, disturb);
    assert_eq!(entries(&redis, "out"), 40);

    proxy.refuse();
    let error = RedisSink::new(config).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("redis-cli"), "{error}");
}
