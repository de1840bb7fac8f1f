//! `clipcore tune` makes weights that are better on streams it has not seen, and says nothing that it cannot know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clipcore::StreamId;
use clipcore::eval::{Label, read_labels};
use clipcore::fusion::{Moment, MomentState, Weights};
use clipcore_cli::cli::{Cli, Command};
use clipcore_cli::commands;
use serde_json::Value;

/// What a command told on standard output and on standard error, or its error.
fn clipcore(args: &[&str]) -> anyhow::Result<(String, String)> {
    let cli = Cli::try_parse_from([&["clipcore"], args].concat())?;
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    match &cli.command {
        Command::Tune(args) => commands::tune::run(args, &cli.global, &mut out, &mut remarks)?,
        Command::Eval(args) => commands::eval::run(args, &cli.global, &mut out, &mut remarks)?,
        Command::Simulate(args) => commands::simulate::run(args, &mut remarks)?,
        other => panic!("{other:?}"),
    }
    Ok((String::from_utf8(out)?, String::from_utf8(remarks)?))
}

/// A folder of simulated streams whose highlights chat notices.
struct World(tempfile::TempDir);

impl World {
    fn new(streams: u32, highlights: &str) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        fs::write(world.path("scenario.toml"), "[highlights]\nlift = 3.0\nunanswered = 0.1\n").unwrap();
        let (out, scenario) = (world.text("."), world.text("scenario.toml"));
        let n = streams.to_string();
        let mut args = vec!["simulate", "--out", &out, "--streams", &n, "--hours", "0.6"];
        args.extend(["--highlights", highlights, "--scenario", &scenario]);
        clipcore(&args).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn files(&self, streams: std::ops::Range<u32>) -> Vec<String> {
        streams.map(|i| self.text(&format!("sim-{i}.jsonl.gz"))).collect()
    }

    /// The shipped weights with another threshold.
    fn weights(&self, name: &str, raise: f64) -> String {
        let mut weights = Weights::builtin().unwrap();
        weights.fitted_to.clear();
        weights.decision.enter += raise;
        weights.save(&self.path(name)).unwrap();
        self.text(name)
    }

    fn run(&self, args: &[&str], files: &[String]) -> anyhow::Result<(String, String)> {
        clipcore(&[args, &files.iter().map(String::as_str).collect::<Vec<_>>()].concat())
    }

    fn f1(&self, weights: &str, streams: std::ops::Range<u32>) -> f64 {
        let truth = self.text("labels.csv");
        let args = ["eval", "--truth", &truth, "--weights", weights, "--json", "--events"];
        let (out, _) = self.run(&args, &self.files(streams)).unwrap();
        let told: Value = serde_json::from_str(&out).unwrap();
        told["moments"]["f1"]["value"].as_f64().unwrap()
    }

    fn labels(&self) -> Vec<Label> {
        read_labels(fs::read(self.path("labels.csv")).unwrap().as_slice()).unwrap()
    }

    /// Judges what these weights find as somebody would who knows the truth; gives the feedback's file.
    fn judge(&self, weights: &str, streams: std::ops::Range<u32>) -> String {
        let setup = clipcore::fusion::FusionConfig { weights: Some(weights.into()), ..Default::default() };
        let fusion = setup.factory().unwrap();
        let mut found: BTreeMap<String, Moment> = BTreeMap::new();
        for file in self.files(streams) {
            let mut replay = clipcore::replay::Replay::new(Box::new(|stream: &StreamId| {
                clipcore::engine::Engine::new(stream.clone(), fusion(stream))
                    .with_detector(Box::new(clipcore::detector::ChatBurst::default()))
            }));
            let mut keep = |f| {
                if let clipcore::replay::Found::Moment(m) = f {
                    found.insert(m.id.to_string(), m);
                }
            };
            let packed = std::io::BufReader::new(fs::File::open(Path::new(&file)).unwrap());
            let mut text = std::io::BufReader::new(flate2::bufread::MultiGzDecoder::new(packed));
            replay.read(&mut text, &mut keep).unwrap();
            replay.finish(&mut keep).unwrap();
        }
        let (mut moments, mut feedback) = (String::new(), String::new());
        let labels = self.labels();
        for (id, m) in found.iter().filter(|(_, m)| m.state == MomentState::Closed) {
            let late = std::time::Duration::from_secs(35);
            let hit =
                labels.iter().any(|l| l.stream == m.stream && l.start <= m.peak && m.peak <= l.end + late);
            let verdict = if hit { "approved" } else { "rejected" };
            moments += &format!("{}\n", serde_json::to_string(m).unwrap());
            feedback += &format!("{{\"moment\":\"{id}\",\"verdict\":\"{verdict}\",\"by\":\"anna\"}}\n");
        }
        fs::write(self.path("moments.jsonl"), moments).unwrap();
        fs::write(self.path("feedback.jsonl"), feedback).unwrap();
        self.text("feedback.jsonl")
    }
}

fn enter(weights: &str) -> f64 {
    Weights::load(Path::new(weights)).unwrap().decision.enter
}

#[test]
fn labels_make_weights_that_are_better_on_other_streams() {
    let world = World::new(9, "20");
    let (deaf, tuned, truth) =
        (world.weights("deaf.toml", 2.0), world.text("tuned.toml"), world.text("labels.csv"));
    let args = ["tune", "--truth", &truth, "--weights", &deaf, "-o", &tuned, "--json"];
    let (out, remarks) = world.run(&args, &world.files(0..6)).unwrap();
    let told: Value = serde_json::from_str(&out).unwrap();
    let f1 =
        |row: &str| told["rows"][row]["f1"]["value"].as_f64().unwrap_or_else(|| panic!("no {row} in {out}"));
    assert!(f1("tuned, CV in 5") > f1("in use: lol-chat-2") + 0.1, "{out}");
    assert!(f1("tuned, CV in 5") > f1("random alarms"));
    assert!(f1("EWMA z at 3.2") > 0.0 && f1("fixed count, CV") > 0.0 && f1("trailing z, CV") > 0.0);
    assert!(remarks.contains("3 labelled streams have no events"), "{remarks}");
    let (before, after) = (world.f1(&deaf, 6..9), world.f1(&tuned, 6..9));
    assert!(after > before + 0.1, "{before} before, {after} after");

    // Neither command tells a score on the streams that the weights were fitted to.
    let again = ["eval", "--truth", &truth, "--weights", &tuned, "--events"];
    let error = world.run(&again, &world.files(4..7)).unwrap_err();
    assert!(format!("{error:#}").contains("fitted to 2 of the 3 streams"), "{error:#}");
    let (out, _) = world.run(&["tune", "--truth", &truth, "--weights", &tuned], &world.files(0..3)).unwrap();
    assert!(out.contains("were fitted to 3 of these 3 streams") && !out.contains("in use:"), "{out}");
}

#[test]
fn the_same_input_gives_the_same_file() {
    let world = World::new(3, "20");
    let truth = world.text("labels.csv");
    let mut written = Vec::new();
    for name in ["a.toml", "b.toml"] {
        let file = world.text(name);
        let (out, _) = world.run(&["tune", "--truth", &truth, "-o", &file], &world.files(0..3)).unwrap();
        written.push((out, fs::read_to_string(&file).unwrap()));
    }
    assert!(written[0].0.contains("tuned, CV in 3"), "as many groups as there are streams: {}", written[0].0);
    assert_eq!(written[0], written[1]);
}

#[test]
fn a_plot_shows_the_evidence_with_its_threshold_beside_signals_moments_and_labels() {
    let world = World::new(1, "20");
    let (truth, plots) = (world.text("labels.csv"), world.text("plots"));
    let args = ["eval", "--truth", &truth, "--plot", &plots, "--events"];
    let (out, _) = world.run(&args, &world.files(0..1)).unwrap();
    assert!(out.contains("P@10") && out.contains("mAP.5") && out.contains("decided p50"), "{out}");
    let svg = fs::read_to_string(world.path("plots/sim-0.svg")).unwrap();
    for part in ["evidence", "class=\"threshold\"", "burst", "messages/s", "class=\"hit\"", "class=\"found\""]
    {
        assert!(svg.contains(part), "no {part}");
    }
}

#[test]
fn one_stream_gives_weights_and_no_figures() {
    let world = World::new(1, "20");
    let (truth, file) = (world.text("labels.csv"), world.text("w.toml"));
    let (out, remarks) = world.run(&["tune", "--truth", &truth, "-o", &file], &world.files(0..1)).unwrap();
    assert!(out.contains("no figures") && out.contains("second stream") && !out.contains("F1"), "{out}");
    assert!(remarks.contains("w.toml"));
    let fitted_to = Weights::load(Path::new(&file)).unwrap().fitted_to;
    assert!(fitted_to.iter().any(|s| s == "sim-0"), "{fitted_to:?}");
}

#[test]
fn verdicts_move_the_threshold_to_where_people_approve() {
    // Weights that find too much are held back, and those that find too little let more through.
    for (highlights, raise, up) in [("6", -0.9, true), ("20", 0.7, false)] {
        let world = World::new(9, highlights);
        let file = world.text("mine.toml");
        let weights = world.weights("in-use.toml", raise);
        let feedback = world.judge(&weights, 0..6);
        let args = ["tune", "--feedback", &feedback, "--weights", &weights, "-o", &file];
        let (out, _) = clipcore(&args).unwrap();
        assert!(out.contains("recall is unknown") && out.contains("not learned from"), "{out}");
        assert_eq!(enter(&file) > enter(&weights), up, "{out}");
        let (before, after) = (world.f1(&weights, 6..9), world.f1(&file, 6..9));
        assert!(after > before, "{before} before, {after} after\n{out}");
    }
    let world = World::new(1, "6");
    let feedback = world.judge(&world.weights("in-use.toml", 0.0), 0..1);
    fs::write(world.path("feedback.jsonl"), "{\"moment\":\"0000000000000000\",\"verdict\":\"approved\"}\n")
        .unwrap();
    let error = clipcore(&["tune", "--feedback", &feedback]).unwrap_err();
    assert!(format!("{error:#}").contains("no verdict is about any of these moments"), "{error:#}");
}
