//! Any lines through all detectors of events and the fusion: whatever is found can be logged and read again, and a second
//! reading finds the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use clipcore::Consent;
use clipcore::detector::{
    AudioLevelDetector, ChatBurst, ChatKeyword, ChatLexicon, DynDetector, GameEventDetector, MarkerDetector,
};
use clipcore::engine::Engine;
use clipcore::event::Kinds;
use clipcore::fusion::{EvidenceFusion, FusionConfig, FusionSetup};
use clipcore::log::Record;
use clipcore::replay::{Found, Replay};
use libfuzzer_sys::fuzz_target;

static KINDS: LazyLock<Kinds> = LazyLock::new(Kinds::builtin);
static SETUP: LazyLock<Arc<FusionSetup>> =
    LazyLock::new(|| FusionConfig::default().setup().expect("the shipped weights"));

fn detectors() -> [Box<dyn DynDetector>; 6] {
    [
        Box::new(ChatBurst::default()),
        Box::new(ChatKeyword::default()),
        Box::new(ChatLexicon::default()),
        Box::new(MarkerDetector::default()),
        Box::new(GameEventDetector::default()),
        Box::new(AudioLevelDetector::default()),
    ]
}

fn replay(mut bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut out = |found| {
        let record = match found {
            Found::Signal(signal) => Record::Signal(signal),
            Found::Moment(moment) => Record::Moment(moment),
        };
        lines.push(record.to_json().expect("what was found can be written"));
    };
    let mut replay = Replay::new(Box::new(|stream| {
        let fusion = Box::new(EvidenceFusion::new(stream.clone(), SETUP.clone()));
        let engine = Engine::new(stream.clone(), fusion).with_consent(Consent::ALL);
        detectors().into_iter().try_fold(engine, Engine::with_detector)
    }))
    .with_consent(Consent::ALL);
    replay.read(&mut bytes, &mut out).expect("bytes in memory can be read");
    let report = replay.finish(&mut out).expect("an engine can be made");
    assert!(report.bad + report.events + report.signals + report.skipped + report.withheld <= report.lines);
    lines
}

fuzz_target!(|bytes: &[u8]| {
    let found = replay(bytes);
    for line in &found {
        let again = Record::from_json(line.as_bytes(), &KINDS).expect("and read again");
        assert_eq!(again.to_json().expect("and written again"), *line);
    }
    assert_eq!(replay(bytes), found);
});
