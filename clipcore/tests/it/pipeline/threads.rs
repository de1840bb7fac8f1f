//! Any streams through the whole pipeline, on one worker thread and on several: live and replayed, the moments of an
//! engine that is driven by hand.

use std::sync::Arc;

use clipcore::fusion::EvidenceFusion;
use clipcore::log::{EventLog, MemoryLog};
use clipcore::pipeline::{Pipeline, PipelineConfig, StreamSpec};
use clipcore::source::Item;
use clipcore::{Consent, StreamId, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::stage::logged_moments;
use super::support::{End, Script};
use crate::properties::{self, Input, SETUP, Stream, cases, check, config, delayed, id, reference, streams};

/// A live source: inputs as they arrive, and the media's clock every `half` half seconds.
fn script(inputs: Vec<Input>, seed: u64, half: i64) -> Script {
    let (mut items, mut now) = (Vec::new(), Timestamp::ZERO);
    let step = std::time::Duration::from_millis(500 * half as u64);
    let mut last = Timestamp::ZERO;
    for (arrives, input) in delayed(inputs, seed) {
        while now + step <= arrives {
            now += step;
            items.push(super::support::progress(now.as_secs_f64()));
        }
        last = last.max(input.at());
        items.push(match input {
            Input::Event(event) => Item::Event(event),
            Input::Signal(signal) => Item::Signal(signal),
        });
    }
    Script::new(items, End::Input)
}

async fn live(
    streams: &[Stream],
    seed: u64,
    half: i64,
    workers: usize,
) -> (Arc<dyn EventLog>, Vec<StreamId>) {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(3));
    let mut builder = Pipeline::builder()
        .with_log(log.clone())
        .with_engine(config())
        .with_consent(Consent::ALL)
        .with_fusion(|stream| Box::new(EvidenceFusion::new(stream.clone(), SETUP.clone())))
        .with_config(PipelineConfig { workers, ..PipelineConfig::default() });
    for n in 0..properties::detectors().len() {
        builder = builder.with_detector(move |_| Ok(properties::detectors().swap_remove(n)));
    }
    let mut names = Vec::new();
    for (i, stream) in streams.iter().enumerate() {
        let name = id(&format!("s{i}"));
        let source = script(stream.inputs(&name), seed ^ i as u64, half);
        builder =
            builder.with_stream(StreamSpec::new(name.clone()).with_consent(Consent::ALL).with_source(source));
        names.push(name);
    }
    let summary = builder.build().unwrap().run().await.unwrap();
    assert!(summary.streams.iter().all(|s| s.ended && s.stats.late == 0), "{summary:?}");
    (log, names)
}

async fn replayed(log: &dyn EventLog, stream: &StreamId) -> Vec<String> {
    let mut lines = Vec::new();
    let engine = properties::engine(stream);
    let tell = |moment| lines.push(serde_json::to_string(&moment).unwrap());
    clipcore::pipeline::replay_log(log, engine, tell).await.unwrap();
    lines
}

fn any_threads((streams, seed, half, workers): (Vec<Stream>, u64, i64, usize)) -> TestCaseResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (one, names) = live(&streams, seed, half, 1).await;
        let (many, _) = live(&streams, seed.wrapping_add(1), half, workers).await;
        for (stream, name) in streams.iter().zip(&names) {
            let expected: Vec<String> = reference(stream, name.as_str()).lines().map(str::to_owned).collect();
            for (log, what) in [(&*one, "one worker"), (&*many, "several workers")] {
                let found = logged_moments(log, name).await;
                prop_assert_eq!(&found, &expected, "{}", what);
                prop_assert_eq!(replayed(log, name).await, found, "replay of {}", what);
            }
        }
        Ok(())
    })
}

fn shows() -> impl Strategy<Value = (Vec<Stream>, u64, i64, usize)> {
    (prop::collection::vec(streams(), 1..4), any::<u64>(), 1i64..8, 2usize..5)
}

#[test]
fn threads_and_replays_do_not_matter() {
    check(cases(40), shows(), any_threads);
}

#[test]
#[ignore = "ten thousand cases"]
fn threads_and_replays_do_not_matter_in_ten_thousand_cases() {
    check(cases(10_000), shows(), any_threads);
}
