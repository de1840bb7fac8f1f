//! The detectors on painted faces: a bright square is a face, and how bright says how much it smiles.

use std::sync::Arc;

use ndarray::{Array1, Array2};

use super::*;
use crate::conformance::detector;
use crate::detector::testing::at;
use crate::detector::{AnyDetector, DetectorInfo, DynDetector, Signal};
use crate::engine::Engine;
use crate::event::media::VideoFrame;
use crate::event::{AnyEvent, FaceExpression};
use crate::fusion::FusionConfig;
use crate::model::image::{Colour, ImageFrontEnd, ImageSize};
use crate::model::{Model, ModelRegistry, Tensor, Tensors};
use crate::{Consent, Result, StreamId, Timestamp};

const SIZE: (u32, u32) = (128, 64);

/// A frame with faces: column, row, side in pixels, and how much each smiles.
fn frame(faces: &[(u32, u32, u32, f32)]) -> VideoFrame {
    let mut rgb = vec![20u8; (SIZE.0 * SIZE.1 * 3) as usize];
    for (left, top, side, smile) in faces {
        for y in *top..top + side {
            for x in *left..left + side {
                let pixel = ((y * SIZE.0 + x) * 3) as usize;
                rgb[pixel..pixel + 3].fill(100 + (smile * 150.0) as u8);
            }
        }
    }
    VideoFrame { width: SIZE.0, height: SIZE.1, rgb: rgb.into() }
}

/// Finds what is bright: the columns that hold bright pixels, run by run.
struct Finder;

impl Model for Finder {
    fn name(&self) -> &str {
        "finder"
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        Ok(batch.iter().map(|item| Tensors::new().with("faces", bright(item.first().unwrap()))).collect())
    }
}

fn bright(picture: &Tensor) -> Tensor {
    let (height, width) = (picture.shape()[1], picture.shape()[2]);
    let lit = |x: usize| (0..height).filter(move |y| picture[[0, *y, x]] > 60.0);
    let (mut values, mut x) = (Vec::new(), 0);
    while x < width {
        let run = (x..width).take_while(|x| lit(*x).next().is_some()).count();
        if run > 3 {
            let (top, bottom) = (lit(x + run / 2).min().unwrap(), lit(x + run / 2).max().unwrap());
            values.extend([x as f32, top as f32, run as f32, (bottom - top + 1) as f32, 0.9]);
        }
        x += run + 1;
    }
    Array2::from_shape_vec((values.len() / 5, 5), values).unwrap().into_dyn()
}

/// Reads how bright the middle of a crop is.
struct Reader {
    answers: usize,
}

impl Model for Reader {
    fn name(&self) -> &str {
        "reader"
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        let read = |item: &Tensors| {
            let smile = (item.first().unwrap()[[8, 8, 0]] - 100.0) / 150.0;
            Tensors::from(
                Array1::from_iter([smile, 1.0 - smile].into_iter().cycle().take(self.answers)).into_dyn(),
            )
        };
        Ok(batch.iter().map(read).collect())
    }
}

fn models() -> ModelRegistry {
    ModelRegistry::default().with_model(Arc::new(Finder)).with_model(Arc::new(Reader { answers: 2 }))
}

fn ports() -> (FinderPort, ExpressionPort) {
    let plain =
        |size, colour, channels_last| ImageFrontEnd { size, colour, channels_last, mean: 0.0, scale: 1.0 };
    let finder = plain(ImageSize::MultipleOf { step: 32, side: 128 }, Colour::Bgr, false);
    let crop = plain(ImageSize::Fixed { width: 16, height: 16 }, Colour::Grey, true);
    let labels = vec!["Happy".to_owned(), "neutral".to_owned()];
    (
        FinderPort { model: "finder".into(), input: finder },
        ExpressionPort { model: "reader".into(), input: crop, labels },
    )
}

fn detector(config: FaceConfig) -> Box<dyn DynDetector> {
    let (finder, expression) = ports();
    Box::new(FaceDetector::try_new(config, finder, expression).unwrap())
}

/// Frames every `step` seconds up to `end`, with the faces that `show` says.
fn frames(step: f64, end: f64, show: impl Fn(f64) -> Vec<(u32, u32, u32, f32)>) -> Vec<AnyEvent> {
    (0..(end / step) as u32).map(|i| f64::from(i) * step).map(|t| at(t, frame(&show(t)))).collect()
}

fn find_with(models: ModelRegistry, events: &[AnyEvent], end: f64) -> (Vec<Signal>, u64) {
    let stream = StreamId::new("s").unwrap();
    let mut bound = AnyDetector::new(detector(FaceConfig::default()), stream, None, models);
    events.iter().for_each(|event| bound.detect(event));
    bound.advance(Timestamp::try_from_secs_f64(end).unwrap());
    (bound.take_signals(), bound.failures())
}

fn find(events: &[AnyEvent], end: f64) -> Vec<Signal> {
    find_with(models(), events, end).0
}

fn label<'a>(signals: &'a [Signal], label: &str) -> Vec<&'a Signal> {
    signals.iter().filter(|s| &*s.label == label).collect()
}

/// In the lower left corner, as a webcam's.
fn webcam(smile: f32) -> Vec<(u32, u32, u32, f32)> {
    vec![(10, 32, 28, smile)]
}

#[test]
fn a_smile_that_lasts_is_found_at_any_rate_of_frames() {
    for step in [0.2, 0.5, 2.0] {
        let events = frames(step, 100.0, |t| webcam(if (60.0..64.0).contains(&t) { 0.9 } else { 0.1 }));
        let signals = find(&events, 100.0);
        let smiles = label(&signals, "smile");
        let first = smiles.first().unwrap_or_else(|| panic!("nothing at a frame every {step} s"));
        assert_eq!(first.onset, Timestamp::from_secs(60), "every {step} s");
        assert!(first.at.as_secs_f64() <= 60.0 + 0.8 + 2.0 * step, "every {step} s: {}", first.at);
        assert!(
            smiles.iter().all(|s| s.score >= 2.0 && s.at.as_secs_f64() < 64.0 + step + 1.0),
            "{smiles:?}"
        );
        assert!(!label(&signals, "expression").is_empty(), "a smile is a change");
        assert!(label(&signals, "surprise").is_empty());
    }
}

#[test]
fn one_frame_is_no_evidence() {
    for (step, lasts) in [(0.2, 0.5), (2.0, 1.0)] {
        let events =
            frames(step, 100.0, |t| webcam(if (60.0..60.0 + lasts).contains(&t) { 0.9 } else { 0.1 }));
        assert_eq!(find(&events, 100.0), [], "a frame every {step} s");
    }
}

/// Notes how large the pictures are that it is shown.
struct Shown(std::sync::Mutex<Vec<usize>>);

impl Model for Shown {
    fn name(&self) -> &str {
        "finder"
    }

    fn infer(&self, batch: &[Tensors]) -> Result<Vec<Tensors>> {
        self.0.lock().unwrap().extend(batch.iter().map(|item| item.first().unwrap().len() / 3));
        Finder.infer(batch)
    }
}

#[test]
fn a_known_face_is_looked_at_in_as_small_a_picture_as_it_needs() {
    // As large as a frame of 1920 × 1080 with a face of 280 pixels.
    let large = |t: f64| {
        let small = frame(&webcam(if t > 60.0 { 0.9 } else { 0.1 }));
        let (width, height) = (SIZE.0 * 10, SIZE.1 * 10);
        let pixel = |i: u32| {
            let from = ((i / width / 10 * SIZE.0 + i % width / 10) * 3) as usize;
            [small.rgb[from], small.rgb[from + 1], small.rgb[from + 2]]
        };
        at(t, VideoFrame { width, height, rgb: (0..width * height).flat_map(pixel).collect() })
    };
    let events: Vec<AnyEvent> = (0..80).map(|t| large(f64::from(t))).collect();
    let shown = Arc::new(Shown(std::sync::Mutex::default()));
    let (mut finder, expression) = ports();
    finder.input.size = ImageSize::MultipleOf { step: 32, side: 640 };
    let detector = FaceDetector::try_new(FaceConfig::default(), finder, expression).unwrap();
    let models =
        ModelRegistry::default().with_model(shown.clone()).with_model(Arc::new(Reader { answers: 2 }));
    let mut bound = AnyDetector::new(Box::new(detector), StreamId::new("s").unwrap(), None, models);
    events.iter().for_each(|event| bound.detect(event));
    bound.advance(Timestamp::from_secs(80));
    assert!(!label(&bound.take_signals(), "smile").is_empty());
    let mut sizes = shown.0.lock().unwrap().clone();
    sizes.sort_unstable();
    let (usual, largest) = (sizes[sizes.len() / 2], sizes[sizes.len() - 1]);
    assert!(largest >= 640 * 320 && usual * 3 < largest, "{usual} and {largest} pixels");
}

#[test]
fn each_person_is_measured_against_themselves() {
    // One always smiles, one never does, and then they swap.
    let show = |t: f64| {
        let swapped = (80.0..83.0).contains(&t);
        let (a, b) = if swapped { (0.1, 0.9) } else { (0.9, 0.1) };
        vec![(10, 20, 30, a), (80, 20, 30, b)]
    };
    let signals = find(&frames(0.5, 100.0, show), 100.0);
    let smiles = label(&signals, "smile");
    assert!(smiles.iter().all(|s| s.onset == Timestamp::from_secs(80)), "{smiles:?}");
    assert!(!smiles.is_empty());
}

#[test]
fn no_faces_are_no_evidence() {
    // Nobody, then somebody, then nobody again: coming and going is no change of expression.
    let show = |t: f64| if (30.0..60.0).contains(&t) { webcam(0.5) } else { Vec::new() };
    assert_eq!(find(&frames(0.5, 100.0, show), 100.0), []);
    let flicker = |t: f64| if (t * 2.0) as u32 % 7 < 2 { Vec::new() } else { webcam(0.4) };
    assert_eq!(find(&frames(0.5, 100.0, flicker), 100.0), []);
}

#[test]
fn a_face_that_moves_or_is_too_small_is_no_change() {
    let drift = |t: f64| vec![(5 + t as u32 / 2, 20, 30, 0.3)];
    assert_eq!(find(&frames(0.5, 100.0, drift), 100.0), []);
    let tiny = |t: f64| vec![(10, 20, 12, if t > 60.0 { 0.9 } else { 0.1 })];
    assert_eq!(find(&frames(0.5, 100.0, tiny), 100.0), []);
}

#[test]
fn it_keeps_the_contract_of_detectors() {
    let show = |t: f64| {
        let smile = if (20.0..24.0).contains(&t) || (50.0..52.0).contains(&t) { 0.9 } else { 0.1 };
        let mut faces = webcam(smile);
        if t > 30.0 {
            faces.push((80, 5, 30, if (70.0..75.0).contains(&t) { 0.95 } else { 0.3 }));
        }
        if (40.0..44.0).contains(&t) { Vec::new() } else { faces }
    };
    for step in [0.5, 1.7] {
        let events = frames(step, 80.0, show);
        detector::check_with_models(|| detector(FaceConfig::default()), &events, &models()).unwrap();
        assert!(find(&events, 80.0).len() > 5, "the case finds nothing");
    }
    detector::check(|| expression_detector(), &expressions()).unwrap();
}

#[test]
fn answers_that_cannot_be_used_are_counted_and_cost_no_more() {
    let events = frames(0.5, 100.0, |t| webcam(if (60.0..64.0).contains(&t) { 0.9 } else { 0.1 }));
    let odd =
        ModelRegistry::default().with_model(Arc::new(Finder)).with_model(Arc::new(Reader { answers: 3 }));
    let (signals, failures) = find_with(odd, &events, 100.0);
    assert_eq!((signals.len(), failures), (0, 200));
    let (signals, failures) = find_with(ModelRegistry::default(), &events, 100.0);
    assert_eq!((signals.len(), failures), (0, 200));
    let broken = at(1.0, VideoFrame { width: 7, height: 7, rgb: vec![0; 3].into() });
    assert_eq!(find_with(models(), &[broken], 2.0), (Vec::new(), 1));
}

#[test]
fn its_state_holds_no_picture() {
    let stream = StreamId::new("s").unwrap();
    let mut bound = AnyDetector::new(detector(FaceConfig::default()), stream, None, models());
    for event in frames(0.5, 60.0, |_| vec![(10, 20, 30, 0.2), (80, 20, 30, 0.8)]) {
        bound.detect(&event);
        let state = bound.snapshot().unwrap().to_string();
        assert!(state.len() < 4000, "{} bytes: {state}", state.len());
    }
    let state = bound.snapshot().unwrap();
    assert_eq!(state["tracks"].as_array().unwrap().len(), 2);
    assert!(!state.to_string().contains("happy"), "not even the names of expressions");
}

#[test]
fn without_consent_it_does_not_start() {
    let stream = StreamId::new("s").unwrap();
    let fusion = || FusionConfig::default().factory().unwrap()(&stream);
    for consent in [Consent::NONE, Consent { chat_text: true, face: false }] {
        for detector in [detector(FaceConfig::default()), expression_detector()] {
            let engine = Engine::new(stream.clone(), fusion()).with_consent(consent);
            let error = engine.with_detector(detector).unwrap_err().to_string();
            assert!(error.contains("needs consent for face"), "{error}");
        }
    }
    let engine = Engine::new(stream.clone(), fusion()).with_consent(Consent { chat_text: false, face: true });
    assert!(engine.with_detector(detector(FaceConfig::default())).is_ok());
}

#[test]
fn labels_say_what_a_face_does() {
    let info: DetectorInfo = detector(FaceConfig::default()).info();
    assert_eq!(info.labels, ["smile", "surprise", "expression"]);
    let (finder, mut expression) = ports();
    expression.labels = vec!["a".into(), "b".into()];
    let error = FaceDetector::try_new(FaceConfig::default(), finder, expression).unwrap_err().to_string();
    assert!(error.contains("no score that any label is made of"), "{error}");
}

fn expression_detector() -> Box<dyn DynDetector> {
    Box::new(FaceExpressionDetector::try_new(ExpressionConfig::default()).unwrap())
}

/// Two people's scores once a second; the second one smiles at 60 s and opens their eyes wide at 80 s.
fn expressions() -> Vec<AnyEvent> {
    let scores = |t: f64, person: &str| {
        let second = person == "b";
        let smile = if second && (60.0..63.0).contains(&t) { 0.9 } else { 0.05 };
        let wide = if second && (80.0..83.0).contains(&t) { 0.8 } else { 0.1 };
        let scores = [("mouthSmileLeft", smile), ("mouthSmileRight", 0.0), ("eye_wide_left", wide)];
        let scores = scores.into_iter().map(|(n, s)| (n.into(), s)).collect();
        FaceExpression { scores, person: Some(person.into()) }
    };
    (0..100u32).map(f64::from).flat_map(|t| [at(t, scores(t, "a")), at(t + 0.3, scores(t, "b"))]).collect()
}

#[test]
fn scores_from_elsewhere_go_the_same_way() {
    let stream = StreamId::new("s").unwrap();
    let mut bound = AnyDetector::new(expression_detector(), stream, None, ModelRegistry::default());
    expressions().iter().for_each(|event| bound.detect(event));
    bound.advance(Timestamp::from_secs(110));
    let signals = bound.take_signals();
    for (name, onset) in [("smile", 60.3), ("surprise", 80.3)] {
        let found = label(&signals, name);
        assert!(!found.is_empty(), "no {name}");
        assert!(found.iter().all(|s| s.onset.as_secs_f64() == onset), "{name}: {found:?}");
    }
}
