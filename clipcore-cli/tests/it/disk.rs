//! A full disk: the run goes on and says what is lost, no broken file is visible, and all is well again when there is
//! room.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::program;
use crate::program::{
    Clipcore, assert_clips_decode, assert_nothing_pending, assert_nothing_twice, assert_replays,
};
use crate::program::{clips, file, markers, ready, reasons, secs};
use crate::support::programs::{require, skipped};
use crate::support::publisher::Publisher;
use crate::support::reading;
use crate::support::relay::Relay;
use crate::support::stream::TestStream;
use clipcore::recorder::Recording;

/// A file system of some mebibytes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, noted as skipped, where mounting is not permitted.
    fn mount(test: &str, mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"]).arg(dir.path());
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        skipped(test, "no small tmpfs can be mounted here (it takes root)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(self.path()).map(|s| s.f_bavail * s.f_frsize).unwrap()
    }

    /// Takes up room until only about `left` bytes are free.
    fn fill(&self, left: u64) {
        // The program writes meanwhile: what was free may be taken a moment later.
        let filled = (0..50).any(|_| {
            let take = self.free().saturating_sub(left);
            let mut fill = Command::new("fallocate");
            fill.args(["-l", &take.to_string()]).arg(self.path().join("filler")).stderr(Stdio::null());
            take == 0 || fill.status().expect("fallocate starts").success()
        });
        assert!(filled, "{} bytes are free and cannot be taken", self.free());
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

const CLIP_FLOOR: &str = "3145728";

#[test]
fn a_full_disk_ends_nothing() {
    let test = "a_full_disk_ends_nothing";
    if !require(test, &["ffprobe", "fallocate"]) {
        return;
    }
    let Some(disk) = SmallDisk::mount(test, 24) else { return };
    let Some(relay) = Relay::start(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = TestStream { size: (320, 180), pictures: 80 * 30, ..TestStream::default() };
    let source = made.kept("mp4");
    let (out, chat) = (disk.path().join("out"), markers(dir.path(), &[16.0, 28.0, 64.0]));
    let _publisher = Publisher::start(&source, &relay.url("show"));
    let set = [("CLIPCORE__RECORDER__MIN_FREE_BYTES", CLIP_FLOOR), ("CLIPCORE__MEDIA__GIVE_UP", "4")];
    let mut program = Clipcore::start(&relay.url("show"), &out, Some(&chat), &set);
    program.until_ready(1);

    // Little room is left: no clip is begun, and the second moment's fails with the reason.
    disk.fill(1 << 20);
    program.until("a refused clip", |p| clips(&p.out).iter().any(|c| c["state"] == "failed"));
    let refused = clips(&out).into_iter().find(|c| c["state"] == "failed").unwrap();
    assert!(reasons(&refused).contains("are free"), "{refused}");

    // None is left: the oldest recording makes room for the newest, until there is nothing left to give.
    let oldest =
        |out: &Path| fs::read_dir(program::recording(out)).unwrap().flatten().map(|e| e.file_name()).min();
    let first = oldest(&out);
    program.until("deleted recordings", |p| oldest(&p.out) != first);
    program.until_recorded(50.0);
    assert_clips_decode(&out);
    disk.make_room();

    program.until_ready(2);
    assert_eq!(program.wait().code(), Some(0), "{}", program.said());
    for told in ["no clip of moment", "the oldest recordings are deleted", "clips, 1 failed"] {
        assert!(program.said().contains(told), "{told}: {}", program.said());
    }
    assert_nothing_pending(&out);
    assert_nothing_twice(&out);
    assert_clips_decode(&out);
    assert_replays(&out);
    let offset = 2.0 / 30.0;
    for clip in ready(&out) {
        let read = reading::clip(&file(&out, &clip), &made);
        assert!(read.missing.is_empty() && read.wrong == 0, "{clip} {read:?}");
        assert!(
            (secs(&clip, "achieved", "start") - offset - made.time_of(read.first)).abs() < 0.0015,
            "{clip}"
        );
    }
    let span = Recording::open(program::recording(&out)).unwrap().span().unwrap();
    assert!(span.end.as_secs_f64() > 79.0, "recording did not resume: {span:?}\n{}", program.said());
}

/// What cannot be recorded at all is said, with when it began and when it ended.
#[test]
fn a_disk_without_any_room_is_said_and_survived() {
    let test = "a_disk_without_any_room_is_said_and_survived";
    if !require(test, &["ffprobe", "fallocate"]) {
        return;
    }
    let Some(disk) = SmallDisk::mount(test, 16) else { return };
    let Some(relay) = Relay::start(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = TestStream { size: (320, 180), pictures: 50 * 30, ..TestStream::default() };
    let source = made.kept("mp4");
    // The first moment is open while the disk is full, so that nothing that it needs may be deleted.
    let (out, chat) = (disk.path().join("out"), markers(dir.path(), &[6.0, 40.0]));
    let _publisher = Publisher::start(&source, &relay.url("show"));
    let set = [("CLIPCORE__RECORDER__MIN_FREE_BYTES", "65536"), ("CLIPCORE__MEDIA__GIVE_UP", "4")];
    let mut program = Clipcore::start(&relay.url("show"), &out, Some(&chat), &set);
    program.until_recorded(9.0);
    disk.fill(0);
    program.until("the loss", |p| p.said().contains("nothing is recorded from"));
    sleep(Duration::from_secs(3));
    disk.make_room();
    program.until("the return", |p| p.said().contains("recording again"));
    assert_eq!(program.wait().code(), Some(0), "{}", program.said());
    assert_nothing_pending(&out);
    assert_nothing_twice(&out);
    assert_clips_decode(&out);
    for clip in ready(&out) {
        let read = reading::clip(&file(&out, &clip), &made);
        assert!(read.missing.is_empty() && read.wrong == 0, "{clip} {read:?}");
    }
    let span = Recording::open(program::recording(&out)).unwrap().span().unwrap();
    assert!(span.end.as_secs_f64() > 49.0, "recording did not resume: {span:?}\n{}", program.said());
}
