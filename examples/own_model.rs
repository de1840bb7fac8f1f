//! A sound model of one's own: `own_model.py` makes it, `own_model/whistle.toml` is its card, and no code knows what a whistle is.
//!
//!     cargo run -p clipcore-examples --example own_model [MODEL.onnx]

use std::f64::consts::TAU;
use std::sync::Arc;

use clipcore::detector::{AudioTagger, AudioTaggerConfig};
use clipcore::engine::Engine;
use clipcore::event::media::Audio16k;
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::fusion::{Calibration, EvidenceFusion, FusionSetup, MomentState, Weights};
use clipcore::model::{Batched, ModelRegistry, ModelStore, Runtime, RuntimeConfig};
use clipcore::{Result, StreamId, Timestamp};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/own_model/whistle.onnx");
/// Two minutes; the referee whistles in the 70th second.
const SECONDS: u32 = 120;
const WHISTLE: std::ops::Range<f64> = 70.0..73.0;

/// 10 ms of murmur, with the whistle where there is one.
fn sound(block: u32) -> Arc<[f32]> {
    let sample = |i: u32| {
        let n = block * 160 + i;
        let t = f64::from(n) / f64::from(Audio16k::RATE);
        let murmur = (f64::from(n.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5) * 0.02;
        let hum = 0.05 * (TAU * 180.0 * t).sin() * (1.0 + (TAU * 3.0 * t).sin());
        let whistle = if WHISTLE.contains(&t) { 0.3 * (TAU * 2900.0 * t).sin() } else { 0.0 };
        (murmur + hum + whistle) as f32
    };
    (0..160).map(sample).collect()
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| MODEL.to_owned());
    let runtime = Runtime::open(&RuntimeConfig::default())?;
    // Checks the card against the model: a mismatch is named here, not in the middle of a stream.
    let stored = ModelStore::new(".").find(&path)?;
    let model = stored.load(&runtime)?;
    println!("{} runs on {}", stored.card.name, model.runs_on());

    let stream = StreamId::new("match")?;
    let models = ModelRegistry::default().with_model(Arc::new(Batched::new(Arc::new(model), 16)));
    // What a whistle is worth to fusion; without this it counts little, as every label that nobody has fitted.
    let mut weights = Weights::builtin()?;
    weights.calibration.push(Calibration {
        detector: "audio_tagger".into(),
        label: "whistle".into(),
        group: "sound".into(),
        describes: true,
        points: vec![[1.0, 1.0], [3.0, 3.5]],
    });
    let fusion = EvidenceFusion::new(stream.clone(), Arc::new(FusionSetup::try_new(weights)?));
    let mut engine = Engine::new(stream.clone(), Box::new(fusion))
        .with_models(models)
        .with_detector(Box::new(AudioTagger::try_new(&stored.card, AudioTaggerConfig::default())?))?;
    for block in 0..SECONDS * 100 {
        let header =
            Header::new(stream.clone(), Timestamp::from_millis(i64::from(block) * 10), "microphone", "");
        engine.event(AnyEvent::local(Stamped::new(header, Audio16k { samples: sound(block) })));
    }
    engine.finish();
    for signal in engine.take_signals() {
        println!("{:>6.1} s  {} {:.2}", signal.at.as_secs_f64(), signal.label, signal.score);
    }
    for moment in engine.take_moments().iter().filter(|m| m.state == MomentState::Closed) {
        println!("moment {:?} from {} to {}", &*moment.label, moment.start, moment.end);
    }
    Ok(())
}
