//! Checks of the [`EventLog`] contract.
//!
//! ```
//! use clipcore::conformance::log as kit;
//! use clipcore::log::MemoryLog;
//!
//! futures::executor::block_on(kit::log(async || Ok(MemoryLog::new(2))));
//! ```

mod servers;

use std::sync::Arc;

use futures::future::join_all;
use serde_json::json;
pub use servers::{log_claimed, log_interrupted, log_shared};

use crate::event::media::AudioWindow;
use crate::event::{AnyEvent, Header, Marker, Stamped};
use crate::log::{Checkpoint, EventLog, Offset, Record, RewriteRecord, RewriteState};
use crate::{ErrorKind, Result, StreamId, Timestamp};

/// A small record with the id `id`, on the stream `conformance`.
pub fn marker(id: &str) -> Record {
    let header = header(id);
    Record::Event(AnyEvent::wire(Stamped::new(header, Marker { label: Some(id.into()), by: None })))
}

#[allow(clippy::expect_used)] // the name is constant and valid
fn header(id: &str) -> Header {
    Header::new(StreamId::new("conformance").expect("valid name"), Timestamp::from_secs(1), "conformance", id)
}

/// The id of a record that [`marker`] made.
fn id(record: &Record) -> String {
    match record {
        Record::Event(event) => event.header().id.to_string(),
        other => panic!("the log gave back {other:?}, which nobody appended"),
    }
}

fn done<T>(what: &str, result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{what} failed: {e}"))
}

/// Everything in a partition, read `step` records at a time.
async fn read_all(log: &impl EventLog, partition: u32, step: usize) -> Vec<(Offset, Record)> {
    let mut all: Vec<(Offset, Record)> = Vec::new();
    loop {
        let from = all.last().map_or(0, |(offset, _)| offset + 1);
        let some = done("read", log.read(partition, from, step).await);
        if some.is_empty() {
            return all;
        }
        assert!(some.len() <= step, "read gave {} records where {step} were asked for", some.len());
        for (offset, record) in some {
            assert!(
                offset >= from && all.last().is_none_or(|(last, _)| offset > *last),
                "offsets do not rise: {offset} after {:?}",
                all.last().map(|(last, _)| last)
            );
            all.push((offset, record));
        }
    }
}

/// Runs all checks that need no reopening; `make` gives a fresh, empty log with each call.
///
/// # Panics
/// Where the log breaks its contract, and where `make` fails.
pub async fn log<L: EventLog>(make: impl AsyncFn() -> Result<L>) {
    appends_are_read_back_in_order(&done("make", make().await)).await;
    concurrent_appends_are_all_kept(&done("make", make().await)).await;
    partitions_are_apart(&done("make", make().await)).await;
    refused_records_leave_nothing(&done("make", make().await)).await;
    leases_fence(&done("make", make().await)).await;
    trimming_keeps_what_it_must(&done("make", make().await)).await;
    streams_are_read_apart(&done("make", make().await)).await;
    rewriting_changes_what_it_is_told_to(&done("make", make().await)).await;
    rewriting_loses_nothing_that_comes_meanwhile(&done("make", make().await)).await;
}

/// A log whose records stay says so.
async fn rewriting_changes_what_it_is_told_to(log: &impl EventLog) {
    for call in 0..10 {
        let records: Vec<_> = (0..3).map(|n| marker(&format!("secret-{call}-{n}"))).collect();
        done("append", log.append(0, &records).await);
    }
    let before = read_all(log, 0, 7).await;
    let change: RewriteRecord = Arc::new(|json: &[u8]| {
        let json = std::str::from_utf8(json).ok()?;
        json.contains("-1\"").then(|| json.replace("secret", "gone"))
    });
    match log.rewrite(0, change.clone()).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        rewritten => assert_eq!(done("rewrite", rewritten), 10, "rewrite said another number"),
    }
    let after = read_all(log, 0, 4).await;
    let kept = |(offset, record): &(Offset, Record)| (*offset, id(record));
    let stays = |(_, id): &(Offset, String)| !id.ends_with("-1");
    assert_eq!(
        after.iter().map(kept).filter(stays).collect::<Vec<_>>(),
        before.iter().map(kept).filter(stays).collect::<Vec<_>>(),
        "records that were to stay are others"
    );
    let all = after.iter().map(|(_, record)| done("to_json", record.to_json()));
    let left = all.into_iter().find(|json| json.contains("secret") && json.contains("-1\""));
    assert_eq!(left, None, "what was to go is there");
    let next = done("append after a rewrite", log.append(0, &[marker("after")]).await);
    let last = read_all(log, 0, 100).await.pop().map(|found| kept(&found));
    assert_eq!(last, Some((next, "after".to_owned())));

    let lease = done("acquire", log.acquire(0, "x").await);
    for consumer in ["goes", "changes", "stays"] {
        let checkpoint = Checkpoint { next: 3, state: json!("secret") };
        done("checkpoint", log.checkpoint(&lease, consumer, &checkpoint).await);
    }
    let change: RewriteState = Arc::new(|consumer: &str, state: &serde_json::Value| match consumer {
        "goes" => Some(None),
        "changes" if *state == json!("secret") => Some(Some(json!("gone"))),
        _ => None,
    });
    assert_eq!(done("rewrite_checkpoints", log.rewrite_checkpoints(0, change).await), 2);
    for (consumer, state) in [("goes", None), ("changes", Some("gone")), ("stays", Some("secret"))] {
        let found = done("last_checkpoint", log.last_checkpoint(0, consumer).await);
        let expected = state.map(|state| Checkpoint { next: 3, state: json!(state) });
        assert_eq!(found, expected, "the checkpoint of {consumer}");
    }
}

/// Appends, trims, checkpoints and another rewriting beside it.
async fn rewriting_loses_nothing_that_comes_meanwhile(log: &impl EventLog) {
    let (before, during) = (2500, 300);
    for chunk in 0..before / 100 {
        let records: Vec<_> = (0..100).map(|n| marker(&format!("secret-{}", 100 * chunk + n))).collect();
        done("append", log.append(0, &records).await);
    }
    let lease = done("acquire", log.acquire(0, "x").await);
    let state = |next: u64| Checkpoint { next, state: json!({"secret": true, "next": next}) };
    done("checkpoint", log.checkpoint(&lease, "c", &state(0)).await);
    let which = |json: &[u8], rest: usize| {
        let json = std::str::from_utf8(json).ok()?;
        let number: usize = json.split_once("secret-")?.1.split('"').next()?.parse().ok()?;
        (number % 3 == rest).then(|| json.replace("secret", "gone"))
    };
    let (one, other): (RewriteRecord, RewriteRecord) =
        (Arc::new(move |json| which(json, 0)), Arc::new(move |json| which(json, 1)));
    let states: RewriteState = Arc::new(|_, state| {
        (state["secret"] == true).then(|| Some(json!({"secret": false, "next": state["next"]})))
    });
    let append = async {
        let mut offsets = Vec::new();
        for call in 0..during {
            offsets.push(done("append", log.append(0, &[marker(&format!("new-{call}"))]).await));
            if call == during / 2 {
                done("trim", log.trim(0, offsets[0].min(500)).await);
            }
        }
        offsets
    };
    let store = async {
        for next in 1..100 {
            done("checkpoint", log.checkpoint(&lease, "c", &state(next)).await);
        }
    };
    let rewrites = async {
        match log.rewrite(0, one).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => false,
            rewritten => {
                done("rewrite", rewritten);
                true
            }
        }
    };
    let (offsets, (), can, second, _) = futures::join!(
        append,
        store,
        rewrites,
        log.rewrite(0, other),
        log.rewrite_checkpoints(0, states.clone())
    );
    if !can {
        return;
    }
    done("a second rewrite beside the first", second);
    let all: Vec<_> =
        read_all(log, 0, 1000).await.into_iter().map(|(offset, record)| (offset, id(&record))).collect();
    let new: Vec<_> = all.iter().filter(|(_, id)| id.starts_with("new-")).cloned().collect();
    let sent: Vec<_> = offsets.into_iter().enumerate().map(|(n, o)| (o, format!("new-{n}"))).collect();
    assert_eq!(new, sent, "what was appended during a rewrite was lost, doubled or moved");
    for (_, id) in &all {
        let number = id.strip_prefix("secret-").and_then(|number| number.parse::<usize>().ok());
        assert!(number.is_none_or(|number| number % 3 == 2), "{id} was to go");
    }
    let kept = (0..before).filter(|n| n % 3 == 2).map(|n| format!("secret-{n}")).collect::<Vec<_>>();
    let left: Vec<_> = all.iter().map(|(_, id)| id).filter(|id| id.starts_with("secret-")).collect();
    assert!(kept.iter().rev().zip(left.iter().rev()).all(|(kept, left)| kept == *left));
    assert!(left.len() >= (before - 600) / 3, "a rewrite lost what it was to leave");
    let last = done("last_checkpoint", log.last_checkpoint(0, "c").await);
    assert_eq!(last.map(|c| c.next), Some(99), "a rewrite put an older checkpoint in a newer one's place");
    done("rewrite_checkpoints", log.rewrite_checkpoints(0, states).await);
    let last = done("last_checkpoint", log.last_checkpoint(0, "c").await);
    assert_eq!(last, Some(Checkpoint { next: 99, state: json!({"secret": false, "next": 99}) }));
}

async fn appends_are_read_back_in_order(log: &impl EventLog) {
    assert!(log.partitions() >= 1, "a log has at least one partition");
    assert!(done("read of an empty log", log.read(0, 0, 10).await).is_empty(), "a new log is not empty");
    let mut first = Vec::new();
    for call in 0..20 {
        let records: Vec<_> = (0..=call % 3).map(|i| marker(&format!("{call}-{i}"))).collect();
        first.push((done("append", log.append(0, &records).await), records));
        done("append of nothing", log.append(0, &[]).await);
    }
    for step in [1, 7, 1000] {
        let mut all = read_all(log, 0, step).await.into_iter();
        for (offset, records) in &first {
            for (i, want) in records.iter().enumerate() {
                let Some((at, got)) = all.next() else {
                    panic!("acknowledged record {} is not there", id(want))
                };
                assert!(i > 0 || at == *offset, "append said offset {offset}, read says {at}");
                assert_eq!(
                    done("to_json", got.to_json()),
                    done("to_json", want.to_json()),
                    "a record changed in the log"
                );
            }
        }
        assert!(all.next().is_none(), "the log holds records that nobody appended");
    }
    let end = read_all(log, 0, 1000).await.last().map_or(0, |(offset, _)| offset + 1);
    assert!(done("read at the end", log.read(0, end, 10).await).is_empty());
    assert!(done("read beyond the end", log.read(0, end + 1000, 10).await).is_empty());
    assert!(done("read of no records", log.read(0, 0, 0).await).is_empty());
}

async fn concurrent_appends_are_all_kept(log: &impl EventLog) {
    let (calls, each) = (64, 3);
    let offsets = join_all((0..calls).map(async |call| {
        let records: Vec<_> = (0..each).map(|i| marker(&format!("{call}-{i}"))).collect();
        done("concurrent append", log.append(0, &records).await)
    }))
    .await;
    let all = read_all(log, 0, 50).await;
    assert_eq!(all.len(), calls * each, "concurrent appends lost or doubled records");
    for (call, offset) in offsets.iter().enumerate() {
        let at = all.iter().position(|(o, _)| o == offset);
        let Some(at) = at else { panic!("no record has offset {offset}, which append gave") };
        for i in 0..each {
            assert_eq!(id(&all[at + i].1), format!("{call}-{i}"), "records of one call came apart");
        }
    }
}

async fn partitions_are_apart(log: &impl EventLog) {
    let count = log.partitions();
    for partition in 0..count {
        done("append", log.append(partition, &[marker(&format!("p{partition}"))]).await);
    }
    for partition in 0..count {
        let ids: Vec<_> = read_all(log, partition, 10).await.iter().map(|(_, r)| id(r)).collect();
        assert_eq!(ids, [format!("p{partition}")], "partitions mix");
    }
    for result in [
        log.append(count, &[marker("x")]).await.err(),
        log.read(count, 0, 1).await.err(),
        log.acquire(count, "x").await.err(),
    ] {
        assert_eq!(
            result.map(|e| e.kind()),
            Some(ErrorKind::InvalidInput),
            "a partition that does not exist must be refused"
        );
    }
}

async fn refused_records_leave_nothing(log: &impl EventLog) {
    let sound = AudioWindow { rate: 16_000, channels: 1, samples: vec![0.0; 16].into() };
    let sound = Record::Event(AnyEvent::local(Stamped::new(header("sound"), sound)));
    let result = log.append(0, &[marker("before"), sound]).await;
    assert_eq!(
        result.err().map(|e| e.kind()),
        Some(ErrorKind::Unsupported),
        "sound and pictures must never enter a log"
    );
    assert!(read_all(log, 0, 10).await.is_empty(), "a failed append left records behind");
    done("append after a refused one", log.append(0, &[marker("after")]).await);
    assert_eq!(read_all(log, 0, 10).await.len(), 1);
}

async fn leases_fence(log: &impl EventLog) {
    let one = Checkpoint { next: 3, state: json!({"seen": [1, 2.5, "drei"]}) };
    let two = Checkpoint { next: 5, state: json!(null) };
    let old = done("acquire", log.acquire(0, "first").await);
    assert_eq!(old.partition, 0);
    assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "c").await), None);
    done("checkpoint", log.checkpoint(&old, "c", &one).await);
    assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "c").await), Some(one.clone()));
    assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "../c").await), None, "consumers mix");
    done("checkpoint", log.checkpoint(&old, "../c", &two).await);

    let new = done("acquire", log.acquire(0, "second").await);
    assert!(new.token > old.token, "a later lease must have a larger token");
    let refused = log.checkpoint(&old, "c", &two).await.err();
    assert_eq!(refused.map(|e| e.kind()), Some(ErrorKind::Conflict), "a stale lease must be refused");
    assert_eq!(
        done("last_checkpoint", log.last_checkpoint(0, "c").await),
        Some(one),
        "a refused checkpoint left a trace"
    );
    done("checkpoint", log.checkpoint(&new, "c", &two).await);
    assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "c").await), Some(two.clone()));
    assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "../c").await), Some(two));
}

async fn streams_are_read_apart(log: &impl EventLog) {
    let mut expected = Vec::new();
    for i in 0..30 {
        let ours = i % 3 == 0;
        let mut header = header(&i.to_string());
        if !ours {
            header.stream = done("a name", StreamId::new("another"));
        }
        let record = Record::Event(AnyEvent::wire(Stamped::new(header, Marker { label: None, by: None })));
        let offset = done("append", log.append(0, &[record]).await);
        expected.extend(ours.then_some((offset, i.to_string())));
    }
    let stream = done("a name", StreamId::new("conformance"));
    for step in [1, 7, 1000] {
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let (some, next) = done("read_stream", log.read_stream(0, &stream, from, step).await);
            all.extend(some.iter().map(|(offset, record)| (*offset, id(record))));
            if next == from {
                break;
            }
            from = next;
        }
        assert_eq!(all, expected, "a stream's records, read {step} at a time");
    }
}

async fn trimming_keeps_what_it_must(log: &impl EventLog) {
    for i in 0..40 {
        done("append", log.append(0, &[marker(&i.to_string())]).await);
    }
    let all = read_all(log, 0, 100).await;
    assert_eq!(done("trimmed", log.trimmed(0).await), 0, "nothing was trimmed yet");
    let middle = all[20].0;
    done("trim", log.trim(0, middle).await);
    let kept = read_all(log, 0, 100).await;
    let trimmed = done("trimmed", log.trimmed(0).await);
    assert!(trimmed <= kept[0].0, "trimmed says that a record is gone which is there");
    assert!(
        kept.len() == all.len() || trimmed > all[all.len() - kept.len() - 1].0,
        "trimmed does not say what is gone"
    );
    let within = done("within", log.within(0, 0).await);
    assert!(within <= all[39].0 + 1, "within names an offset beyond the end");
    assert!(done("within", log.within(0, u64::MAX).await) <= trimmed, "within drops what there is room for");
    assert!(kept.len() >= 20, "trim dropped records that it had to keep");
    let tail = &all[all.len() - kept.len()..];
    for ((was, record), (is, same)) in tail.iter().zip(&kept) {
        assert_eq!((was, id(record)), (is, id(same)), "trim changed offsets or left a hole");
    }
    let last = all[39].0;
    done("trim of everything", log.trim(0, last + 1).await);
    let next = done("append after trim", log.append(0, &[marker("next")]).await);
    assert!(next > last, "offsets went back after a trim");
}

/// Runs the checks of what outlives the process; each call of `open` opens the same log, which is empty at first.
///
/// # Panics
/// As [`log`].
pub async fn log_reopened<L: EventLog>(open: impl AsyncFn() -> Result<L>) {
    let mut offsets = Vec::new();
    let mut token = 0;
    for round in 0..3 {
        let log = done("open", open().await);
        let ids: Vec<_> = read_all(&log, 0, 100).await.into_iter().map(|(o, r)| (o, id(&r))).collect();
        assert_eq!(ids, offsets, "what was acknowledged changed when the log was opened again");
        let saved = done("last_checkpoint", log.last_checkpoint(0, "c").await);
        assert_eq!(saved.map(|c| c.next), (round > 0).then_some(round), "a checkpoint was lost");
        let lease = done("acquire", log.acquire(0, "owner").await);
        assert!(lease.token > token, "tokens begin anew when the log is opened again");
        token = lease.token;
        for i in 0..5 {
            let id = format!("{round}-{i}");
            offsets.push((done("append", log.append(0, &[marker(&id)]).await), id));
        }
        let checkpoint = Checkpoint { next: round + 1, state: json!(round) };
        done("checkpoint", log.checkpoint(&lease, "c", &checkpoint).await);
    }
}
