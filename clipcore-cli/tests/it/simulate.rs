//! The files that `clipcore simulate` writes are what its help says.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use clap::Parser;
use clipcore::StreamId;
use clipcore::detector::Signal;
use clipcore::eval::{Label, Observed, read_labels};
use clipcore::event::Kinds;
use clipcore_cli::cli::{Cli, Command};
use clipcore_cli::commands;

fn simulate(folder: &Path, more: &[&str]) {
    let out = folder.display().to_string();
    let cli = Cli::try_parse_from([&["clipcore", "simulate", "--out", &out], more].concat()).unwrap();
    let Command::Simulate(args) = &cli.command else { panic!("{cli:?}") };
    commands::simulate::run(args, &mut Vec::new()).unwrap();
}

fn text(file: &Path) -> String {
    std::io::read_to_string(flate2::read::MultiGzDecoder::new(File::open(file).unwrap())).unwrap()
}

fn labels(folder: &Path) -> Vec<Label> {
    read_labels(BufReader::new(File::open(folder.join("labels.csv")).unwrap())).unwrap()
}

#[test]
fn chat_clusters_as_much_as_live_chat_does() {
    for fano in ["2.5", "4", "6.4"] {
        let folder = tempfile::tempdir().unwrap();
        simulate(folder.path(), &["--fano", fano, "--hours", "8", "--highlights", "0"]);
        let mut observed = Observed::default();
        let lines = text(&folder.path().join("sim-0.jsonl.gz"));
        observed.read(&mut lines.as_bytes(), &Kinds::builtin()).unwrap();
        assert_eq!((observed.bad, labels(folder.path()).len()), (0, 0));
        let counts = &observed.counts[&StreamId::new("sim-0").unwrap()];
        let (measured, asked) = (counts.fano(10).unwrap(), fano.parse::<f64>().unwrap());
        assert!((measured / asked - 1.0).abs() < 0.25, "Fano factor {measured}, asked for {asked}");
        let rate = counts.per_second().iter().sum::<u32>() as f64 / 8.0 / 3600.0;
        assert!((rate / 2.0 - 1.0).abs() < 0.15, "{rate} messages a second");
    }
}

#[test]
fn disturbances_are_in_the_file_and_leave_the_highlights_alone() {
    let (plain, disturbed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    simulate(plain.path(), &["--hours", "4"]);
    let all = [
        "--raids",
        "3",
        "--spam",
        "4",
        "--ads",
        "4",
        "--silences",
        "2",
        "--latency-steps",
        "3",
        "--skew-ppm",
        "300",
    ];
    simulate(disturbed.path(), &[&["--hours", "4", "--signals", "--clocks"], &all[..]].concat());
    assert_eq!(labels(plain.path()), labels(disturbed.path()));
    let lines = text(&disturbed.path().join("sim-0.jsonl.gz"));
    let with = |part: &str| lines.lines().filter(|line| line.contains(part)).count();
    for (part, least, most) in [
        (r#""kind":"raid""#, 3, 30),
        (r#""kind":"ad_start""#, 5, 40),
        (r#""kind":"ad_end""#, 5, 40),
        ("BUY FOLLOWERS", 300, 3000),
        (r#""type":"clock""#, 14_400, 14_500),
        (r#""detector":"audio_tagger""#, 200, 5000),
        (r#""detector":"face""#, 200, 8000),
        (r#""detector":"loudness""#, 200, 5000),
    ] {
        let n = with(part);
        assert!((least..=most).contains(&n), "{n} lines with {part}");
    }
    assert_eq!(text(&plain.path().join("sim-0.jsonl.gz")).matches("platform.event").count(), 0);
}

#[test]
fn signals_for_recorded_labels_lie_at_the_labels() {
    let (recorded, like) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    simulate(recorded.path(), &["--hours", "3"]);
    let truth = recorded.path().join("labels.csv").display().to_string();
    simulate(like.path(), &["--like", &truth]);
    let lines = text(&like.path().join("sim-0.signals.jsonl.gz"));
    let signals: Vec<Signal> = lines
        .lines()
        .map(|line| {
            serde_json::from_value(serde_json::from_str::<serde_json::Value>(line).unwrap()["data"].clone())
                .unwrap()
        })
        .collect();
    let labels = labels(recorded.path());
    let heard = labels.iter().filter(|l| {
        let after = |s: &Signal| s.at.secs_since(l.start);
        signals.iter().any(|s| &*s.detector == "audio_tagger" && (0.0..11.0).contains(&after(s)))
    });
    let share = heard.count() as f64 / labels.len() as f64;
    assert!((0.55..0.9).contains(&share), "{share} of the highlights are heard");
}
