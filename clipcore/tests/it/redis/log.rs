//! The log in Redis Streams: its contract, crashes of the server, lost answers, servers that are not fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clipcore::conformance::log as kit;
use clipcore::event::Kinds;
use clipcore::log::{Checkpoint, EventLog, RedisDurability, RedisLog, RedisLogConfig};
use clipcore::{ErrorKind, Result};
use serde_json::json;

use crate::log_writers::{Writers, ids};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

fn config(port: u16, prefix: &str) -> RedisLogConfig {
    RedisLogConfig {
        url: format!("redis://127.0.0.1:{port}").parse().unwrap(),
        prefix: prefix.to_owned(),
        ..RedisLogConfig::default()
    }
}

async fn open(config: &RedisLogConfig) -> Result<RedisLog> {
    RedisLog::open(config.clone(), Kinds::builtin()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(redis) = Redis::start("redis::log::conforms") else { return };
    let number = AtomicU32::new(0);
    let fresh = || format!("test:{}", number.fetch_add(1, Ordering::Relaxed));
    kit::log(async || open(&RedisLogConfig { partitions: 3, ..config(redis.port(), &fresh()) }).await).await;
    let same = config(redis.port(), &fresh());
    kit::log_reopened(async || open(&same).await).await;
    let same = config(redis.port(), &fresh());
    kit::log_shared(async || open(&same).await).await;
    let same = config(redis.port(), &fresh());
    kit::log_claimed(async || open(&same).await, Duration::from_millis(600), tokio::time::sleep).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_double_nothing() {
    let Some(redis) = Redis::start("redis::log::answers_that_are_lost_double_nothing") else { return };
    let proxy = Proxy::new(redis.port());
    let config = RedisLogConfig { timeout: Duration::from_millis(400), ..config(proxy.port, "cut") };
    let log = open(&config).await.unwrap();
    kit::log_interrupted(&log, async || proxy.lose_answers(), async || proxy.mend()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_server_is_killed() {
    let Some(mut redis) = Redis::start("redis::log::nothing_is_lost_or_doubled_when_the_server_is_killed")
    else {
        return;
    };
    let config = RedisLogConfig { timeout: Duration::from_secs(2), ..config(redis.port(), "kill") };
    let log = Arc::new(open(&config).await.unwrap());
    let lease = log.acquire(0, "owner").await.unwrap();
    let writers = Writers::start(&log, 4);
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        log.checkpoint(&lease, "c", &Checkpoint { next: round, state: json!(round) }).await.unwrap();
        redis.stop();
        tokio::time::sleep(Duration::from_millis(100)).await;
        redis.resume();
        assert_eq!(log.last_checkpoint(0, "c").await.unwrap().map(|c| c.next), Some(round));
    }
    writers.compare(&*log, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_connections_break() {
    let Some(redis) = Redis::start("redis::log::nothing_is_lost_or_doubled_when_connections_break") else {
        return;
    };
    let proxy = Proxy::new(redis.port());
    let config = RedisLogConfig { timeout: Duration::from_secs(1), ..config(proxy.port, "break") };
    let log = Arc::new(open(&config).await.unwrap());
    let writers = Writers::start(&log, 4);
    for pause in [13, 57, 31, 97, 44, 71, 22, 88, 5, 63] {
        for how in [Proxy::drop_all, Proxy::lose_answers, Proxy::mend] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            how(&proxy);
        }
    }
    writers.compare(&*log, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_is_an_error_in_time() {
    let Some(mut redis) = Redis::start("redis::log::a_server_that_stays_away_is_an_error_in_time") else {
        return;
    };
    let config = RedisLogConfig { timeout: Duration::from_millis(300), ..config(redis.port(), "away") };
    let log = open(&config).await.unwrap();
    redis.stop();
    let lease = clipcore::log::Lease { partition: 0, token: 1 };
    let checkpoint = Checkpoint { next: 1, state: json!(1) };
    for error in [
        log.append(0, &[kit::marker("a")]).await.unwrap_err(),
        log.read(0, 0, 1).await.unwrap_err(),
        log.acquire(0, "x").await.unwrap_err(),
        log.checkpoint(&lease, "c", &checkpoint).await.unwrap_err(),
        log.trim(0, 1).await.unwrap_err(),
        log.trimmed(0).await.unwrap_err(),
        log.within(0, 1).await.unwrap_err(),
        open(&config).await.unwrap_err(),
    ] {
        assert!(error.is_retryable() && error.kind() == ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains(&redis.port().to_string()) && text.contains("redis-cli"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_the_log_is_found_out() {
    let Some(redis) = Redis::start("redis::log::a_server_that_lost_the_log_is_found_out") else { return };
    let log = open(&config(redis.port(), "lost")).await.unwrap();
    log.append(0, &[kit::marker("a")]).await.unwrap();
    let lease = log.acquire(0, "x").await.unwrap();
    redis.cli(&["FLUSHALL"]);
    let error = log.append(0, &[kit::marker("b")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!error.is_retryable());
    let checkpoint = Checkpoint { next: 1, state: json!(1) };
    assert_eq!(log.checkpoint(&lease, "c", &checkpoint).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(log.acquire(0, "x").await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_would_lose_records_are_refused() {
    let args = ["--appendonly", "no", "--requirepass", "hush"];
    let Some(redis) = Redis::start_with("redis::log::servers_that_would_lose_records_are_refused", &args)
    else {
        return;
    };
    let set = |name: &str, value: &str| {
        redis.cli(&["-a", "hush", "--no-auth-warning", "CONFIG", "SET", name, value])
    };
    let good = RedisLogConfig {
        url: format!("redis://:hush@127.0.0.1:{}", redis.port()).parse().unwrap(),
        ..config(redis.port(), "fit")
    };
    let refused = async |config: &RedisLogConfig| {
        let error = open(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
        error.to_string()
    };
    assert!(refused(&config(redis.port(), "fit")).await.contains("refused user or password"));
    assert!(refused(&good).await.contains("appendonly yes"));
    open(&RedisLogConfig { durability: RedisDurability::Any, ..good.clone() }).await.unwrap();
    set("appendonly", "yes");
    set("appendfsync", "everysec");
    assert!(refused(&good).await.contains("appendfsync always"));
    open(&RedisLogConfig { durability: RedisDurability::EverySec, ..good.clone() }).await.unwrap();
    set("appendfsync", "always");
    open(&good).await.unwrap();
    set("maxmemory", "1gb");
    set("maxmemory-policy", "allkeys-lru");
    assert!(refused(&good).await.contains("noeviction"));
    assert!(refused(&RedisLogConfig { prefix: "a{b".to_owned(), ..good }).await.contains("prefix"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_takes_nothing_in_and_goes_on_after_a_trim() {
    let Some(redis) = Redis::start("redis::log::a_full_server_takes_nothing_in_and_goes_on_after_a_trim")
    else {
        return;
    };
    let log = open(&config(redis.port(), "full")).await.unwrap();
    let kept = log.append(0, &[kit::marker("kept"), kit::marker("trimmed")]).await.unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = log.append(0, &[kit::marker("c"), kit::marker("d")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(error.is_retryable() && error.to_string().contains("maxmemory"), "{error}");
    assert_eq!(ids(&log).await, ["kept", "trimmed"]);
    log.trim(0, kept + 1).await.unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    log.append(0, &[kit::marker("c"), kit::marker("d")]).await.unwrap();
    assert_eq!(ids(&log).await, ["trimmed", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trimming_and_sizes_hold_over_many_records() {
    let Some(redis) = Redis::start("redis::log::trimming_and_sizes_hold_over_many_records") else { return };
    let log = open(&config(redis.port(), "many")).await.unwrap();
    let records: Vec<_> = (0..1000).map(|i| kit::marker(&format!("{i:04}"))).collect();
    let each = records[0].to_json().unwrap().len() as u64;
    for chunk in records.chunks(10) {
        log.append(0, chunk).await.unwrap();
    }
    for keep in [0, 1, 250, 500, 999] {
        let from = log.within(0, keep * each).await.unwrap();
        let kept = 1001 - from;
        assert!(kept <= keep && kept + 300 > keep, "{keep} records fit, {kept} are kept");
    }
    assert_eq!(log.within(0, 1000 * each).await.unwrap(), 0);
    log.trim(0, 701).await.unwrap();
    assert_eq!(log.trimmed(0).await.unwrap(), 701);
    assert_eq!(ids(&log).await[0], "0700");
    assert!(log.within(0, 300 * each).await.unwrap() > 701, "the index is coarse, but never too generous");
    assert!(log.within(0, 700 * each).await.unwrap() <= 701, "there is room for all that is kept");
    log.trim(0, 5000).await.unwrap();
    assert_eq!(log.trimmed(0).await.unwrap(), 1001);
    assert_eq!(log.append(0, &records[..1]).await.unwrap(), 1001);
}
