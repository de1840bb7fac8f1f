//! The whole path on networks that the test writes: graph, card, finder, crops, reader, signals.

use std::sync::Arc;
use std::time::Duration;

use clipcore::detector::face::{ExpressionPort, FaceConfig, FaceDetector, FaceFinder};
use clipcore::detector::{AnyDetector, Signal};
use clipcore::event::media::VideoFrame;
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::model::card::Card;
use clipcore::model::image::Picture;
use clipcore::model::{Model, ModelRegistry, OnnxModel, Runtime};
use clipcore::{StreamId, Timestamp};

use super::runtimes;
use crate::support::face_models::{CALM, FINDER_CARD, READER_CARD, SMILING, finder, picture, reader};

/// Whole frames only: the tiny finder knows squares of one size.
fn config() -> FaceConfig {
    FaceConfig { side: 320, rescan: Duration::ZERO, ..FaceConfig::default() }
}

fn load(runtime: &Runtime, bytes: &[u8], card: &Card) -> Arc<dyn Model> {
    let model = OnnxModel::from_bytes(runtime, card.name.clone(), bytes, &card.file).unwrap();
    card.check(model.graph()).unwrap();
    Arc::new(model)
}

fn models(runtime: &Runtime) -> (FaceFinder, ExpressionPort, Arc<dyn Model>) {
    let (finds, reads) = (Card::parse(FINDER_CARD).unwrap(), Card::parse(READER_CARD).unwrap());
    let network = load(runtime, &finder(), &finds);
    let finder = FaceFinder::from_card(network, &finds, &config()).unwrap();
    (finder, ExpressionPort::from_card(&reads).unwrap(), load(runtime, &reader(), &reads))
}

fn frame(bright: u8) -> VideoFrame {
    VideoFrame { width: 320, height: 192, rgb: picture(bright).into() }
}

#[test]
fn a_network_of_our_own_finds_its_faces() {
    for runtime in runtimes("a_network_of_our_own_finds_its_faces") {
        let (finder, port, reader) = models(&runtime);
        for (bright, happy) in [(CALM, 0.0..0.1), (SMILING, 0.9..1.0)] {
            let frame = frame(bright);
            let picture = Picture::try_from(&frame).unwrap();
            let faces = finder.find(&picture, picture.bounds()).unwrap();
            assert_eq!(faces.len(), 1, "{faces:?}");
            let place = faces[0].place;
            assert_eq!((place.x, place.y, place.width, place.height), (160.0, 96.0, 32.0, 32.0));
            let crop = port.crop(&picture, &faces[0]).unwrap();
            let scores = reader.infer(&[crop.into()]).unwrap();
            let score = f64::from(scores[0].first().unwrap()[[0]]);
            assert!(happy.contains(&score), "{bright}: {score}");
        }
        let dark = frame(0);
        let picture = Picture::try_from(&dark).unwrap();
        assert_eq!(finder.find(&picture, picture.bounds()).unwrap(), []);
    }
}

#[test]
fn a_smile_goes_all_the_way_to_a_signal() {
    for runtime in runtimes("a_smile_goes_all_the_way_to_a_signal") {
        let (finder, port, reader) = models(&runtime);
        let stream = StreamId::new("s").unwrap();
        let detector = FaceDetector::try_new(config(), finder.port(), port).unwrap();
        let registry = ModelRegistry::default().with_model(Arc::new(finder)).with_model(reader);
        let mut detector = AnyDetector::new(Box::new(detector), stream.clone(), None, registry);
        for i in 0..100 {
            let smiles = (70..78).contains(&i);
            let header = Header::new(stream.clone(), Timestamp::from_millis(i * 500), "t", "");
            let frame = frame(if smiles { SMILING } else { CALM });
            detector.detect(&AnyEvent::local(Stamped::new(header, frame)));
        }
        detector.advance(Timestamp::from_secs(60));
        assert!(detector.last_failure().is_none(), "{:?}", detector.last_failure());
        let signals = detector.take_signals();
        let smiles: Vec<&Signal> = signals.iter().filter(|s| &*s.label == "smile").collect();
        assert!(smiles.len() > 5, "{signals:?}");
        assert!(smiles.iter().all(|s| s.onset == Timestamp::from_secs(35) && s.score > 3.0), "{smiles:?}");
    }
}

#[test]
fn a_card_of_another_kind_is_refused() {
    let (finds, reads) = (Card::parse(FINDER_CARD).unwrap(), Card::parse(READER_CARD).unwrap());
    let runtime = &runtimes("a_card_of_another_kind_is_refused")[0];
    let network = load(runtime, &reader(), &reads);
    let error = FaceFinder::from_card(network.clone(), &reads, &config()).unwrap_err().to_string();
    assert!(error.contains("does not find faces"), "{error}");
    let error = ExpressionPort::from_card(&finds).unwrap_err().to_string();
    assert!(error.contains("does not read expressions"), "{error}");
    let odd = Card { decoder: Some("retina".into()), ..finds.clone() };
    let error = FaceFinder::from_card(network, &odd, &config()).unwrap_err().to_string();
    assert!(error.contains("retina"), "{error}");

    // A finder's card with a decoder that reads other outputs than the network has.
    let network = load(runtime, &finder(), &finds);
    let other = Card { decoder: Some("ultraface".into()), ..finds };
    let finder = FaceFinder::from_card(network, &other, &config()).unwrap();
    let frame = frame(CALM);
    let picture = Picture::try_from(&frame).unwrap();
    let error = finder.find(&picture, picture.bounds()).unwrap_err().to_string();
    assert!(error.contains("\"scores\"") && error.contains("squares"), "{error}");
}
