//! Processor time and memory of the tagger's parts on one thread.

use std::sync::Arc;

use clipcore::detector::{AnyDetector, AudioTagger, AudioTaggerConfig};
use clipcore::event::media::Audio16k;
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::model::front_end::LogMel;
use clipcore::model::{BackendChoice, Model, ModelRegistry, Tensors};
use clipcore::{StreamId, Timestamp};

use crate::common::{self, cpu};
use crate::{models, runtime};

const RUNS: usize = 3;
const SECONDS: usize = 120;

pub fn run() {
    let sound: Vec<f32> = {
        let mut state = 1u32;
        (0..SECONDS * 16_000)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = f32::from((state >> 16) as u16) / 65_536.0 - 0.5;
                0.1 * noise + 0.2 * (i as f32 * 0.07).sin()
            })
            .collect()
    };
    let Some(yamnet) = models().into_iter().last() else {
        println!("cost is not measured: there is no model");
        return;
    };
    common::head(&["what", "CPU ms", "a second of sound: CPU ms", "streams a core"]);
    let row = |what: &str, per: f64, per_second: f64| {
        let streams = if per_second > 0.0 { format!("{:.0}", 1000.0 / per_second) } else { "-".into() };
        common::row(&[what.to_owned(), format!("{per:.3}"), format!("{per_second:.3}"), streams]);
    };
    let mut mel = LogMel::try_new(yamnet.card.input.log_mel.clone().unwrap()).unwrap();
    let patch = mel.config().samples(96);
    let count = (sound.len() - patch) / 8000 + 1;
    let per = least(|| {
        for at in (0..=sound.len() - patch).step_by(8000) {
            std::hint::black_box(mel.run(&sound[at..at + patch]));
        }
    }) / count as f64;
    row("front end, a patch of 0.975 s", per, 2.0 * per);
    let per = least(|| {
        for at in (0..=sound.len() - patch).step_by(8000) {
            std::hint::black_box(mel.run_after(&sound[at..at + patch], (at > 0).then_some(8000)));
        }
    }) / count as f64;
    row("front end, a patch half a second after the last", per, 2.0 * per);
    for backend in [BackendChoice::Native, BackendChoice::Pure] {
        let Some(runtime) = runtime(backend) else {
            println!("no native ONNX Runtime is found");
            continue;
        };
        for stored in models() {
            let model = Arc::new(stored.load(&runtime).unwrap());
            let name = format!("{} on {}", stored.card.name, runtime.found().backend);
            let item: Tensors = mel.run(&sound[..patch]).into();
            for batch in [1, 8, 32] {
                let items = vec![item.clone(); batch];
                let per = least(|| {
                    for _ in 0..256 / batch {
                        std::hint::black_box(model.infer(&items).unwrap());
                    }
                }) / 256.0;
                row(&format!("{name}: a patch, batch {batch}"), per, 2.0 * per);
            }
            let registry = ModelRegistry::default().with_model(model);
            let per_second = least(|| {
                let tagger = AudioTagger::try_new(&stored.card, AudioTaggerConfig::default()).unwrap();
                let id = StreamId::new("s").unwrap();
                let mut detector = AnyDetector::new(Box::new(tagger), id.clone(), None, registry.clone());
                for (i, block) in sound.chunks(160).enumerate() {
                    let header = Header::new(id.clone(), Timestamp::from_millis(10 * i as i64), "s", "");
                    let event = Audio16k { samples: block.into() };
                    detector.detect(&AnyEvent::local(Stamped::new(header, event)));
                }
                assert_eq!(detector.failures(), 0);
            }) / SECONDS as f64;
            row(&format!("{name}: the whole detector"), per_second, per_second);
        }
    }
    println!("\nlargest memory of this process: {} MiB\n", cpu::resident().0 >> 20);
}

/// Processor milliseconds, the least of three runs.
fn least(mut work: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let before = cpu::own();
            work();
            1000.0 * (cpu::own() - before)
        })
        .fold(f64::INFINITY, f64::min)
}
