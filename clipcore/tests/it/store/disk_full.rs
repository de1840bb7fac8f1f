//! A full disk: said clearly, nothing half written, and work goes on when there is room.

use std::path::Path;
use std::process::{Command, Stdio};

use clipcore::conformance::log::marker;
use clipcore::conformance::sink::{clip, moment};
use clipcore::cutter::ClipState;
use clipcore::event::Kinds;
use clipcore::log::{EventLog, FileLog, FileLogConfig};
use clipcore::sink::{ClipSink, FilesSink, HandOver, JsonlSink};
use clipcore::{Error, ErrorKind};

use crate::support::programs::skipped;

/// A file system of a quarter of a megabyte.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, noted as skipped, where mounting is not permitted.
    fn mount(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        skipped(test, "no small tmpfs can be mounted here (it takes root)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes up room, all but about `left` bytes.
    fn fill(&self, left: usize) {
        let mut size = 256 * 1024_usize;
        while size > 0 && std::fs::write(self.path().join("filler"), vec![0; size]).is_err() {
            size -= 4096;
        }
        std::fs::write(self.path().join("filler"), vec![0; size.saturating_sub(left)]).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn assert_full(e: &Error) {
    assert_eq!(e.kind(), ErrorKind::DiskFull, "{e}");
    assert!(e.is_retryable() && e.to_string().contains("free some space"), "{e}");
}

#[tokio::test]
async fn the_log_loses_nothing_and_goes_on() {
    let Some(disk) = SmallDisk::mount("the_log_loses_nothing_and_goes_on") else { return };
    let dir = disk.path().join("log");
    for segment_bytes in [1 << 20, 3000] {
        let config = FileLogConfig { segment_bytes, ..FileLogConfig::default() };
        let log = FileLog::open(&dir, config, Kinds::builtin()).await.unwrap();
        let from = log.append(0, &[marker("first")]).await.unwrap();
        disk.fill(20_000);
        let mut next = from + 1;
        let full = loop {
            // Calls of several records, so that a failing one is half written.
            let records: Vec<_> = (0..5).map(|i| marker(&format!("{}", next + i))).collect();
            match log.append(0, &records).await {
                Ok(offset) => {
                    assert_eq!(offset, next);
                    next += 5;
                }
                Err(e) => break e,
            }
        };
        assert_full(&full);
        assert_eq!(
            log.read(0, from, 10_000).await.unwrap().len() as u64,
            next - from,
            "more than acknowledged"
        );
        let many: Vec<_> = (0..50).map(|i| marker(&i.to_string())).collect();
        assert_full(&log.append(0, &many).await.unwrap_err());
        disk.make_room();
        assert_eq!(log.append(0, &[marker("after")]).await.unwrap(), next, "work goes on without a hole");
        drop(log);
        let log = FileLog::open(&dir, FileLogConfig::default(), Kinds::builtin()).await.unwrap();
        let ids: Vec<_> = log
            .read(0, from, 10_000)
            .await
            .unwrap()
            .iter()
            .map(|(offset, record)| (*offset, record.to_json().unwrap()))
            .collect();
        assert_eq!(ids.len() as u64, next + 1 - from);
        assert!(ids.last().unwrap().1.contains("after"));
        for (offset, json) in &ids[1..ids.len() - 1] {
            assert!(json.contains(&format!("\"id\":\"{offset}\"")), "{json}");
        }
    }
}

#[tokio::test]
async fn sinks_can_be_retried_and_leave_nothing_half_written() {
    let Some(disk) = SmallDisk::mount("sinks_can_be_retried_and_leave_nothing_half_written") else { return };
    let dir = disk.path().join("out");
    let sink = JsonlSink::open(&dir).await.unwrap();
    disk.fill(8000);
    let mut n = 0;
    let (failed, full) = loop {
        let item = moment("s", &format!("m{n}"), 1);
        match sink.deliver(&item).await {
            Ok(_) => n += 1,
            Err(e) => break (item, e),
        }
    };
    assert_full(&full);
    let text = std::fs::read_to_string(dir.join("moments.jsonl")).unwrap();
    assert_eq!(text.lines().count(), n);
    assert!(text.ends_with("}\n"), "half a line is left");
    disk.make_room();
    assert!(!sink.deliver(&failed).await.unwrap().duplicate);
    assert_eq!(std::fs::read_to_string(dir.join("moments.jsonl")).unwrap().lines().count(), n + 1);

    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("clip.mp4");
    std::fs::write(&file, vec![1; 100_000]).unwrap();
    let to = disk.path().join("clips");
    let sink = FilesSink::new(&to).with_hand_over(HandOver::Link);
    sink.check().await.unwrap();
    disk.fill(50_000);
    let item = clip("s", "c", ClipState::Ready, Some(&file));
    assert_full(&sink.deliver(&item).await.unwrap_err());
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0, "a half-written clip is left");
    disk.make_room();
    let receipt = sink.deliver(&item).await.unwrap();
    assert_eq!(std::fs::read(receipt.location.unwrap()).unwrap(), vec![1; 100_000]);
}
