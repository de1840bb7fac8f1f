//! Every shipped detector and the fusion keep their contracts.

use clipcore::conformance::{cases, detector, fusion};
use clipcore::detector::{
    AudioLevelDetector, ChatBurst, ChatKeyword, ChatLexicon, DynDetector, GameEventDetector, Loudness,
    MarkerDetector,
};
use clipcore::fusion::{EvidenceFusion, FusionConfig};

fn on_events(make: impl Fn() -> Box<dyn DynDetector>) {
    for seed in 1..=3 {
        detector::check(&make, &cases::events(seed)).unwrap();
    }
}

#[test]
fn chat_burst() {
    on_events(|| Box::new(ChatBurst::default()));
}

#[test]
fn chat_keyword() {
    on_events(|| Box::new(ChatKeyword::default()));
}

#[test]
fn chat_lexicon() {
    on_events(|| Box::new(ChatLexicon::default()));
}

#[test]
fn marker() {
    on_events(|| Box::new(MarkerDetector::default()));
}

#[test]
fn game_event() {
    on_events(|| Box::new(GameEventDetector::default()));
}

#[test]
fn audio_level() {
    on_events(|| Box::new(AudioLevelDetector::default()));
}

#[test]
fn loudness() {
    for seed in 1..=3 {
        detector::check(|| Box::new(Loudness::default()), &cases::audio(seed)).unwrap();
    }
}

#[test]
fn evidence_fusion() {
    let plain = FusionConfig::default().setup().unwrap();
    let budget = FusionConfig { clips_per_hour: Some(6.0), ..FusionConfig::default() }.setup().unwrap();
    for setup in [plain, budget] {
        for seed in 1..=20 {
            let make = || Box::new(EvidenceFusion::new(cases::stream(), setup.clone())) as _;
            fusion::check(make, &cases::signals(seed)).unwrap();
        }
    }
}
