//! What the audio tagger finds, and what it costs.
//!
//!     python benches/compare/audio_mixes.py DIR
//!     TAGGER_MIXES=DIR TAGGER_FOLDS=CACHE cargo bench -p clipcore-benches --bench tagger
//!
//! Quality: streams of laughter, cheers, applause and screams over speech, music and noise, by loudness, by the embedded model
//! and, where `../shared` has it, by YAMNet. Thresholds, one a label, are those that give six false alarms an hour
//! in all on the other fold, whose recordings are others. Cost: processor time a second of sound, on one thread; `benches/compare/tagger.py` measures librosa
//! and onnxruntime beside it. Calibrations for fusion come last. `TAGGER_PART=quality` or `cost` runs one part.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "tagger/cost.rs"]
mod cost;
#[path = "tagger/mixes.rs"]
mod mixes;
#[path = "tagger/points.rs"]
mod points;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clipcore::detector::{AudioTagger, AudioTaggerConfig, DynDetector, Loudness, LoudnessConfig};
use clipcore::model::card::Card;
use clipcore::model::{
    BackendChoice, ModelFile, ModelRegistry, ModelStore, Runtime, RuntimeConfig, StoredModel,
};
use mixes::{Heard, KINDS, SNRS};

/// A way to find events.
pub struct System {
    pub name: String,
    pub card: Option<Card>,
    /// The models for streams of each fold.
    pub registries: [ModelRegistry; 2],
    /// How long its score must have been high enough.
    pub hold: Duration,
}

impl System {
    /// A detector that emits every score.
    pub fn detector(&self) -> Box<dyn DynDetector> {
        let Some(card) = &self.card else {
            let config = LoudnessConfig { min_z: 0.0, ..LoudnessConfig::default() };
            return Box::new(Loudness::try_new(config).unwrap());
        };
        let config =
            AudioTaggerConfig { min_score: -16.0, hold: Duration::ZERO, ..AudioTaggerConfig::default() };
        Box::new(AudioTagger::try_new(card, config).unwrap())
    }
}

pub fn runtime(backend: BackendChoice) -> Option<Runtime> {
    Runtime::open(&RuntimeConfig { backend, threads: 1, ..RuntimeConfig::default() }).ok()
}

/// The models that are here: the embedded one, and YAMNet of `../shared`.
pub fn models() -> Vec<StoredModel> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let shared = std::env::var_os("CLIPCORE_SHARED").map_or(beside, PathBuf::from);
    let store = ModelStore::new(shared.join("models/yamnet"));
    let found = ["tagger", "yamnet"].iter().filter_map(|name| store.find(name).ok());
    found.filter(StoredModel::is_there).collect()
}

/// The embedded model as it was trained without a fold's recordings, where `TAGGER_FOLDS` has it: the shipped one has seen both.
fn of_fold(stored: &StoredModel, fold: usize) -> StoredModel {
    let path =
        std::env::var_os("TAGGER_FOLDS").map(|dir| PathBuf::from(dir).join(format!("fold{fold}.onnx")));
    match (&stored.file, path.filter(|path| path.is_file())) {
        (ModelFile::Embedded(_), Some(path)) => {
            let card = Card { sha256: None, ..stored.card.clone() };
            StoredModel { card, file: ModelFile::Path(path) }
        }
        (ModelFile::Embedded(_), None) => {
            println!(
                "{} has seen the recordings of fold {fold}: its figures there are too good",
                stored.card.name
            );
            stored.clone()
        }
        _ => stored.clone(),
    }
}

fn systems() -> Vec<System> {
    let runtime = runtime(BackendChoice::Auto).unwrap();
    println!("models run on {}", runtime.found().backend);
    let mut all = vec![System {
        name: "loudness".into(),
        card: None,
        registries: Default::default(),
        hold: Duration::ZERO,
    }];
    for stored in models() {
        let load = |stored: &StoredModel| {
            ModelRegistry::default().with_model(Arc::new(stored.load(&runtime).unwrap()))
        };
        all.push(System {
            name: stored.card.name.clone(),
            registries: [0, 1].map(|fold| load(&of_fold(&stored, fold))),
            card: Some(stored.card),
            hold: AudioTaggerConfig::default().hold,
        });
    }
    all
}

fn quality(dir: &std::path::Path) {
    let streams = mixes::read(dir);
    println!("{} streams, {:.1} h\n", streams.len(), streams.iter().map(|s| s.seconds).sum::<f64>() / 3600.0);
    let heard: Vec<(System, Vec<Heard>)> = systems()
        .into_iter()
        .map(|system| {
            let heard = streams.iter().map(|stream| mixes::listen(&system, stream)).collect();
            (system, heard)
        })
        .collect();
    println!("Area under the curve, 5 s clips with an event against clips without one:\n");
    let mut head = vec!["system".to_owned(), "event".to_owned()];
    head.extend(SNRS.iter().map(|snr| format!("{snr} dB")));
    common::head(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for (system, heard) in &heard {
        for kind in KINDS {
            let mut cells = vec![system.name.clone(), kind.to_owned()];
            cells.extend(
                SNRS.iter().map(|snr| format!("{:.3}", mixes::auc(&streams, heard, system, kind, *snr))),
            );
            common::row(&cells);
        }
    }
    println!(
        "\nEvents found, with the right label, and false alarms an hour, at thresholds from the other fold:\n"
    );
    common::head(&["system", "SNR", "found", "right label", "false alarms/h"]);
    for (system, heard) in &heard {
        let thresholds = [0, 1].map(|fold| mixes::thresholds(&streams, heard, system, 1 - fold));
        for snr in SNRS.iter().copied().map(Some).chain([None]) {
            let t = mixes::tally(&streams, heard, system, &thresholds, snr);
            common::row(&[
                system.name.clone(),
                snr.map_or("all".to_owned(), |snr| format!("{snr} dB")),
                format!("{:.2}", t.found as f64 / t.events as f64),
                system
                    .card
                    .as_ref()
                    .map_or("-".to_owned(), |_| format!("{:.2}", t.right as f64 / t.events as f64)),
                format!("{:.1}", t.false_alarms as f64 / t.hours),
            ]);
        }
        println!("thresholds of {}: {:?}", system.name, thresholds);
    }
    for (system, heard) in heard.iter().filter(|(s, _)| s.card.is_some()) {
        points::print(system, &streams, heard);
    }
}

fn main() {
    if !common::wanted() {
        return;
    }
    println!("{}", common::cpu::machine());
    let part = std::env::var("TAGGER_PART").unwrap_or_default();
    let wants = |name: &str| part.is_empty() || part == name;
    if wants("cost") {
        cost::run();
    }
    match std::env::var_os("TAGGER_MIXES").map(PathBuf::from) {
        Some(dir) => {
            if wants("quality") {
                quality(&dir);
            }
        }
        None => {
            println!("quality is not measured: TAGGER_MIXES names no folder (benches/compare/audio_mixes.py)")
        }
    }
}
