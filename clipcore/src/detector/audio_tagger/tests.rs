use std::sync::Arc;

use super::super::{AnyDetector, Signal};
use super::*;
use crate::StreamId;
use crate::conformance::onnx::{Attribute, OnnxFile};
use crate::conformance::{cases, detector};
use crate::event::{AnyEvent, Header};
use crate::model::{
    BackendChoice, Batched, Model, ModelRegistry, OnnxModel, Runtime, RuntimeConfig, Tensors,
};

const CARD: &str = r#"
format = 1
name = "noise"
task = "audio_tags"
file = "noise.onnx"
licence = "CC0-1.0"
source = "made by this test"
labels = ["noise", "quiet"]

[input]
name = "patches"
shape = ["batch", 96, 64]
kind = "log_mel"

[input.log_mel]
rate = 16000
window = 400
hop = 160
fft = 512
spectrum = "magnitude"
mel = "htk"
sides = "mel"
bands = 64
low = 125.0
high = 7500.0
log = "natural"
offset = 0.001

[[output]]
name = "scores"
shape = ["batch", 2]
activation = "sigmoid"

[[group]]
label = "cheer"
labels = ["noise"]

[[group]]
label = "hush"
labels = ["quiet"]
evidence = false
"#;

fn card() -> Card {
    Card::parse(CARD).unwrap()
}

/// A graph whose logit is 4 · (mean of the patch), and less the opposite for the second label.
fn model() -> Arc<dyn Model> {
    let file = OnnxFile::new()
        .input("patches", "float32", &["N", "96", "64"])
        .weight_f32("w", &[1, 2], &[4.0, -4.0])
        .node(
            "ReduceMean",
            &["patches"],
            &["m"],
            &[("axes", Attribute::Ints(&[1, 2])), ("keepdims", Attribute::Int(0))],
        )
        .weight_i64("column", &[2], &[-1, 1])
        .node("Reshape", &["m", "column"], &["c"], &[])
        .node("MatMul", &["c", "w"], &["scores"], &[])
        .output("scores", "float32", &["N", "2"]);
    let pure = RuntimeConfig { backend: BackendChoice::Pure, threads: 1, ..RuntimeConfig::default() };
    let runtime = Runtime::open(&pure).unwrap();
    let model = OnnxModel::from_bytes(&runtime, "noise", &file.bytes(), "noise.onnx").unwrap();
    card().check(model.graph()).unwrap();
    Arc::new(Batched::new(Arc::new(model), 8))
}

/// Counts what it is asked; fails where told to.
struct Counting {
    inner: Arc<dyn Model>,
    asked: std::sync::atomic::AtomicUsize,
    fails_from: usize,
}

impl Model for Counting {
    fn name(&self) -> &str {
        "noise"
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        let asked = self.asked.fetch_add(batch.len(), std::sync::atomic::Ordering::SeqCst);
        if asked >= self.fails_from {
            return Err(Error::invalid("the model is broken"));
        }
        self.inner.infer(batch)
    }
}

/// Noise of the level that `gain` gives for each second, in blocks of 10 ms.
fn noise(seconds: i64, gain: impl Fn(i64) -> f32) -> Vec<AnyEvent> {
    let mut rng = cases::Rng::new(3);
    let stream = StreamId::new("s").unwrap();
    (0..seconds * 100)
        .map(|i| {
            let gain = gain(i / 100);
            let samples: Vec<f32> = (0..160).map(|_| gain * (2.0 * rng.unit() as f32 - 1.0)).collect();
            let header = Header::new(stream.clone(), Timestamp::from_millis(i * 10), "t", "");
            AnyEvent::local(Stamped::new(header, Audio16k { samples: samples.into() }))
        })
        .collect()
}

fn run(events: &[AnyEvent], config: AudioTaggerConfig, fails_from: usize) -> (Vec<Signal>, usize, u64) {
    let model = Arc::new(Counting { inner: model(), asked: 0.into(), fails_from });
    let models = ModelRegistry::default().with_model(model.clone());
    let tagger = AudioTagger::try_new(&card(), config).unwrap();
    let mut detector = AnyDetector::new(Box::new(tagger), StreamId::new("s").unwrap(), None, models);
    events.iter().for_each(|e| detector.detect(e));
    detector.advance(Timestamp::from_secs(10_000));
    let asked = model.asked.load(std::sync::atomic::Ordering::SeqCst);
    (detector.take_signals(), asked, detector.failures())
}

/// Loud from 30 to 36 s, usual otherwise.
fn cheer(second: i64) -> f32 {
    if (30..36).contains(&second) { 0.5 } else { 0.02 }
}

#[test]
fn what_stands_out_is_found_where_it_is_and_on_the_grid() {
    let (signals, ..) = run(&noise(60, cheer), AudioTaggerConfig::default(), usize::MAX);
    assert!(!signals.is_empty());
    for signal in &signals {
        assert_eq!(&*signal.label, "cheer", "context is left out");
        assert_eq!(signal.at.as_micros() % 500_000, 0);
        assert!((30.5..=38.5).contains(&signal.at.as_secs_f64()), "{signal:?}");
        assert!((29.0..=32.0).contains(&signal.onset.as_secs_f64()), "{signal:?}");
    }
    let most = signals.iter().map(|s| s.score).fold(0.0, f64::max);
    assert!(most > 3.0, "{most}");
}

#[test]
fn a_sound_that_goes_on_becomes_usual() {
    let (signals, ..) =
        run(&noise(200, |s| if s >= 30 { 0.5 } else { 0.02 }), AudioTaggerConfig::default(), usize::MAX);
    let last = signals.last().unwrap().at.as_secs_f64();
    assert!((50.0..100.0).contains(&last), "{last}");
}

#[test]
fn a_longer_hold_keeps_short_sounds_out() {
    let short = noise(60, |s| if s == 30 { 0.5 } else { 0.02 });
    let hold = |secs| AudioTaggerConfig { hold: Duration::from_secs(secs), ..AudioTaggerConfig::default() };
    assert!(!run(&short, hold(0), usize::MAX).0.is_empty());
    assert!(run(&short, hold(4), usize::MAX).0.is_empty());
    assert!(!run(&noise(60, cheer), hold(4), usize::MAX).0.is_empty());
}

#[test]
fn silence_costs_nothing_and_says_nothing() {
    let (signals, asked, _) = run(&noise(60, |_| 0.0005), AudioTaggerConfig::default(), usize::MAX);
    assert_eq!((signals.len(), asked), (0, 0));
    let (_, asked, _) = run(&noise(60, |_| 0.02), AudioTaggerConfig::default(), usize::MAX);
    assert!((117..=119).contains(&asked), "{asked} questions in 60 s at two a second");
}

#[test]
fn a_model_that_breaks_costs_its_answers_and_nothing_else() {
    let (signals, asked, failures) = run(&noise(60, cheer), AudioTaggerConfig::default(), 50);
    assert!(signals.is_empty(), "{signals:?}");
    assert_eq!(failures, asked as u64 - 50);
}

#[test]
fn context_is_emitted_when_it_is_asked_for() {
    let config = AudioTaggerConfig { context: true, ..AudioTaggerConfig::default() };
    let (signals, ..) = run(&noise(60, |_| 0.01), config, usize::MAX);
    assert!(signals.iter().any(|s| &*s.label == "hush"));
}

#[test]
fn the_contract_is_kept() {
    let models = ModelRegistry::default().with_model(model());
    let make = || -> Box<dyn crate::detector::DynDetector> {
        Box::new(AudioTagger::try_new(&card(), AudioTaggerConfig::default()).unwrap())
    };
    let events = cases::audio_16k(1);
    detector::check_with_models(make, &events, &models).unwrap();
    let mut subject = AnyDetector::new(make(), cases::stream(), None, models);
    events.iter().for_each(|e| subject.detect(e));
    assert!(!subject.take_signals().is_empty(), "the case is one that finds something");
}

#[test]
fn cards_of_other_models_are_refused_with_the_reason() {
    for (from, to, part) in [
        ("task = \"audio_tags\"", "task = \"voice_activity\"", "not audio_tags"),
        ("rate = 16000", "rate = 32000", "32000 Hz"),
        ("shape = [\"batch\", 96, 64]", "shape = [\"batch\", 64]", "shape is not [batch, frames, bands]"),
    ] {
        let card = Card::parse(&CARD.replace(from, to)).unwrap();
        let error = AudioTagger::try_new(&card, AudioTaggerConfig::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let config = AudioTaggerConfig { hop: Duration::ZERO, ..AudioTaggerConfig::default() };
    let error = AudioTagger::try_new(&card(), config).unwrap_err().to_string();
    assert!(error.contains("hop"), "{error}");
}
