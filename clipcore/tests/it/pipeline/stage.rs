//! The show that is put on with the parts of `support`, and what its log says afterwards.

use std::sync::Arc;
use std::time::Duration;

use clipcore::StreamId;
use clipcore::engine::Engine;
use clipcore::fusion::Moment;
use clipcore::log::{EventLog, Record, partition_of};
use clipcore::pipeline::{Pipeline, PipelineBuilder, PipelineConfig};
use clipcore::source::Item;

use super::support::{Burst, Windows, chat, live_progress, loud};

/// Everything but streams and sinks.
pub(super) fn builder(log: Arc<dyn EventLog>) -> PipelineBuilder {
    Pipeline::builder()
        .with_log(log)
        .with_fusion(|stream| Box::new(Windows::new(stream)))
        .with_detector(|_| Ok(Box::new(Burst::default())))
        .with_config(config())
}

pub(super) fn config() -> PipelineConfig {
    PipelineConfig {
        workers: 2,
        checkpoint_every: Duration::from_secs(5),
        grace: Duration::from_millis(300),
        ..PipelineConfig::default()
    }
}

pub(super) fn engine(stream: &StreamId) -> Engine {
    Engine::new(stream.clone(), Box::new(Windows::new(stream)))
        .with_detector(Box::new(Burst::default()))
        .unwrap()
}

/// Forty seconds with three bursts, two loud instants, and the clock every half second.
pub(super) fn show(stream: &StreamId) -> Vec<Item> {
    let mut items = Vec::new();
    let mut n = 0;
    for half in 0..80 {
        let at = f64::from(half) / 2.0;
        let messages = if [10, 11, 40, 41, 60, 61].contains(&half) { 5 } else { 1 };
        for k in 0..messages {
            n += 1;
            items.push(Item::Event(chat(stream, at + f64::from(k) / 20.0, n)));
        }
        if [26, 62].contains(&half) {
            items.push(loud(stream, at + 0.1, 2.5));
        }
        items.push(live_progress(at + 0.5));
    }
    items
}

/// Delays each item but the clock by up to three clock steps (the lateness is four), and adds `late` ones
/// that are far too late.
pub(super) fn shuffled(stream: &StreamId, seed: u64, late: usize) -> Vec<Item> {
    let mut items = show(stream);
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for i in (0..items.len()).rev() {
        if matches!(items[i], Item::Progress { .. }) {
            continue;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let mut to = i;
        let mut steps = x % 4;
        while to + 1 < items.len() {
            if matches!(items[to + 1], Item::Progress { .. }) {
                if steps == 0 {
                    break;
                }
                steps -= 1;
            }
            to += 1;
        }
        let item = items.remove(i);
        items.insert(to, item);
    }
    let every = items.len() / (late + 1);
    for n in (1..=late).rev() {
        let item =
            if n % 2 == 0 { loud(stream, 1.0, n as f64) } else { Item::Event(chat(stream, 2.2, 9000 + n)) };
        items.insert((n * every).max(items.len() / 3), item);
    }
    items
}

/// All records of a stream.
pub(super) async fn records(log: &dyn EventLog, stream: &StreamId) -> Vec<Record> {
    let partition = partition_of(stream, log.partitions());
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let read = log.read(partition, next, 100).await.unwrap();
        let Some((last, _)) = read.last() else { return all };
        next = last + 1;
        all.extend(read.into_iter().map(|(_, r)| r).filter(|r| r.stream() == stream));
    }
}

/// The moments that a log holds, each as its line.
pub(super) async fn logged_moments(log: &dyn EventLog, stream: &StreamId) -> Vec<String> {
    let all = records(log, stream).await;
    all.iter()
        .filter_map(|r| match r {
            Record::Moment(m) => Some(serde_json::to_string(m).unwrap()),
            _ => None,
        })
        .collect()
}

/// The moments that a fresh engine makes of a log, each as its line.
pub(super) async fn replayed_moments(log: &dyn EventLog, stream: &StreamId) -> Vec<String> {
    let mut lines = Vec::new();
    let on_moment = |m: Moment| lines.push(serde_json::to_string(&m).unwrap());
    clipcore::pipeline::replay_log(log, engine(stream), on_moment).await.unwrap();
    lines
}

/// How many inputs the log says were too late, and how many a replay of it finds too late.
pub(super) async fn late_counts(log: &dyn EventLog, stream: &StreamId) -> (u64, u64) {
    let logged = records(log, stream).await.iter().filter(|r| matches!(r, Record::Late(_))).count();
    let engine = clipcore::pipeline::replay_log(log, engine(stream), drop).await.unwrap();
    (logged as u64, engine.stats().late)
}

/// Whether the log says that the stream has ended.
pub(super) async fn has_end(log: &dyn EventLog, stream: &StreamId) -> bool {
    let all = records(log, stream).await;
    all.iter().any(|r| match r {
        Record::Event(e) => e.payload::<clipcore::event::Clock>().is_some_and(|c| c.end),
        _ => false,
    })
}
