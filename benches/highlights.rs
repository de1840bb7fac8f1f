//! How good the moments are on recorded chat, beside the classic baselines, and what each part of fusion is worth.
//!
//!     cargo bench -p clipcore-benches --bench highlights
//!
//! It needs the labelled streams of `chat/lol` in `../shared` (or `CLIPCORE_SHARED`) and says so where they are missing.
//! Every row of ours is cross-validated: weights are fitted to four fifths of the streams and scored on the rest. Audio and faces
//! are simulated at the detectors' output.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use clipcore::detector::ChatBurst;
use clipcore::engine::Engine;
use clipcore::eval::{
    AlarmRule, Baseline, Counts, Detection, Durations, EvalConfig, Label, Observed, Report, comparison_table,
    cross_validated, detections, evaluate, folds, read_labels,
};
use clipcore::event::Kinds;
use clipcore::fusion::{Calibration, Role, Weights};
use clipcore::replay::Replay;
use clipcore::simulate::SignalsConfig;
use clipcore::tune::{Collector, Example, TuneOptions, cross_validate};
use clipcore::{Consent, StreamId};

const SEED: u64 = 1;
const FOLDS: usize = 5;
/// What the detectors of sound and faces answer is drawn anew for each of these.
const DRAWS: [u64; 3] = [1, 2, 3];

struct Corpus {
    examples: Vec<Example>,
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
    let config = EvalConfig::default();
    let score = |d: &[Detection]| evaluate(d, &corpus.labels, &corpus.durations, &config);
    let ours = corpus.detect(&builtin, &[], &TuneOptions::default());
    let mut rows: Vec<(String, Report)> = vec![("ours, chat alone".into(), score(&ours))];
    rows.extend(corpus.baselines(&ours, &config).iter().map(|(name, found)| ((*name).into(), score(found))));
    print(&rows);

    println!("\nwith simulated audio and faces");
    let all = multimodal(builtin);
    // A twentieth below the aim of 5 an hour: what is met on some streams is not quite met on others.
    let options = TuneOptions { max_false_alarms_per_hour: 4.7, ..TuneOptions::default() };
    let usual = SignalsConfig::default();
    let without = |detector: &str| {
        let mut signals = usual.clone();
        signals.modalities.retain(|m| m.detector != detector);
        signals
            .modalities
            .iter_mut()
            .filter(|m| m.follows.as_deref() == Some(detector))
            .for_each(|m| m.follows = None);
        signals
    };
    let rows: Vec<(String, Report)> = [
        ("chat + audio + faces", &all, usual.clone()),
        ("  half the hits, twice the errors", &all, worse(usual.clone())),
        ("  without audio tagger", &all, without("audio_tagger")),
        ("  without loudness", &all, without("loudness")),
        ("  without faces", &all, without("face")),
        ("  without memory", &forgetful(all.clone()), usual.clone()),
        ("  without groups", &ungrouped(all.clone()), usual.clone()),
        ("chat alone", &all, SignalsConfig { modalities: Vec::new() }),
    ]
    .into_iter()
    .flat_map(|(name, weights, signals)| {
        let draws = if name.starts_with("chat +") { &DRAWS[..] } else { &DRAWS[..1] };
        let row = |draw: &u64| {
            let found = corpus.detect(weights, &[(&signals, *draw)], &options);
            (format!("{name}, draw {draw}"), score(&found))
        };
        draws.iter().map(row).collect::<Vec<_>>()
    })
    .collect();
    print(&rows);
}

fn print(rows: &[(String, Report)]) {
    let rows: Vec<(&str, &Report)> = rows.iter().map(|(name, report)| (name.as_str(), report)).collect();
    print!("{}", comparison_table(&rows));
    std::io::stdout().flush().unwrap();
}

/// The shipped weights, with a group of faces and a calibration of the simulated detectors where the file names
/// none; where they are fitted, these points are only the beginning.
fn multimodal(mut weights: Weights) -> Weights {
    let sound = weights.groups["sound"].clone();
    weights.groups.entry("face".into()).or_insert(sound);
    for (detector, group) in [("audio_tagger", "sound"), ("face", "face")] {
        weights.calibration.retain(|c| c.detector != detector);
        let points = vec![[1.0, 0.2], [3.0, 2.0], [5.0, 3.0], [8.0, 4.0]];
        let (detector, label, group) = (detector.into(), "*".into(), group.into());
        weights.calibration.insert(0, Calibration { detector, label, group, describes: true, points });
    }
    weights
}

/// Detectors that hear and see half as much and are fooled twice as often.
fn worse(mut signals: SignalsConfig) -> SignalsConfig {
    for modality in &mut signals.modalities {
        modality.hit_share /= 2.0;
        modality.errors_per_hour *= 2.0;
    }
    signals
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
        let kinds = Kinds::builtin();
        let collector = Collector::default();
        let fusion = collector.factory();
        let mut observed = Observed::default();
        for file in &files {
            observed.read(&mut open(file), &kinds).unwrap();
            let engine = |stream: &StreamId| {
                Engine::new(stream.clone(), fusion(stream)).with_detector(Box::new(ChatBurst::default()))
            };
            let mut replay = Replay::new(Box::new(engine)).with_consent(Consent::NONE);
            replay.read(&mut open(file), &mut |_| {}).unwrap();
            let report = replay.finish(&mut |_| {}).unwrap();
            assert_eq!(report.bad, 0, "{:?}", report.bad_lines);
        }
        let durations = observed.durations.build();
        let examples = collector.take().into_iter().map(|(stream, signals)| {
            let labels = labels.iter().filter(|l| l.stream == stream).cloned().collect();
            let hours = durations[&stream].as_secs_f64() / 3600.0;
            Example { stream, signals, labels, hours }
        });
        let examples = examples.collect();
        Some(Self { examples, labels, counts: observed.counts, durations })
    }

    /// What is found on streams that the weights were not fitted to.
    fn detect(
        &self,
        template: &Weights,
        simulated: &[(&SignalsConfig, u64)],
        options: &TuneOptions,
    ) -> Vec<Detection> {
        let mut examples = self.examples.clone();
        for example in &mut examples {
            for (signals, draw) in simulated {
                let length = self.durations[&example.stream].as_secs_f64();
                example.signals.extend(signals.sample(&example.stream, length, &self.labels, *draw));
            }
            example.signals.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        }
        detections(&cross_validate(template, &examples, FOLDS, SEED, options).unwrap())
    }

    fn baselines(&self, ours: &[Detection], config: &EvalConfig) -> [(&'static str, Vec<Detection>); 4] {
        let rule = AlarmRule::default();
        let groups = folds(self.counts.keys().cloned(), FOLDS, SEED);
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
