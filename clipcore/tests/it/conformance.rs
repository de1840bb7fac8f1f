//! Every shipped detector and the fusion keep their contracts.

use clipcore::conformance::{cases, detector, fusion};
use clipcore::detector::{
    AnyDetector, AudioLevelDetector, ChatBurst, ChatKeyword, ChatLexicon, Detector, DetectorInfo,
    DynDetector, GameEventDetector, Loudness, MarkerDetector, Output, Signal,
};
use clipcore::event::{ChatMessage, Stamped};
use clipcore::fusion::{EvidenceFusion, Fusion, FusionConfig, Moment};
use clipcore::model::ModelRegistry;
use clipcore::{Error, Result, Timestamp};
use serde_json::{Value, json};

fn on_events(make: impl Fn() -> Box<dyn DynDetector>) {
    for seed in 1..=2 {
        let events = cases::events(seed);
        detector::check(&make, &events).unwrap();
        let mut subject = AnyDetector::new(make(), cases::stream(), None, ModelRegistry::default());
        for event in events.iter().filter(|e| make().kinds().contains(&e.kind())) {
            subject.detect(event);
        }
        assert!(subject.take_signals().len() > 5, "the cases do not exercise this detector");
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
        for seed in 1..=6 {
            let make = || Box::new(EvidenceFusion::new(cases::stream(), setup.clone())) as _;
            fusion::check(make, &cases::signals(seed)).unwrap();
        }
    }
}

/// A detector of messages with one fault.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Future,
    Onset,
    Label,
    Twice,
    Chunks,
    Silence,
    Forgets,
    Unreset,
    TakesAnything,
}

struct Faulty {
    fault: Fault,
    seen: u64,
    steps: u64,
}

impl Detector for Faulty {
    type Input = ChatMessage;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("faulty", &["message"])
    }

    fn detect(&mut self, event: &Stamped<ChatMessage>, out: &mut Output) {
        self.seen += 1;
        let at = if self.fault == Fault::Future { event.at.offset_micros(1) } else { event.at };
        let label = if self.fault == Fault::Label { "other" } else { "message" };
        let score = if self.fault == Fault::Chunks { self.steps } else { self.seen };
        // Messages of one instant share an id, so only some of them can be reported.
        if self.seen.is_multiple_of(50) {
            out.signal(label, at, at, score as f64);
        }
        if self.fault == Fault::Twice && self.seen.is_multiple_of(50) {
            out.signal(label, at, at, score as f64);
        }
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        self.steps += 1;
        if self.fault == Fault::Silence && to == Timestamp::from_secs(7200) {
            out.signal("message", to, to, 1.0);
        }
        if self.fault == Fault::Onset && self.seen == 100 {
            self.seen += 1;
            let late = to.offset_micros(-60_000_000);
            out.signal("message", late, late, 1.0);
        }
    }

    fn reset(&mut self) {
        if self.fault != Fault::Unreset {
            self.seen = 0;
        }
    }

    fn snapshot(&self) -> Result<Value> {
        Ok(json!({ "seen": if self.fault == Fault::Forgets { 0 } else { self.seen } }))
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        match state["seen"].as_u64() {
            Some(seen) => self.seen = seen,
            None if self.fault == Fault::TakesAnything => {}
            None => return Err(Error::invalid("no state")),
        }
        Ok(())
    }
}

#[test]
fn the_kit_finds_what_a_detector_does_wrong() {
    let check = |fault| {
        let make = || Box::new(Faulty { fault, seen: 0, steps: 0 }) as Box<dyn DynDetector>;
        detector::check(make, &cases::events(1))
    };
    check(Fault::None).unwrap();
    for (fault, says) in [
        (Fault::Future, "lies in the future"),
        (Fault::Onset, "later than max_lateness"),
        (Fault::Label, "does not declare"),
        (Fault::Twice, "one id"),
        (Fault::Chunks, "other steps"),
        (Fault::Silence, "without any input"),
        (Fault::Forgets, "snapshot and restore"),
        (Fault::Unreset, "reset"),
        (Fault::TakesAnything, "state that is none"),
    ] {
        let error = check(fault).unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} lacks {says:?}");
    }
}

type Spoil = fn(&mut Moment);

/// A fusion whose moments are spoiled on their way out.
struct Spoiled {
    inner: EvidenceFusion,
    spoil: Spoil,
}

impl Fusion for Spoiled {
    fn push(&mut self, signal: &Signal) {
        self.inner.push(signal);
    }
    fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Moment>) {
        let from = out.len();
        self.inner.advance(watermark, out);
        out[from..].iter_mut().for_each(self.spoil);
    }
    fn finish(&mut self, out: &mut Vec<Moment>) {
        let from = out.len();
        self.inner.finish(out);
        out[from..].iter_mut().for_each(self.spoil);
    }
    fn snapshot(&self) -> Result<Value> {
        self.inner.snapshot()
    }
    fn restore(&mut self, state: &Value) -> Result<()> {
        self.inner.restore(state)
    }
}

#[test]
fn the_kit_finds_what_a_fusion_does_wrong() {
    let setup = FusionConfig::default().setup().unwrap();
    let spoils: [(Spoil, &str); 6] = [
        (|m| m.score += 0.01, "add up"),
        (|m| m.rev = 1, "revision"),
        (|m| m.score = f64::NAN, "not finite"),
        (|m| m.end = m.start, "ends before it starts"),
        (|m| m.peak = Timestamp::MAX, "peaks after"),
        (|m| m.id = "same".into(), "after its end"),
    ];
    for (spoil, says) in spoils {
        let make =
            || Box::new(Spoiled { inner: EvidenceFusion::new(cases::stream(), setup.clone()), spoil }) as _;
        let error = fusion::check(make, &cases::signals(1)).unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} lacks {says:?}");
    }
}
