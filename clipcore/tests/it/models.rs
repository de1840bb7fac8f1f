//! The known models, where their files are: cards against graphs, and YAMNet against its reference.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use clipcore::detector::{AnyDetector, VoiceActivity, VoiceActivityConfig};
use clipcore::event::media::Audio16k;
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::model::card::{Card, shipped};
use clipcore::model::front_end::LogMel;
use clipcore::model::{
    BackendChoice, Model, ModelFile, ModelRegistry, OnnxModel, Runtime, RuntimeConfig, StoredModel, Tensor,
    Tensors,
};
use clipcore::{StreamId, Timestamp};
use serde::Deserialize;

use crate::support::programs::{require, run, shared, skipped};

fn stored(name: &str, models: &Path) -> StoredModel {
    let card = shipped().unwrap().into_iter().find(|card| card.name == name).unwrap();
    let folders = std::fs::read_dir(models).unwrap().map(|e| e.unwrap().path());
    let path = folders.map(|dir| dir.join(&card.file)).find(|path| path.is_file()).unwrap();
    StoredModel { card, file: ModelFile::Path(path) }
}

/// The pure backend always, the native one where it is found.
fn runtimes(test: &str) -> Vec<Runtime> {
    let config = |backend| RuntimeConfig { backend, threads: 1, ..RuntimeConfig::default() };
    let mut all = vec![Runtime::open(&config(BackendChoice::Pure)).unwrap()];
    match Runtime::open(&config(BackendChoice::Native)) {
        Ok(native) => all.push(native),
        Err(error) => skipped(test, &format!("on the native backend: {error}")),
    }
    all
}

#[test]
fn every_known_model_loads_and_fits_its_card_on_both_backends() {
    let Some(models) = shared("known models", "models") else { return };
    for runtime in runtimes("known models") {
        for card in shipped().unwrap() {
            let stored = stored(&card.name, &models);
            stored
                .load(&runtime)
                .unwrap_or_else(|e| panic!("{} on {}: {e}", card.name, runtime.found().backend));
        }
    }
}

/// How much of ten seconds Silero takes for speech.
fn speech(silero: &StoredModel, runtime: &Runtime, sound: &[f32]) -> f64 {
    let models = ModelRegistry::default().with_model(Arc::new(silero.load(runtime).unwrap()));
    let detector = VoiceActivity::try_new(&silero.card, VoiceActivityConfig::default()).unwrap();
    let stream = StreamId::new("s").unwrap();
    let mut detector = AnyDetector::new(Box::new(detector), stream.clone(), None, models);
    for (i, block) in sound.chunks(1600).enumerate() {
        let header = Header::new(stream.clone(), Timestamp::from_millis(100 * i as i64), "t", "");
        detector.detect(&AnyEvent::local(Stamped::new(header, Audio16k { samples: block.into() })));
    }
    detector.advance(Timestamp::from_secs(100));
    assert_eq!(detector.failures(), 0);
    detector.take_signals().len() as f64 / (sound.len() as f64 / 8000.0)
}

#[test]
fn silero_hears_readers_and_neither_music_nor_a_robin() {
    let test = "Silero";
    let (Some(models), Some(audio)) = (shared(test, "models"), shared(test, "media/audio/librosa")) else {
        return;
    };
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let silero = stored("silero_vad", &models);
    for runtime in runtimes(test) {
        for (clip, speaks) in [
            ("198-209-0000", true),
            ("3436-172162-0000", true),
            ("5703-47212-0000", true),
            ("sorohanro_-_solo-trumpet-06", false),
            ("Kevin_MacLeod_-_Vibe_Ace", false),
            ("456440__inspectorj__bird-whistling-robin-single-13", false),
        ] {
            let part = speech(&silero, &runtime, &decode(&audio.join(format!("{clip}.hq.ogg"))));
            assert_eq!(part > 0.7, speaks, "{clip}: {part} on {}", runtime.found().backend);
            assert!(speaks || part < 0.2, "{clip}: {part}");
        }
    }
}

#[derive(Deserialize)]
struct Reference {
    clip: String,
    scores: Vec<(usize, f32)>,
}

const SECONDS: &str = "6";
const HOP: usize = 7680;

fn decode(path: &Path) -> Vec<f32> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path);
    command.args(["-t", SECONDS, "-ac", "1", "-ar", "16000", "-f", "f32le", "pipe:1"]);
    run(&mut command).chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The mean scores of a clip, through our front end.
fn mean_scores(model: &OnnxModel, card: &Card, mut samples: Vec<f32>) -> Vec<f32> {
    let mel = card.input.log_mel.clone().unwrap();
    let patch = mel.samples(96);
    samples.resize(samples.len().max(patch), 0.0);
    let mut front_end = LogMel::try_new(mel).unwrap();
    let patches: Vec<Tensors> = (0..=samples.len() - patch)
        .step_by(HOP)
        .map(|at| front_end.run(&samples[at..at + patch]).into())
        .collect();
    let answers = model.infer(&patches).unwrap();
    let mut mean = Tensor::zeros(vec![521]);
    for answer in &answers {
        mean += answer.get("scores").unwrap();
    }
    mean.iter().map(|x| x / answers.len() as f32).collect()
}

/// `scripts/yamnet_reference.py` made the values, with numpy and onnxruntime.
#[test]
fn yamnet_gives_the_scores_of_its_reference_on_twenty_clips() {
    let test = "YAMNet's reference";
    let (Some(models), Some(audio)) = (shared(test, "models"), shared(test, "media/audio")) else { return };
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let stored = stored("yamnet", &models);
    let reference: Vec<Reference> = include_str!("yamnet_reference.json")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(reference.len(), 20);
    for runtime in runtimes(test) {
        let model = stored.load(&runtime).unwrap();
        let mut worst = 0.0f32;
        for Reference { clip, scores } in &reference {
            let found = mean_scores(&model, &stored.card, decode(&audio.join(clip)));
            let mut expected = [0.0; 521];
            scores.iter().for_each(|(class, score)| expected[*class] = *score);
            let off = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
            assert!(off < 1e-3, "{clip} on {}: off by {off}", runtime.found().backend);
            worst = worst.max(off);
        }
        println!("{}: off by at most {worst}", runtime.found().backend);
    }
}
