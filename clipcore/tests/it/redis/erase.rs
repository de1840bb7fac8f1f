//! Streams and viewers that are to be gone from logs that processes share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clipcore::Consent;
use clipcore::clock::{ManualTimeSource, SystemTimeSource, TimeSource};
use clipcore::detector::MarkerDetector;
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::host::{Host, HostMode, HostParts, RedisStreams, StreamMake, StreamState, WorkerConfig};
use clipcore::log::{EventLog, RedisLog, RedisLogConfig, partition_of};
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::privacy::{ExpiryConfig, KeyRing, LiveFolder, Pseudonymizer, Rotation, SharedExpiry};
use clipcore::redis::RedisUrl;
use clipcore::{ErrorKind, StreamId};

use crate::support::redis::Redis;

async fn log(url: &RedisUrl, name: &str) -> Arc<dyn EventLog> {
    let config = RedisLogConfig {
        url: url.clone(),
        prefix: format!("test:{name}"),
        partitions: 2,
        ..RedisLogConfig::default()
    };
    Arc::new(RedisLog::open(config, Kinds::builtin()).await.unwrap())
}

async fn host(url: &RedisUrl, mode: HostMode) -> Host {
    host_in(url, mode, None).await
}

/// Keeps keys of pseudonyms in `dir`, where there is one.
async fn host_in(url: &RedisUrl, mode: HostMode, dir: Option<&Path>) -> Host {
    let fusion = FusionConfig::default().factory().unwrap();
    let factory = move |stream: &StreamId, _: &_| {
        let fusion = fusion.clone();
        let builder = Pipeline::builder()
            .with_fusion(move |stream| fusion(stream))
            .with_detector(|_| Ok(Box::new(MarkerDetector::default())));
        Ok(StreamMake::new(builder, StreamSpec::new(stream.clone())))
    };
    let parts = HostParts::new(log(url, "inbox").await, log(url, "log").await, Arc::new(factory));
    let streams = RedisStreams::new(url, "test", Duration::from_secs(5)).unwrap();
    let parts = HostParts {
        mode,
        consent: Consent::ALL,
        folder: dir.map(|dir| LiveFolder::new(dir, Vec::new())),
        pseudonyms: dir.map(|dir| Pseudonymizer::rotating(KeyRing::new(dir.join("keys"), Rotation::Day))),
        ..parts
    };
    Host::open_with(Arc::new(streams), parts).await.unwrap()
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
    let refused = worker.erase_viewer("twitch", "ann").await.unwrap_err();
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

async fn say(front: &Host, stream: &StreamId, id: &str, user: &str, words: &str) {
    let json = format!(
        r#"{{"type":"chat.message","id":"{id}","source":"twitch:irc","data":{{"user":"{user}","text":"{words}"}}}}"#
    );
    let event = Kinds::builtin().parse(json.as_bytes()).unwrap();
    assert!(front.accept(stream, vec![event]).await.unwrap()[0].is_none());
}

/// Chat messages of a stream, id to user.
async fn said(front: &Host, stream: &StreamId) -> Vec<(String, String)> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let (events, next) = front.events(stream, from, 1000).await.unwrap();
        for (_, event) in &events {
            if let Some(message) = event.payload::<clipcore::event::ChatMessage>() {
                all.push((event.header().id.to_string(), message.user.to_string()));
            }
        }
        if next == from {
            return all;
        }
        from = next;
    }
}

/// The files of a server that has just rewritten them.
fn files(redis: &Redis) -> String {
    redis.cli(&["BGREWRITEAOF"]);
    while !redis.cli(&["INFO", "persistence"]).contains("aof_rewrite_in_progress:0") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let dir = redis.cli(&["CONFIG", "GET", "dir"]).lines().last().unwrap().to_owned();
    let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let list = std::fs::read_dir(Path::new(&dir).join("appendonlydir")).unwrap();
    list.map(|entry| read(&entry.unwrap().path())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_taken_out_of_streams_that_workers_go_on_with() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always", "--rdbcompression", "no"];
    let name = "a_viewer_is_taken_out_of_streams_that_workers_go_on_with";
    let Some(redis) = Redis::start_with(name, &durable) else { return };
    let url: RedisUrl = redis.url().parse().unwrap();
    let mode = || HostMode::Worker(WorkerConfig { claim: Duration::from_secs(3), ..WorkerConfig::default() });
    let workers = [host(&url, mode()).await, host(&url, mode()).await];
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let front = host_in(&url, HostMode::Front, Some(dirs[0].path())).await;
    let other = host_in(&url, HostMode::Front, Some(dirs[1].path())).await;
    let named = |partition| {
        (0..).map(|n| StreamId::new(format!("s{n}")).unwrap()).find(|s| partition_of(s, 2) == partition)
    };
    let streams: Vec<StreamId> = (0..2).filter_map(named).collect();
    let owners =
        || [0, 1].map(|partition| redis.cli(&["HGET", &format!("{{test:log:{partition}}}:log"), "owner"]));
    while owners()[0] == owners()[1] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Bob goes on talking all the while.
    let stop = Arc::new(AtomicBool::new(false));
    let talking = streams.iter().map(|stream| {
        let (front, stop, stream) = (front.clone(), stop.clone(), stream.clone());
        tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                say(&front, &stream, &format!("bob-{count}"), "bob", "quixotic").await;
                count += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            count
        })
    });
    let talking: Vec<_> = talking.collect();
    for n in 0..20 {
        say(&front, &streams[0], &format!("ann-{n}"), "ann", "zanzibar").await;
        say(&other, &streams[1], &format!("ann-{n}"), "ann", "gazebo").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for stream in &streams {
        while said(&front, stream).await.iter().filter(|(id, _)| id.starts_with("ann-")).count() < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let users: HashMap<String, String> = said(&front, &streams[0]).await.into_iter().collect();
    let pseudonym = users["ann-0"].clone();
    let before = owners();

    let erased = front.erase_viewer("kick", "ann").await.unwrap();
    assert_eq!((erased.records, erased.checkpoints), (0, 0), "another ann is meant");
    // Something of hers is in the memory of the worker, on its way into the log.
    say(&front, &streams[0], "ann-last", "ann", "zanzibar").await;
    let erased = front.erase_viewer("twitch", "ann").await.unwrap();
    assert!(erased.records >= 40, "as many in the inbox as in the log: {erased:?}");
    let there = std::path::absolute(dirs[1].path()).unwrap().display().to_string();
    assert!(erased.unreached.len() == 1 && erased.unreached[0].ends_with(&there), "{erased:?}");
    for text in ["zanzibar", &pseudonym] {
        assert!(!dump(&redis).contains(text), "{text}");
    }
    assert!(dump(&redis).contains("gazebo"), "what was said under the other gateway's keys is there yet");
    assert!(other.erase_viewer("twitch", "ann").await.unwrap().records >= 40);
    let again = front.erase_viewer("twitch", "ann").await.unwrap();
    assert_eq!((again.records, again.checkpoints), (0, 0));

    stop.store(true, Ordering::SeqCst);
    let mut counts = Vec::new();
    for talking in talking {
        counts.push(talking.await.unwrap());
    }
    for ((stream, count), anns) in streams.iter().zip(&counts).zip([21, 20]) {
        front.end(stream).await.unwrap();
        until(&front, stream, StreamState::Ended).await;
        // A stream that begins anew may log again what it had, under the same id: that counts once.
        let all: HashMap<String, String> = said(&front, stream).await.into_iter().collect();
        let bobs = all.keys().filter(|id| id.starts_with("bob-")).count();
        assert_eq!(bobs, *count, "what was acknowledged is there");
        assert_eq!(all.len(), count + anns, "and what ann said counts once, without words and name");
    }
    assert_eq!(owners(), before, "the workers have what they had");
    let left = dump(&redis) + &files(&redis);
    assert!(left.contains("quixotic"));
    for text in ["zanzibar", "gazebo", "ann-", &pseudonym] {
        assert!(!left.contains(text), "{text} was written again, or was never gone");
    }
    for host in [front, other].iter().chain(&workers) {
        host.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_too_old_go_from_what_processes_share() {
    let Some(redis) = Redis::start("words_that_are_too_old_go_from_what_processes_share") else { return };
    let url: RedisUrl = redis.url().parse().unwrap();
    let worker = host(&url, HostMode::Worker(WorkerConfig::default())).await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let front = host_in(&url, HostMode::Front, Some(dirs[0].path())).await;
    let stream = StreamId::new("show").unwrap();
    for n in 0..10 {
        say(&front, &stream, &format!("m{n}"), "ann", &format!("zanzibar {n}")).await;
    }
    let back = r#"{"type":"chat.delete","data":{"message":"m7"}}"#;
    front.accept(&stream, vec![Kinds::builtin().parse(back.as_bytes()).unwrap()]).await.unwrap();
    while said(&front, &stream).await.len() < 10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    front.end(&stream).await.unwrap();
    until(&front, &stream, StreamState::Ended).await;

    let time = Arc::new(ManualTimeSource::new(SystemTimeSource::new().wall()));
    let (day, span) = (Duration::from_secs(86_400), Duration::from_secs(1));
    let expiry = async |dir: usize| {
        let (inbox, logs, turn) =
            (log(&url, "inbox").await, log(&url, "log").await, log(&url, "expiry").await);
        let config = ExpiryConfig { text_retain: day, key_retain: 30 * day };
        SharedExpiry::new(dirs[dir].path(), vec![inbox, logs], turn, config, time.clone())
    };
    let [one, other] = [expiry(0).await, expiry(1).await];
    assert_eq!(one.pass(span).await.unwrap().records, 2, "what was taken back, in both logs");
    assert!(!dump(&redis).contains("zanzibar 7") && dump(&redis).contains("zanzibar 6"));
    time.advance(day / 2);
    assert_eq!(one.pass(span).await.unwrap(), Default::default(), "nothing is old yet");
    time.advance(day / 2 + Duration::from_secs(60));
    assert_eq!(other.pass(span).await.unwrap(), Default::default(), "one at a time");
    let erased = one.pass(span).await.unwrap();
    assert_eq!((erased.records, erased.keys), (18, 0));
    assert!(!dump(&redis).contains("zanzibar"));
    assert_eq!(said(&front, &stream).await.len(), 10);
    tokio::time::sleep(span).await;
    time.advance(30 * day);
    assert_eq!(other.pass(span).await.unwrap(), Default::default(), "another goes on when one has died");
    assert_eq!(one.pass(span).await.unwrap().keys, 1, "its own keys each takes out itself");
    front.drain().await;
    worker.drain().await;
}
