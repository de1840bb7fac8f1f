//! Your own kind of event, your own detector of it, and what its scores are worth to the fusion.
//!
//! A player's heart rate jumps when it gets exciting. The detector compares each reading with the player's usual
//! rate and gives a z-score; a calibration turns that into evidence.
//!
//! ```sh
//! cargo run -p clipcore-examples --example custom_detector
//! ```

use std::sync::Arc;
use std::time::Duration;

use clipcore::detector::{Detector, DetectorInfo, Normalizer, NormalizerConfig, NormalizerState, Output};
use clipcore::engine::Engine;
use clipcore::event::{AnyEvent, Event, Kinds, Stamped};
use clipcore::fusion::{Calibration, EvidenceFusion, FusionSetup, MomentState, Weights};
use clipcore::{Error, Result, StreamId, Timestamp, conformance};
use serde::{Deserialize, Serialize};

/// The payload: plain data with a name that logs and wires carry.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct HeartRate {
    /// Beats per minute.
    bpm: f64,
}

impl Event for HeartRate {
    const KIND: &'static str = "com.example.heart_rate";
}

/// Finds jumps of the heart rate over what is usual for this player.
struct HeartRateJump {
    usual: Normalizer,
}

impl HeartRateJump {
    fn try_new() -> Result<Self> {
        // One reading a second; "now" is five seconds, "usual" is five minutes.
        let config = NormalizerConfig {
            tau_fast: Duration::from_secs(5),
            tau_slow: Duration::from_secs(300),
            floor: 4.0,
            counts: false,
            ..NormalizerConfig::default()
        };
        Ok(Self { usual: Normalizer::try_new(config, Duration::from_secs(1))? })
    }
}

impl Detector for HeartRateJump {
    type Input = HeartRate;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("heart_rate", &["excited"])
    }

    fn detect(&mut self, event: &Stamped<HeartRate>, out: &mut Output) {
        let z = self.usual.update(event.data.bpm);
        if z >= 2.0 {
            out.signal("excited", event.at, event.at, z);
        }
    }

    fn advance(&mut self, _to: Timestamp, _out: &mut Output) {
        // A sensor that is silent says nothing.
    }

    fn reset(&mut self) {
        self.usual.reset();
    }

    fn snapshot(&self) -> Result<serde_json::Value> {
        Ok(serde_json::to_value(self.usual.state())?)
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let state = NormalizerState::deserialize(state)
            .map_err(|e| Error::invalid("this is no state of heart_rate").with_source(e))?;
        self.usual.restore(state);
        Ok(())
    }
}

fn main() -> Result<()> {
    // Ten quiet minutes; at 7:00 the heart races for twelve seconds.
    let mut kinds = Kinds::builtin();
    kinds.register::<HeartRate>();
    let events = (0..600)
        .map(|second| {
            let wobble = f64::from(second * 7 % 11) - 5.0;
            let bpm = 75.0 + wobble + if (420..432).contains(&second) { 55.0 } else { 0.0 };
            let line = format!(
                r#"{{"type":"com.example.heart_rate","stream":"s1","at":{second},"data":{{"bpm":{bpm}}}}}"#
            );
            kinds.parse(line.as_bytes())?.resolve(&mut |_| None)
        })
        .collect::<Result<Vec<AnyEvent>>>()?;

    // The kit that every shipped detector passes: chunking, snapshot and restore, reset.
    let detector = || Box::new(HeartRateJump::try_new().expect("the settings are in range")) as _;
    conformance::detector::check(detector, &events)?;

    // Without a calibration of its own a detector's scores are taken for z-scores of modest worth. Here they count as
    // much as a cheer does: numbers that should come from labelled data (`clipcore tune`), not from a guess as here.
    let mut weights = Weights::builtin()?;
    weights.calibration.push(Calibration {
        detector: "heart_rate".into(),
        label: "*".into(),
        group: "game".into(),
        describes: true,
        points: vec![[2.0, 0.5], [4.0, 4.0]],
    });
    weights.bias = -3.0;
    let stream = StreamId::new("s1")?;
    let fusion = EvidenceFusion::new(stream.clone(), Arc::new(FusionSetup::try_new(weights)?));
    let mut engine = Engine::new(stream, Box::new(fusion)).with_detector(detector())?;

    for event in events {
        engine.event(event);
    }
    engine.finish();
    let signals = engine.take_signals();
    let strongest = signals.iter().map(|s| s.score).fold(0.0, f64::max);
    println!("{} signals, the strongest {strongest:.1}", signals.len());
    for m in engine.take_moments().iter().filter(|m| m.state == MomentState::Closed) {
        println!("moment: {} from {} to {}, peak {}", m.label, m.start, m.end, m.peak);
    }
    Ok(())
}
