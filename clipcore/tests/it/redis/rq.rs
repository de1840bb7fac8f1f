//! Clip jobs, run by stock workers of RQ 2 and 3 on a real clip.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use clipcore::ErrorKind;
use clipcore::conformance::sink as kit;
use clipcore::cutter::ClipState;
use clipcore::sink::{ClipSink, Delivery, RqSink, RqSinkConfig};

use crate::support::programs::{require, run, skipped};
use crate::support::redis::Redis;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn config(redis: &Redis, queue: &str) -> RqSinkConfig {
    RqSinkConfig { url: redis.url().parse().unwrap(), queue: queue.to_owned(), ..RqSinkConfig::default() }
}

fn queued(redis: &Redis, queue: &str) -> usize {
    redis.cli(&["LLEN", &format!("rq:queue:{queue}")]).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(redis) = Redis::start("redis::rq::conforms") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let number = AtomicU32::new(0);
    let make = async || {
        number.fetch_add(1, Ordering::Relaxed);
        let queue = format!("q{}", number.load(Ordering::Relaxed));
        RqSink::new(RqSinkConfig { key_prefix: format!("{queue}:"), ..config(&redis, &queue) })
    };
    let effects = async |_: &RqSink| {
        let queue = format!("q{}", number.load(Ordering::Relaxed));
        redis.cli(&["LLEN", &format!("{queue}:queue:{queue}")]).parse().unwrap()
    };
    kit::sink(make, effects, file.path()).await;
    let open = async || RqSink::new(config(&redis, "again"));
    kit::sink_reopened(open, async |_| queued(&redis, "again"), file.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_can_pass_and_leaves_nothing() {
    let Some(redis) = Redis::start("redis::rq::a_full_queue_can_pass_and_leaves_nothing") else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let sink = RqSink::new(RqSinkConfig { max_queued: 1, ..config(&redis, "clips") }).unwrap();
    let item = |id| kit::clip("s", id, ClipState::Ready, Some(file.path()));
    sink.deliver(&item("a")).await.unwrap();
    let error = sink.deliver(&item("b")).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("the queue is full"), "{error}");
    assert_eq!(redis.cli(&["KEYS", "*-b"]), "");
    assert!(sink.deliver(&item("a")).await.unwrap().duplicate);
    redis.cli(&["LPOP", "rq:queue:clips"]);
    assert!(!sink.deliver(&item("b")).await.unwrap().duplicate);

    let nowhere = Delivery::Clip {
        clip: match item("c") {
            Delivery::Clip { clip, .. } => clip,
            _ => unreachable!(),
        },
        file: None,
    };
    assert_eq!(sink.deliver(&nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
    for (key, wrong) in [
        ("queue", RqSinkConfig { queue: "a b".to_owned(), ..config(&redis, "x") }),
        ("function", RqSinkConfig { function: "os".to_owned(), ..config(&redis, "x") }),
    ] {
        let error = RqSink::new(wrong).unwrap_err();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(key), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_worker_of_rq_2_runs_the_job() {
    worker("redis::rq::a_stock_worker_of_rq_2_runs_the_job", "rq-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_worker_of_rq_3_runs_the_job() {
    worker("redis::rq::a_stock_worker_of_rq_3_runs_the_job", "rq-3").await;
}

async fn worker(test: &str, venv: &str) {
    let rq = Path::new(ROOT).join("target").join(venv).join("bin/rq");
    if !rq.exists() {
        return skipped(test, &format!("target/{venv} is not there (scripts/rq.sh makes it; needs pip)"));
    }
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let Some(redis) = Redis::start(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = film(dir.path());
    let sink = RqSink::new(config(&redis, "clips")).unwrap();
    sink.check().await.unwrap();
    let Delivery::Clip { mut clip, file } = kit::clip("s1", "c1", ClipState::Ready, Some(&file)) else {
        unreachable!()
    };
    clip.trace = Some(TRACE.into());
    let item = Delivery::Clip { clip, file };
    assert!(!sink.deliver(&item).await.unwrap().duplicate);

    let work = || {
        let mut command = Command::new(&rq);
        command.args(["worker", "-b", "-S", "json", "--url", &redis.url(), "clips"]);
        command.current_dir(Path::new(ROOT).join("examples")).env("PYTHONDONTWRITEBYTECODE", "1");
        let out = command.env_remove("CLIPCORE_NOTIFY_URL").output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    };
    let said = work();
    assert!(said.contains(TRACE), "the trace does not reach the worker's log:\n{said}");

    let made = dir.path().join("c1-vertical.mp4");
    let size = run(Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(&made));
    assert_eq!(String::from_utf8_lossy(&size).trim(), "100,180", "\n{said}");
    assert_eq!(redis.cli(&["ZRANGE", "rq:finished:clips", "0", "-1"]), "clipcore-c1", "\n{said}");
    assert_eq!(redis.cli(&["HGET", "rq:job:clipcore-c1", "status"]), "finished");
    for empty in ["rq:queue:clips", "rq:queue:clips:intermediate"] {
        assert_eq!(redis.cli(&["LLEN", empty]), "0", "{empty}");
    }
    for empty in ["rq:wip:clips", "rq:failed:clips"] {
        assert_eq!(redis.cli(&["ZCARD", empty]), "0", "{empty}");
    }
    assert!(redis.cli(&["XRANGE", "rq:results:clipcore-c1", "-", "+"]).contains("return_value"));

    // Once RQ has forgotten the job, clipcore still knows that the clip had one.
    redis.cli(&["DEL", "rq:job:clipcore-c1"]);
    assert!(sink.deliver(&item).await.unwrap().duplicate);
    assert_eq!(queued(&redis, "clips"), 0);
}

/// A clip of a second, 320 by 180, with sound.
fn film(dir: &Path) -> PathBuf {
    let file = dir.join("clip.mp4");
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x180:r=25:d=1"])
        .args(["-f", "lavfi", "-i", "sine=d=1", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"])
        .args(["-pix_fmt", "yuv420p"])
        .arg(&file));
    file
}
