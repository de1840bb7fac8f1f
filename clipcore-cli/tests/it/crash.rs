//! `kill -9` of the program at random instants: nothing recorded is lost, nothing broken is ever visible, nothing
//! is done twice. `CLIPCORE_TEST_ROUNDS` says how often, `CLIPCORE_TEST_SEED` at which instants.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program;
use crate::program::{
    Clipcore, assert_clips_decode, assert_nothing_pending, assert_nothing_twice, assert_replays,
    assert_replays_with,
};
use crate::program::{clips, file, lines, markers, ready};
use crate::support::programs::require;
use crate::support::publisher::Publisher;
use crate::support::reading;
use crate::support::relay::Relay;
use crate::support::stream::TestStream;
use serde_json::Value;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A number in 0..1 for each round; the same seed gives the same ones.
fn instants() -> impl Iterator<Item = f64> {
    let mut state = setting("CLIPCORE_TEST_SEED", 7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    })
}

fn stream(secs: u32) -> (TestStream, PathBuf) {
    let made = TestStream { size: (320, 180), pictures: secs * 30, ..TestStream::default() };
    let path = made.kept("mp4");
    (made, path)
}

/// For each recorded file its bytes up to the end of the last complete part.
fn complete_parts(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(program::recording(out)).into_iter().flatten().flatten();
    files
        .map(|entry| {
            let mut bytes = fs::read(entry.path()).unwrap();
            let (mut at, mut whole) = (0, 0);
            while let Some(header) = bytes.get(at..at + 8) {
                let len = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
                at += len.max(8);
                if &header[4..] == b"mdat" && at <= bytes.len() {
                    whole = at;
                }
            }
            bytes.truncate(whole);
            (entry.path(), bytes)
        })
        .collect()
}

fn assert_still_there(out: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let after = complete_parts(out);
    for (path, bytes) in before.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let kept = after.get(path).is_some_and(|now| now.starts_with(bytes));
        assert!(kept, "{} has lost complete parts", path.display());
    }
}

/// What a clip is, file included, whenever and however often it was begun.
fn outcome(clip: &Value) -> [Value; 7] {
    ["id", "moment", "asked", "achieved", "exact", "reasons", "sha256"].map(|key| clip[key].clone())
}

fn killed_while_reading_a_file(test: &str, rounds: u64) {
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let (made, source) = stream(60);
    let dir = tempfile::tempdir().unwrap();
    let chat = markers(dir.path(), &[16.0, 30.5, 44.0]);
    let listening = [("CLIPCORE__DETECTORS__OFF", "[]")];
    let start = |out: &Path| Clipcore::start(source.to_str().unwrap(), out, Some(&chat), &listening);
    let whole = dir.path().join("whole");
    #[expect(clippy::disallowed_methods, reason = "only to spread the kills over a run's length")]
    let began = Instant::now();
    assert_eq!(start(&whole).wait().code(), Some(0));
    let length = began.elapsed();
    let moments = |out: &Path| fs::read_to_string(out.join("moments.jsonl")).unwrap();
    let outcomes = |out: &Path| ready(out).iter().map(outcome).collect::<Vec<_>>();
    assert_eq!(ready(&whole).len(), 3);
    for clip in ready(&whole) {
        let read = reading::clip(&file(&whole, &clip), &made);
        assert!(read.missing.is_empty() && read.wrong == 0 && read.worst_av_ms() <= 2.0, "{clip} {read:?}");
    }

    let mut instants = instants();
    for round in 0..rounds {
        let out = dir.path().join(format!("round-{round}"));
        for part in instants.by_ref().take(2) {
            let program = start(&out);
            let before = complete_parts(&out);
            // The last part of a run is its orderly end.
            sleep(length.mul_f64(0.7 * part));
            program.kill();
            assert_still_there(&out, &before);
            assert_clips_decode(&out);
            let (files, clips) = (complete_parts(&out).len(), clips(&out).len());
            println!(
                "round {round}: killed after {:.2} of a run: {files} files, {clips} clip lines",
                0.7 * part
            );
        }
        let before = complete_parts(&out);
        let mut last = start(&out);
        assert_eq!(last.wait().code(), Some(0), "{}", last.said());
        assert_still_there(&out, &before);
        assert_eq!(moments(&out), moments(&whole), "moments differ from those of an uninterrupted run");
        assert_eq!(outcomes(&out), outcomes(&whole), "clips differ from those of an uninterrupted run");
        assert_nothing_twice(&out);
        assert_nothing_pending(&out);
        assert_clips_decode(&out);
        assert_replays_with(&out, &listening);
    }
}

/// Whether a clip's file is being written.
fn is_cutting(out: &Path) -> bool {
    let mut clips = fs::read_dir(out.join("clips")).into_iter().flatten().flatten();
    clips.any(|entry| entry.path().extension().is_some_and(|e| e == "tmp"))
}

/// Every other kill meets a clip that is being cut, the others any instant of the recording.
fn killed_while_recording_live(test: &str, rounds: u64) {
    if !require(test, &["ffprobe"]) {
        return;
    }
    let secs = 24 + 16 * rounds as u32;
    let (made, source) = stream(secs);
    let Some(relay) = Relay::start(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let at: Vec<f64> =
        (0..).map(|i| 16.0 + 14.0 * f64::from(i)).take_while(|at| at + 14.0 < f64::from(secs)).collect();
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &at));
    let _publisher = Publisher::start(&source, &relay.url("show"));
    let start =
        || Clipcore::start(&relay.url("show"), &out, Some(&chat), &[("CLIPCORE__MEDIA__GIVE_UP", "4")]);
    let mut program = start();
    program.until_recorded(3.0);
    let (mut kills, mut cut_short, mut kept) = (0, 0, BTreeMap::new());
    for part in instants().take(rounds as usize) {
        let cutting = kills % 2 == 1;
        // A slow machine gets through fewer rounds before the stream is over.
        let reached = program::recorded_until(&out).unwrap();
        if reached + if cutting { 26.0 } else { 16.0 } > f64::from(secs) {
            break;
        }
        if cutting {
            program.until_soon("a clip being cut", |p| is_cutting(&p.out));
        } else {
            sleep(Duration::from_secs_f64(6.0 * part));
        }
        program.kill();
        kills += 1;
        let before = complete_parts(&out);
        let (reached, clips) = (program::recorded_until(&out).unwrap(), clips(&out).len());
        let what = if is_cutting(&out) { " while a clip was being cut" } else { "" };
        cut_short += usize::from(!what.is_empty());
        println!("killed at {reached:.1} s{what}: {} files, {clips} clip lines", before.len());
        assert_clips_decode(&out);
        program = start();
        program.until_recorded(reached + 1.0);
        assert_still_there(&out, &before);
        kept = before;
    }
    println!("{kills} kills, {cut_short} of them while a clip was being cut");
    assert!(kills > rounds / 2, "the stream was over after {kills} kills");
    assert_eq!(program.wait().code(), Some(0), "{}", program.said());

    assert_still_there(&out, &kept);
    assert_nothing_twice(&out);
    assert_nothing_pending(&out);
    assert_clips_decode(&out);
    assert_replays(&out);
    let closed = lines(&out.join("moments.jsonl")).into_iter().filter(|m| m["state"] == "closed").count();
    let failed: Vec<Value> = clips(&out).into_iter().filter(|c| c["state"] == "failed").collect();
    assert!(closed > 0 && failed.is_empty() && ready(&out).len() == closed, "{closed} moments, {failed:?}");
    for clip in ready(&out) {
        let read = reading::clip(&file(&out, &clip), &made);
        assert!(read.missing.is_empty() && read.wrong == 0 && read.worst_av_ms() <= 2.0, "{clip} {read:?}");
        assert!(
            clip["exact"] == true || !program::reasons(&clip).is_empty(),
            "inexact without a reason: {clip}"
        );
    }
}

#[test]
fn kill_9_while_reading_a_file() {
    killed_while_reading_a_file("kill_9_while_reading_a_file", setting("CLIPCORE_TEST_ROUNDS", 3));
}

#[test]
fn kill_9_while_recording_live() {
    killed_while_recording_live("kill_9_while_recording_live", setting("CLIPCORE_TEST_ROUNDS", 2).min(3));
}

#[test]
#[ignore = "minutes: make soak"]
fn kill_9_while_reading_a_file_many_times() {
    killed_while_reading_a_file(
        "kill_9_while_reading_a_file_many_times",
        setting("CLIPCORE_TEST_ROUNDS", 30),
    );
}

#[test]
#[ignore = "minutes: make soak"]
fn kill_9_while_recording_live_many_times() {
    killed_while_recording_live(
        "kill_9_while_recording_live_many_times",
        setting("CLIPCORE_TEST_ROUNDS", 10),
    );
}

#[test]
fn an_output_folder_whose_input_has_ended_is_left_as_it_is() {
    if !require("an_output_folder_whose_input_has_ended_is_left_as_it_is", &["ffmpeg"]) {
        return;
    }
    let (_, source) = stream(60);
    let dir = tempfile::tempdir().unwrap();
    let (out, chat) = (dir.path().join("out"), markers(dir.path(), &[20.0]));
    let start = || Clipcore::start(source.to_str().unwrap(), &out, Some(&chat), &[]);
    assert_eq!(start().wait().code(), Some(0));
    let state = || {
        let clips = fs::read_dir(out.join("clips")).unwrap().flatten();
        let clips: BTreeMap<_, _> = clips.map(|e| (e.path(), fs::read(e.path()).unwrap())).collect();
        let lines = ["moments.jsonl", "clips.jsonl"].map(|name| fs::read_to_string(out.join(name)).unwrap());
        (clips, lines, complete_parts(&out))
    };
    let before = state();
    let mut again = start();
    assert_eq!(again.wait().code(), Some(0), "{}", again.said());
    let said = again.said();
    assert!(said.contains("has ended") && said.contains("--out"), "{said}");
    assert!(state() == before, "the finished folder was changed");
}

#[test]
fn a_log_that_is_trimmed_restarts_and_its_replay_says_what_is_gone() {
    if !require("a_log_that_is_trimmed_restarts_and_its_replay_says_what_is_gone", &["ffmpeg"]) {
        return;
    }
    let (_, source) = stream(60);
    let dir = tempfile::tempdir().unwrap();
    let chat = markers(dir.path(), &[16.0, 30.5, 44.0]);
    let talk = |n: u32| {
        let (at, filler) = (f64::from(n) / 50.0, "x".repeat(150));
        format!(
            "{{\"type\":\"chat.message\",\"at\":{at},\"data\":{{\"user\":\"u{}\",\"text\":\"{filler}\"}}}}\n",
            n % 40
        )
    };
    let said = fs::read_to_string(&chat).unwrap() + &(0..3000).map(talk).collect::<String>();
    fs::write(&chat, said).unwrap();
    let keep = [("CLIPCORE__PIPELINE__LOG_RETAIN", "10"), ("CLIPCORE__PIPELINE__CHECKPOINT_EVERY", "5")];
    let whole = dir.path().join("whole");
    assert_eq!(Clipcore::start(source.to_str().unwrap(), &whole, Some(&chat), &[]).wait().code(), Some(0));
    let out = dir.path().join("trimmed");
    let start = || Clipcore::start(source.to_str().unwrap(), &out, Some(&chat), &keep);
    let mut program = start();
    let first = out.join("log/0/00000000000000000000.log");
    program.until_soon("a checkpoint that dropped something", |p| {
        p.out.join("log/0").exists() && !first.exists() && p.out.join("moments.jsonl").exists()
    });
    program.kill();
    let mut program = start();
    assert_eq!(program.wait().code(), Some(0), "{}", program.said());
    assert!(!program.said().contains("done already"), "the kill came too late: {}", program.said());
    let moments = |out: &Path| fs::read_to_string(out.join("moments.jsonl")).unwrap();
    assert_eq!(moments(&out), moments(&whole), "moments differ from those of a run that keeps all");
    assert_eq!(ready(&out).len(), 3);
    assert_nothing_twice(&out);

    let replay = program::replay(&out, &[]);
    let (found, said) =
        (String::from_utf8(replay.stdout).unwrap(), String::from_utf8(replay.stderr).unwrap());
    assert!(said.contains("the beginning of the log is gone"), "{said}");
    assert!(
        !found.is_empty() && found.len() < moments(&out).len() && moments(&out).ends_with(&found),
        "{found}"
    );
    assert!(!String::from_utf8(program::replay(&whole, &[]).stderr).unwrap().contains("gone"));
}
