use std::fs;
use std::path::Path;

use super::*;
use crate::conformance::log as kit;

async fn open(dir: &Path, config: FileLogConfig) -> Result<FileLog> {
    FileLog::open(dir, config, Kinds::builtin()).await
}

/// Segments so small that every commit begins a new one, and nothing that is read from memory.
fn tiny() -> FileLogConfig {
    FileLogConfig { segment_bytes: 1, tail_bytes: 0, ..FileLogConfig::default() }
}

async fn ids(log: &FileLog) -> Vec<String> {
    let records = log.read(0, 0, 10_000).await.unwrap();
    records
        .iter()
        .map(|(_, record)| match record {
            Record::Event(event) => event.header().id.to_string(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn newest_segment(dir: &Path) -> PathBuf {
    let part = dir.join("0");
    segment::path(&part, *segment::list(&part).unwrap().last().unwrap())
}

#[tokio::test]
async fn conforms_with_one_segment_and_with_many() {
    for durability in [Durability::Fsync, Durability::Flush] {
        for segment_bytes in [1, 500, 16 << 20] {
            let config =
                FileLogConfig { partitions: 2, durability, segment_bytes, ..FileLogConfig::default() };
            let dirs = Mutex::new(Vec::new());
            kit::log(async || {
                let dir = tempfile::tempdir()?;
                let log = open(dir.path(), config.clone()).await;
                dirs.lock().unwrap().push(dir);
                log
            })
            .await;
            let dir = tempfile::tempdir().unwrap();
            kit::log_reopened(async || open(dir.path(), config.clone()).await).await;
        }
    }
}

#[tokio::test]
async fn a_second_opener_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let err = open(dir.path(), FileLogConfig::default()).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Conflict);
    assert!(err.to_string().contains("in use by another process"), "{err}");
    assert!(err.to_string().contains(&dir.path().display().to_string()), "{err}");
    drop(log);
    open(dir.path(), FileLogConfig::default()).await.unwrap();
}

#[tokio::test]
async fn the_last_record_cut_anywhere_leaves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let path = newest_segment(dir.path());
    log.append(0, &[kit::marker("a"), kit::marker("b")]).await.unwrap();
    let kept = fs::read(&path).unwrap();
    log.append(0, &[kit::marker("torn")]).await.unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();
    for len in kept.len()..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
        assert_eq!(ids(&log).await, ["a", "b"], "cut at byte {len}");
        assert_eq!(log.append(0, &[kit::marker("c")]).await.unwrap(), 2);
        assert_eq!(ids(&log).await, ["a", "b", "c"], "cut at byte {len}");
    }
    // A power failure may leave zeros where bytes were promised.
    fs::write(&path, [&kept[..], &[0; 5000]].concat()).unwrap();
    assert_eq!(ids(&open(dir.path(), FileLogConfig::default()).await.unwrap()).await, ["a", "b"]);
}

#[tokio::test]
async fn every_flipped_byte_before_the_last_commit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let path = newest_segment(dir.path());
    for id in ["a", "b"] {
        log.append(0, &[kit::marker(id)]).await.unwrap();
    }
    let acknowledged_before_last = fs::metadata(&path).unwrap().len() as usize;
    log.append(0, &[kit::marker("c")]).await.unwrap();
    drop(log);
    let whole = fs::read(&path).unwrap();
    for at in 0..acknowledged_before_last {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        fs::write(&path, &bytes).unwrap();
        let err = open(dir.path(), FileLogConfig::default()).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Corrupt, "byte {at}: {err}");
        let text = err.to_string();
        let offset = if at * 2 < acknowledged_before_last { "offset: 0" } else { "offset: 1" };
        assert!(text.contains(&path.display().to_string()) && text.contains(offset), "byte {at}: {text}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "a damaged log must not be changed");
    }
}

#[tokio::test]
async fn a_commit_that_a_power_failure_tore_goes_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let path = newest_segment(dir.path());
    log.append(0, &[kit::marker("a")]).await.unwrap();
    let kept = fs::metadata(&path).unwrap().len() as usize;
    log.append(0, &[kit::marker("b"), kit::marker("c"), kit::marker("d")]).await.unwrap();
    drop(log);
    // Pages reach the medium in any order: the commit's first bytes are missing, its last ones are there.
    let mut bytes = fs::read(&path).unwrap();
    bytes[kept..kept + 20].fill(0);
    fs::write(&path, bytes).unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    assert_eq!(ids(&log).await, ["a"]);
    assert_eq!(log.append(0, &[kit::marker("e")]).await.unwrap(), 1);
}

#[tokio::test]
async fn trimmed_segments_are_gone_from_disk_and_stay_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), tiny()).await.unwrap();
    for id in ["a", "b", "c", "d"] {
        log.append(0, &[kit::marker(id)]).await.unwrap();
    }
    let sizes = |bytes| log.within(0, bytes);
    let one = fs::metadata(newest_segment(dir.path())).unwrap().len();
    assert_eq!(sizes(2 * one).await.unwrap(), 2, "two segments have room");
    assert_eq!(sizes(0).await.unwrap(), 3, "the newest always stays");
    log.trim(0, 2).await.unwrap();
    assert_eq!(log.trimmed(0).await.unwrap(), 2);
    assert_eq!(segment::list(&dir.path().join("0")).unwrap(), [2, 3]);
    assert_eq!(ids(&log).await, ["c", "d"], "an offset that was trimmed reads from the oldest kept");
    drop(log);
    let log = open(dir.path(), tiny()).await.unwrap();
    assert_eq!(ids(&log).await, ["c", "d"]);
    log.trim(0, u64::MAX).await.unwrap();
    assert_eq!(log.append(0, &[kit::marker("e")]).await.unwrap(), 4);
    let reader = FileLogReader::open(dir.path(), Kinds::builtin()).unwrap();
    assert!(reader.is_trimmed());
    let left: Vec<_> = reader.map(|r| r.unwrap().1).collect();
    assert_eq!(left, [3, 4]);
}

#[tokio::test]
async fn damage_in_an_older_segment_is_found_when_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), tiny()).await.unwrap();
    for id in ["a", "b", "c"] {
        log.append(0, &[kit::marker(id)]).await.unwrap();
    }
    let oldest = segment::path(&dir.path().join("0"), 0);
    let mut bytes = fs::read(&oldest).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&oldest, bytes).unwrap();
    let err = log.read(0, 0, 10).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Corrupt);
    assert!(err.to_string().contains("offset: 0"), "{err}");
    assert!(err.to_string().contains(&oldest.display().to_string()), "{err}");
    assert_eq!(log.read(0, 1, 10).await.unwrap().len(), 2, "the rest can still be read");

    let middle = segment::path(&dir.path().join("0"), 1);
    fs::remove_file(middle).unwrap();
    assert_eq!(log.read(0, 1, 10).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.read(0, 2, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_could_not_be_read_back_is_refused_and_poisons_nothing() {
    use crate::event::{AnyEvent, ChatSpike, Header, Stamped, Unknown};

    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let header = |id: &str, secs| {
        let at = crate::Timestamp::from_secs(secs);
        Header::new(StreamId::new("s").unwrap(), at, "test", id)
    };
    let not_a_number = ChatSpike { rate: f64::NAN, baseline: None };
    let own = Unknown { kind: "clipcore.moment".into(), data: serde_json::json!({"rev": 1}) };
    let unknown = Unknown { kind: "x.y".into(), data: serde_json::Value::Null };
    for event in [
        AnyEvent::wire(Stamped::new(header("a", 1), not_a_number)),
        AnyEvent::unknown(header("b", 1), own),
        AnyEvent::unknown(header(&"c".repeat(513), 1), unknown.clone()),
        AnyEvent::unknown(header("d", i64::MAX), unknown),
    ] {
        let err = log.append(0, &[kit::marker("fine"), Record::Event(event)]).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::InvalidInput, "{err}");
    }
    log.append(0, &[kit::marker("after")]).await.unwrap();
    assert_eq!(ids(&log).await, ["after"]);
}

#[tokio::test]
async fn what_lies_before_damage_is_read_first() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig { tail_bytes: 0, ..FileLogConfig::default() }).await.unwrap();
    log.append(0, &[kit::marker("a"), kit::marker("b"), kit::marker("c")]).await.unwrap();
    let path = newest_segment(dir.path());
    let damaged = fs::read_to_string(&path).unwrap().replace("\"id\":\"b\"", "\"id\":\"B\"");
    fs::write(&path, damaged).unwrap();
    assert_eq!(log.read(0, 0, 10).await.unwrap().len(), 1);
    let err = log.read(0, 1, 10).await.unwrap_err();
    assert!(
        err.to_string().contains("checksum does not match") && err.to_string().contains("offset: 1"),
        "{err}"
    );
}

#[tokio::test]
async fn a_checkpoint_that_was_tampered_with_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let lease = log.acquire(0, "me").await.unwrap();
    let checkpoint = Checkpoint { next: 1, state: serde_json::json!({"a": 1}) };
    log.checkpoint(&lease, "engine:s1", &checkpoint).await.unwrap();
    let file = fs::read_dir(dir.path().join("0/checkpoints")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"next\":1", "\"next\":2")).unwrap();
    let err = log.last_checkpoint(0, "engine:s1").await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Corrupt);
    assert!(err.to_string().contains("engine_s1") && err.to_string().contains("delete it"), "{err}");
}

#[tokio::test]
async fn reading_while_appending_sees_a_growing_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let config = FileLogConfig { segment_bytes: 3000, ..FileLogConfig::default() };
    let log = Arc::new(open(dir.path(), config).await.unwrap());
    let writer = {
        let log = log.clone();
        tokio::spawn(async move {
            for i in 0..300_u64 {
                assert_eq!(log.append(0, &[kit::marker(&i.to_string())]).await.unwrap(), i);
            }
        })
    };
    let mut next = 0;
    while next < 300 {
        for (offset, record) in log.read(0, next, 7).await.unwrap() {
            assert_eq!(offset, next);
            assert!(record.to_json().unwrap().contains(&format!("\"id\":\"{next}\"")));
            next += 1;
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    drop(log);
    let read: Vec<_> = FileLogReader::open(dir.path(), Kinds::builtin())
        .unwrap()
        .map(|r| r.map(|(_, offset, _)| offset).unwrap())
        .collect();
    assert_eq!(read, (0..300).collect::<Vec<_>>(), "the lock-free reader sees the same");
}

#[tokio::test]
async fn many_waiting_appends_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let calls = (0..500).map(|i| {
        let log = &log;
        async move { log.append(0, &[kit::marker(&i.to_string())]).await.unwrap() }
    });
    futures::future::join_all(calls).await;
    let text = fs::read_to_string(newest_segment(dir.path())).unwrap();
    let commits: std::collections::BTreeSet<_> = text.lines().map(|l| l.split(' ').nth(2).unwrap()).collect();
    assert!(commits.len() < 250, "500 appends took {} syncs", commits.len());
}

#[tokio::test]
async fn settings_and_records_that_cannot_be_are_refused_with_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let none = FileLogConfig { partitions: 0, ..FileLogConfig::default() };
    assert_eq!(open(dir.path(), none).await.unwrap_err().kind(), ErrorKind::Config);

    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(open(&file, FileLogConfig::default()).await.is_err(), "a file is no folder");

    let small = FileLogConfig { max_record_bytes: 300, ..FileLogConfig::default() };
    let log = open(&dir.path().join("log"), small).await.unwrap();
    let err = log.append(0, &[kit::marker(&"x".repeat(300))]).await.unwrap_err();
    assert!(err.to_string().contains("too long"), "{err}");
    drop(log);

    fs::write(dir.path().join("log/log.json"), r#"{"format":9,"partitions":1}"#).unwrap();
    let err = open(&dir.path().join("log"), FileLogConfig::default()).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Unsupported);

    let err = FileLogReader::open(dir.path().join("nowhere"), Kinds::builtin()).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_rewritten_while_it_is_read_and_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(
        open(dir.path(), FileLogConfig { segment_bytes: 2000, ..FileLogConfig::default() }).await.unwrap(),
    );
    for n in 0..200 {
        log.append(0, &[kit::marker(&format!("secret-{n}-{}", "x".repeat(n % 50)))]).await.unwrap();
    }
    let writer = tokio::spawn({
        let log = log.clone();
        async move {
            for n in 0..200 {
                log.append(0, &[kit::marker(&format!("later-{n}"))]).await.unwrap();
            }
        }
    });
    let reader = tokio::spawn({
        let log = log.clone();
        async move {
            for round in 0..60 {
                let (mut next, step) = (0, 1 + round % 7 * 20);
                while next < 200 {
                    let read = log.read(0, next, step).await.unwrap();
                    assert_eq!(read[0].0, next, "records keep their offsets");
                    next = read.last().unwrap().0 + 1;
                }
            }
        }
    });
    for round in 0..10 {
        let change: RewriteRecord = Arc::new(move |json: &[u8]| {
            let json = std::str::from_utf8(json).unwrap();
            let of_round = json.contains(&format!("secret-{round}-")) || json.contains(&format!("{round}-x"));
            (of_round && json.contains("secret")).then(|| json.replace("secret", &"gone".repeat(round + 1)))
        });
        log.rewrite(0, change).await.unwrap();
    }
    writer.await.unwrap();
    reader.await.unwrap();
    let all: RewriteRecord = Arc::new(|json: &[u8]| {
        let json = std::str::from_utf8(json).unwrap();
        json.contains("secret").then(|| json.replace("secret", "gone"))
    });
    assert!(log.rewrite(0, all.clone()).await.unwrap() > 0);
    assert_eq!(log.rewrite(0, all).await.unwrap(), 0, "there is nothing left to do");
    let before = ids(&log).await;
    assert!(before.len() == 400 && before.iter().all(|id| !id.contains("secret")));
    log.trim(0, 100).await.unwrap();
    drop(log);
    let log = open(dir.path(), FileLogConfig::default()).await.unwrap();
    let after = ids(&log).await;
    assert_eq!(after[..], before[before.len() - after.len()..], "it opens again");
    for entry in fs::read_dir(dir.path().join("0")).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_none_or(|e| e != "tmp"), "{path:?} was left");
        assert!(path.is_dir() || !fs::read_to_string(&path).unwrap().contains("secret"), "{path:?}");
    }
}
