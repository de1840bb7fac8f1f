use std::sync::Arc;

use super::super::{AnyDetector, DynDetector, Signal};
use super::*;
use crate::StreamId;
use crate::conformance::{cases, detector};
use crate::event::{AnyEvent, Header};
use crate::model::{Model, ModelRegistry};

const CARD: &str = r#"
format = 1
name = "voices"
task = "voice_activity"
file = "voices.onnx"
licence = "CC0-1.0"
source = "made by this test"
labels = ["speech"]

[input]
name = "input"
shape = ["batch", 576]
kind = "waveform"

[input.waveform]
rate = 16000
samples = 512
context = 64

[[state]]
input = "state"
output = "stateN"
shape = [2]

[[constant]]
input = "sr"
value = 16000.0

[[output]]
name = "output"
shape = ["batch", 1]
"#;

/// Takes what is loud for speech. It remembers the end of the last piece, which must stand before the next, and how many
/// pieces it has heard; it fails on the piece of the number that it is told.
struct Loud {
    fails_at: f32,
}

impl Model for Loud {
    fn name(&self) -> &str {
        "voices"
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        let answer = |item: &Tensors| {
            assert_eq!(item.get("sr").unwrap().iter().copied().collect::<Vec<_>>(), [16_000.0]);
            let sound: Vec<f32> = item.get("input").unwrap().iter().copied().collect();
            let memory: Vec<f32> = item.get("state").unwrap().iter().copied().collect();
            assert_eq!((sound.len(), sound[63]), (576, memory[0]), "a piece goes on from the last one");
            if memory[1] == self.fails_at {
                return Err(Error::invalid("the model is broken"));
            }
            let level = sound[64..].iter().map(|x| x.abs()).sum::<f32>() / 512.0;
            let memory = ndarray::arr1(&[sound[575], memory[1] + 1.0]).into_dyn();
            let p = ndarray::arr1(&[if level > 0.1 { 0.9 } else { 0.1 }]).into_dyn();
            Ok(Tensors::new().with("output", p).with("stateN", memory))
        };
        batch.iter().map(answer).collect()
    }
}

fn make() -> Box<dyn DynDetector> {
    let card = Card::parse(CARD).unwrap();
    Box::new(VoiceActivity::try_new(&card, VoiceActivityConfig::default()).unwrap())
}

fn models(fails_at: f32) -> ModelRegistry {
    ModelRegistry::default().with_model(Arc::new(Loud { fails_at }))
}

/// Sound that is loud where `loud` says so of a millisecond, in blocks of 10 ms; nothing where it says nothing.
fn sound(seconds: i64, loud: impl Fn(i64) -> Option<bool>) -> Vec<AnyEvent> {
    let mut rng = cases::Rng::new(5);
    let block = |i: i64| {
        let gain = if loud(10 * i)? { 0.8 } else { 0.01 };
        let samples: Vec<f32> = (0..160).map(|_| gain * (2.0 * rng.unit() as f32 - 1.0)).collect();
        let header = Header::new(StreamId::new("s").ok()?, Timestamp::from_millis(i * 10), "t", "");
        Some(AnyEvent::local(Stamped::new(header, Audio16k { samples: samples.into() })))
    };
    (0..seconds * 100).filter_map(block).collect()
}

fn run(events: &[AnyEvent], fails_at: f32) -> (Vec<Signal>, u64) {
    let mut detector = AnyDetector::new(make(), StreamId::new("s").unwrap(), None, models(fails_at));
    events.iter().for_each(|e| detector.detect(e));
    detector.advance(Timestamp::from_secs(1000));
    (detector.take_signals(), detector.failures())
}

fn onsets(signals: &[Signal]) -> Vec<i64> {
    let mut onsets: Vec<i64> = signals.iter().map(|s| s.onset.as_micros() / 1000).collect();
    onsets.dedup();
    onsets
}

#[test]
fn speech_is_told_soon_and_while_it_lasts_and_from_where_it_began() {
    let (signals, failures) = run(&sound(20, |ms| Some((5000..9000).contains(&ms))), f32::NAN);
    let [onset] = onsets(&signals)[..] else { panic!("{signals:?}") };
    assert!((4968..=5032).contains(&onset), "{onset}");
    let at: Vec<i64> = signals.iter().map(|s| s.at.as_micros() / 1000).collect();
    assert!((5218..=5314).contains(&at[0]), "{at:?}");
    assert!(at.windows(2).all(|w| (250..=544).contains(&(w[1] - w[0]))), "{at:?}");
    assert!((8468..=9032).contains(at.last().unwrap()), "{at:?}");
    assert!(signals.iter().all(|s| &*s.label == "speech" && (1.9..2.3).contains(&s.score)), "{signals:?}");
    assert_eq!(failures, 0);
}

#[test]
fn a_click_is_no_speech_and_a_short_pause_does_not_end_it() {
    let clicks = sound(10, |ms| Some(ms % 1000 < 100));
    assert!(run(&clicks, f32::NAN).0.is_empty());
    let short = sound(10, |ms| Some((2000..6000).contains(&ms) && !(4000..4050).contains(&ms)));
    assert_eq!(onsets(&run(&short, f32::NAN).0).len(), 1);
    let long = sound(10, |ms| Some((2000..6000).contains(&ms) && !(4000..4250).contains(&ms)));
    assert_eq!(onsets(&run(&long, f32::NAN).0).len(), 2);
}

#[test]
fn after_a_hole_the_model_begins_anew() {
    let (signals, failures) =
        run(&sound(10, |ms| (!(4000..5000).contains(&ms)).then_some(ms >= 2000)), f32::NAN);
    let [first, second] = onsets(&signals)[..] else { panic!("{signals:?}") };
    assert!((1968..=2032).contains(&first) && second == 5000, "{first} {second}");
    assert_eq!(failures, 0, "sound from before the hole is not taken for what stands before it");
}

#[test]
fn a_piece_that_the_model_fails_on_costs_that_piece() {
    let (signals, failures) = run(&sound(9, |ms| Some(ms >= 2000)), 150.0);
    let [first, second] = onsets(&signals)[..] else { panic!("{signals:?}") };
    assert!((1968..=2032).contains(&first) && (4800..=4900).contains(&second), "{first} {second}");
    assert_eq!(failures, 1);
}

#[test]
fn the_contract_is_kept() {
    detector::check_with_models(make, &cases::audio_16k(1), &models(f32::NAN)).unwrap();
    let mut subject = AnyDetector::new(make(), cases::stream(), None, models(f32::NAN));
    cases::audio_16k(1).iter().for_each(|e| subject.detect(e));
    assert!(!subject.take_signals().is_empty(), "the case is one that finds something");
}

#[test]
fn cards_of_other_models_and_settings_out_of_range_are_refused_with_the_reason() {
    for (from, to, part) in [
        ("task = \"voice_activity\"", "task = \"expressions\"", "not voice_activity"),
        ("rate = 16000", "rate = 8000", "8000 Hz"),
    ] {
        let card = Card::parse(&CARD.replace(from, to)).unwrap();
        let error = VoiceActivity::try_new(&card, VoiceActivityConfig::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let config = VoiceActivityConfig { threshold: 1.5, ..VoiceActivityConfig::default() };
    assert!(config.validate().unwrap_err().to_string().contains("threshold"));
}
