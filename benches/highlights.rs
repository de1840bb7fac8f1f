//! How good the moments are on recorded chat, beside the classic baselines, and what each part of fusion is worth.
//!
//!     cargo bench -p clipcore-benches --bench highlights
//!
//! It needs the labelled streams of `chat/lol` in `../shared` (or `CLIPCORE_SHARED`) and says so where they are missing.
//! Rows of ours use the shipped weights as they are. Where those were fitted on these streams, they are in-sample;
//! `clipcore tune --truth` prints the cross-validated figures. Audio and faces are simulated at the detectors' output.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clipcore::detector::ChatBurst;
use clipcore::engine::Engine;
use clipcore::eval::{
    AlarmRule, Baseline, Counts, Detection, Durations, EvalConfig, Label, Observed, Report, comparison_table,
    cross_validated, detections, evaluate, folds, read_labels,
};
use clipcore::event::Kinds;
use clipcore::fusion::{Calibration, EvidenceFusion, FusionSetup, Moment, Role, Weights};
use clipcore::log::Record;
use clipcore::replay::{Found, Replay};
use clipcore::simulate::SignalsConfig;
use clipcore::{Consent, StreamId};

const SEED: u64 = 1;

struct Corpus {
    files: Vec<PathBuf>,
    labels: Vec<Label>,
    counts: BTreeMap<StreamId, Counts>,
    durations: Durations,
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        println!("skipped: run it with cargo bench");
        return;
    }
    let shared = std::env::var_os("CLIPCORE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let Some(corpus) = Corpus::load(&shared.join("chat/lol")) else {
        println!("skipped: {} is not there; set CLIPCORE_SHARED", shared.join("chat/lol").display());
        return;
    };
    let builtin = Weights::builtin().unwrap();
    println!("weights: {}\n", builtin.version);
    let ours = corpus.detect(&builtin, None);
    let config = EvalConfig::default();
    let score = |d: &[Detection]| evaluate(d, &corpus.labels, &corpus.durations, &config);
    let mut rows: Vec<(&str, Report)> = vec![("ours, chat alone", score(&ours))];
    rows.extend(corpus.baselines(&ours, &config).iter().map(|(name, found)| (*name, score(found))));
    print(&rows);

    println!("\nwith simulated audio and faces");
    let all = multimodal(builtin);
    let without = |detector: &str| {
        let mut signals = SignalsConfig::default();
        signals.modalities.retain(|m| m.detector != detector);
        signals
            .modalities
            .iter_mut()
            .filter(|m| m.follows.as_deref() == Some(detector))
            .for_each(|m| m.follows = None);
        signals
    };
    let rows: Vec<(&str, Report)> = [
        ("chat + audio + faces", all.clone(), SignalsConfig::default()),
        ("without audio tagger", all.clone(), without("audio_tagger")),
        ("without loudness", all.clone(), without("loudness")),
        ("without faces", all.clone(), without("face")),
        ("without memory", forgetful(all.clone()), SignalsConfig::default()),
        ("without groups", ungrouped(all), SignalsConfig::default()),
    ]
    .iter()
    .map(|(name, weights, signals)| (*name, score(&corpus.detect(weights, Some(signals)))))
    .collect();
    print(&rows);
}

fn print(rows: &[(&str, Report)]) {
    let rows: Vec<(&str, &Report)> = rows.iter().map(|(name, report)| (*name, report)).collect();
    print!("{}", comparison_table(&rows));
    std::io::stdout().flush().unwrap();
}

/// The shipped weights, with a calibration of the simulated detectors where the file names none. These
/// points are set by hand, so that the rows compare parts with each other and no more.
fn multimodal(mut weights: Weights) -> Weights {
    let sound = weights.calibration.iter().find(|c| c.detector == "loudness").map(|c| c.group.clone());
    let sound = sound.unwrap_or_else(|| "sound".into());
    let face = weights.groups.get(&sound).cloned();
    weights.groups.extend(face.map(|group| ("face".to_owned(), group)));
    for (detector, group) in [("audio_tagger", sound.as_str()), ("face", "face")] {
        if !weights.calibration.iter().any(|c| c.detector == detector) {
            let points = vec![[1.0, 0.2], [3.0, 2.0], [5.0, 3.0], [8.0, 4.0]];
            let (detector, label, group) = (detector.into(), "*".into(), group.into());
            weights.calibration.push(Calibration { detector, label, group, describes: true, points });
        }
    }
    weights
}

/// Fast evidence counts only while it lasts.
fn forgetful(mut weights: Weights) -> Weights {
    for group in weights.groups.values_mut().filter(|g| g.role == Role::Fast) {
        (group.hold, group.decay) = (Duration::from_secs(1), Duration::ZERO);
    }
    weights
}

/// Every detector is a group of its own, so that one cause counts several times.
fn ungrouped(mut weights: Weights) -> Weights {
    for calibration in weights.calibration.iter_mut().filter(|c| c.detector != "*") {
        if let Some(group) = weights.groups.get(&calibration.group).cloned() {
            let own = format!("{}-{}", calibration.group, calibration.detector);
            weights.groups.insert(own.clone(), group);
            calibration.group = own;
        }
    }
    weights
}

impl Corpus {
    fn load(folder: &std::path::Path) -> Option<Self> {
        let labels = read_labels(BufReader::new(File::open(folder.join("labels.csv")).ok()?)).unwrap();
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.map(|e| e.unwrap().path()).collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "gz"));
        files.sort();
        let mut observed = Observed::default();
        for file in &files {
            observed.read(&mut open(file), &Kinds::builtin()).unwrap();
        }
        Some(Self { files, labels, counts: observed.counts, durations: observed.durations.build() })
    }

    fn detect(&self, weights: &Weights, signals: Option<&SignalsConfig>) -> Vec<Detection> {
        let setup = Arc::new(FusionSetup::try_new(weights.clone()).unwrap());
        let mut moments: Vec<Moment> = Vec::new();
        for (file, (stream, length)) in self.files.iter().zip(&self.durations) {
            let mut replay = Replay::new(Box::new(|stream| {
                let fusion = EvidenceFusion::new(stream.clone(), setup.clone());
                Engine::new(stream.clone(), Box::new(fusion)).with_detector(Box::new(ChatBurst::default()))
            }))
            .with_consent(Consent::NONE);
            let mut keep = |found: Found| {
                if let Found::Moment(moment) = found {
                    moments.push(moment);
                }
            };
            replay.read(&mut open(file), &mut keep).unwrap();
            if let Some(signals) = signals {
                let found = signals.sample(stream, length.as_secs_f64(), &self.labels, SEED);
                let lines: Vec<String> =
                    found.into_iter().map(|s| Record::Signal(s).to_json().unwrap()).collect();
                replay.read(&mut lines.join("\n").as_bytes(), &mut keep).unwrap();
            }
            let report = replay.finish(&mut keep).unwrap();
            assert_eq!(report.bad, 0, "{:?}", report.bad_lines);
        }
        detections(&moments)
    }

    fn baselines(&self, ours: &[Detection], config: &EvalConfig) -> [(&'static str, Vec<Detection>); 4] {
        let rule = AlarmRule::default();
        let groups = folds(self.counts.keys().cloned(), 5, SEED);
        let fitted = |baseline| {
            cross_validated(baseline, &self.counts, &self.labels, &rule, config.tolerance, &groups)
        };
        let ewma =
            |(stream, counts)| rule.alarms(stream, &Baseline::EwmaZ.scores(counts), Baseline::EWMA_THRESHOLD);
        [
            ("fixed count, 5-fold", fitted(Baseline::FixedCount)),
            ("trailing z, 5-fold", fitted(Baseline::TrailingZ)),
            ("EWMA z at 3.2", self.counts.iter().flat_map(ewma).collect()),
            ("random alarms", rule.random(&self.durations, ours, SEED)),
        ]
    }
}

fn open(file: &std::path::Path) -> BufReader<flate2::read::MultiGzDecoder<File>> {
    BufReader::new(flate2::read::MultiGzDecoder::new(File::open(file).unwrap()))
}
