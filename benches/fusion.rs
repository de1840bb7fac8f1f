//! How fast chat goes through burst detector and fusion, on one core, and what an idle stream costs.
//!
//!     cargo bench -p clipcore-benches --bench fusion [-- FILE.jsonl…]
//!
//! Without files, 20 simulated streams of an hour are used. `benches/compare/chat_burst.py` then does the same in Python on the
//! same files, and says whether it finds the same moments. Times are processor times, the best of five runs, so that a busy
//! machine does not blur them.

#![allow(clippy::disallowed_methods, reason = "a bench measures elapsed time")]
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use clipcore::detector::{
    AudioLevelDetector, ChatBurst, ChatKeyword, ChatLexicon, DynDetector, GameEventDetector, MarkerDetector,
};
use clipcore::engine::Engine;
use clipcore::event::{AnyEvent, EventReader, Kinds};
use clipcore::fusion::{FusionConfig, FusionFactory};
use clipcore::replay::{Found, Replay};
use clipcore::simulate::{ChatConfig, Scenario};
use clipcore::{Consent, StreamId, Timestamp};

const RUNS: usize = 5;
const SECOND: Duration = Duration::from_secs(1);

fn main() {
    // `cargo bench` passes `--bench`, and `cargo test` passes nothing that means "measure".
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|a| a == "--bench") {
        println!("skipped: run it with cargo bench");
        return;
    }
    let files: Vec<&String> = args.iter().filter(|a| !a.starts_with("--")).collect();
    let fusion = FusionConfig::default().factory().unwrap();
    // First, while the allocator holds nothing that it could reuse: each in a process of its own.
    match args.iter().find_map(|a| a.strip_prefix("--idle=")) {
        Some("burst") => return idle("burst detector alone", engine, &fusion),
        Some(_) => return idle("six detectors of events", engine_of_six, &fusion),
        None => {}
    }
    for what in ["burst", "six"] {
        let this = std::env::current_exe().unwrap();
        Command::new(this).args(["--bench", &format!("--idle={what}")]).status().unwrap();
    }
    let texts: Vec<String> = if files.is_empty() {
        (0..20).map(simulated).collect()
    } else {
        files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect()
    };
    throughput(&texts, &fusion);
    peer(&texts, &fusion);
    scaling(&fusion);
}

fn engine_of_six(stream: &StreamId, fusion: &FusionFactory) -> Engine {
    let engine = Engine::new(stream.clone(), fusion(stream)).with_consent(Consent::ALL);
    let detectors: [Box<dyn DynDetector>; 6] = [
        Box::new(ChatBurst::default()),
        Box::new(ChatKeyword::default()),
        Box::new(ChatLexicon::default()),
        Box::new(MarkerDetector::default()),
        Box::new(GameEventDetector::default()),
        Box::new(AudioLevelDetector::default()),
    ];
    detectors.into_iter().fold(engine, |engine, detector| engine.with_detector(detector).unwrap())
}

/// An hour of chat at five messages a second, as lines.
fn simulated(seed: u64) -> String {
    let chat = ChatConfig { rate: 5.0, ..ChatConfig::default() };
    let scenario = Scenario { seed, stream: format!("sim-{seed}"), chat, ..Scenario::default() };
    scenario.run().unwrap().lines().unwrap().join("\n")
}

fn engine(stream: &StreamId, fusion: &FusionFactory) -> Engine {
    Engine::new(stream.clone(), fusion(stream)).with_detector(Box::new(ChatBurst::default())).unwrap()
}

fn events(text: &str) -> impl Iterator<Item = AnyEvent> {
    let mut reader = EventReader::new(Kinds::builtin());
    text.lines().map(move |l| reader.read(l.as_bytes(), &mut |_, _| None).unwrap().unwrap())
}

/// Feeds events that are sorted by time; gives the number of transitions.
fn feed(engine: &mut Engine, events: &[AnyEvent]) -> usize {
    let mut moments = 0;
    let mut reached = Timestamp::MIN;
    for event in events {
        let tick = event.at().floor_to(SECOND);
        if tick > reached {
            reached = tick;
            engine.advance(tick);
            engine.take_signals();
            moments += engine.take_moments().len();
        }
        engine.event(event.clone());
    }
    engine.finish();
    moments + engine.take_moments().len()
}

/// The processor time of this (only) thread where the kernel tells it, else the time on the wall.
struct Stopwatch(Option<Duration>, Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(processor_time(), Instant::now())
    }

    fn elapsed(&self) -> Duration {
        match (self.0, processor_time()) {
            (Some(begin), Some(end)) => end - begin,
            _ => self.1.elapsed(),
        }
    }
}

fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn best<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut times = (0..RUNS).map(|_| {
        let begin = Stopwatch::start();
        let result = std::hint::black_box(work());
        (begin.elapsed(), result)
    });
    let first = times.next().unwrap();
    times.fold(first, |best, run| if run.0 < best.0 { run } else { best })
}

fn row(what: &str, events: usize, time: Duration, moments: usize) {
    let per_second = events as f64 / time.as_secs_f64();
    let micros = time.as_secs_f64() * 1e6 / events as f64;
    println!("{what:<44} {events:>9} {per_second:>12.0} {micros:>9.3} {moments:>9}");
}

fn throughput(texts: &[String], fusion: &FusionFactory) {
    println!("\n{:<44} {:>9} {:>12} {:>9} {:>9}", "one core", "events", "events/s", "µs/event", "moments");
    let mut all: BTreeMap<StreamId, Vec<AnyEvent>> = BTreeMap::new();
    texts.iter().flat_map(|t| events(t)).for_each(|e| all.entry(e.stream().clone()).or_default().push(e));
    all.values_mut().for_each(|of_stream| of_stream.sort_by_key(AnyEvent::at));
    let count = all.values().map(Vec::len).sum();
    let (time, moments) = best(|| all.iter().map(|(s, e)| feed(&mut engine(s, fusion), e)).sum::<usize>());
    row("detector + fusion, events in memory", count, time, moments);
    drop(all);
    let (time, _) =
        best(|| texts.iter().flat_map(|t| events(t)).filter(|e| e.at() > Timestamp::ZERO).count());
    row("JSON parsing alone", count, time, 0);
    let (time, moments) = best(|| {
        let mut moments = 0;
        for text in texts {
            let mut replay = Replay::new(Box::new(|s| Ok(engine(s, fusion))));
            let mut tell = |found: Found| moments += usize::from(matches!(found, Found::Moment(_)));
            replay.read(&mut text.as_bytes(), &mut tell).unwrap();
            replay.finish(&mut tell).unwrap();
        }
        moments
    });
    row("JSON parsing + sorting + detector + fusion", count, time, moments);
}

/// The same algorithm in Python on the same lines, and whether its moments open at the same instants.
fn peer(texts: &[String], fusion: &FusionFactory) {
    let folder = tempfile::tempdir().unwrap();
    let (mut found, mut paths) = (String::new(), Vec::new());
    for (i, text) in texts.iter().enumerate() {
        let mut replay = Replay::new(Box::new(|s| Ok(engine(s, fusion))));
        let mut tell = |f: Found| {
            if let Found::Moment(moment) = f {
                found += &(serde_json::to_string(&moment).unwrap() + "\n");
            }
        };
        replay.read(&mut text.as_bytes(), &mut tell).unwrap();
        replay.finish(&mut tell).unwrap();
        paths.push(folder.path().join(format!("{i}.jsonl")));
        std::fs::write(&paths[i], text).unwrap();
    }
    let moments = folder.path().join("moments");
    std::fs::write(&moments, found).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compare/chat_burst.py");
    println!("\nthe same in Python");
    match Command::new("python3").arg(script).arg("--check").arg(&moments).args(&paths).status() {
        Ok(status) if status.success() => {}
        Ok(status) => println!("the Python script failed: {status}"),
        Err(error) => println!("skipped: python3 cannot be run: {error}"),
    }
}

/// The same number of events on more and more streams, each at 5 messages a second, taken in order of time.
fn scaling(fusion: &FusionFactory) {
    println!(
        "\n{:<44} {:>9} {:>12} {:>9} {:>9}",
        "streams at once", "events", "events/s", "µs/event", "moments"
    );
    let template = {
        let chat = ChatConfig { rate: 5.0, ..ChatConfig::default() };
        let scenario = Scenario { length: 3600.0 * 12.0, chat, ..Scenario::default() };
        let mut events = scenario.run().unwrap().events;
        events.sort_by_key(AnyEvent::at);
        events
    };
    let total = 200_000;
    for streams in [1, 10, 100, 1000, 10_000] {
        let names: Vec<StreamId> = (0..streams).map(|i| StreamId::new(format!("s{i}")).unwrap()).collect();
        let (time, moments) = best_of(
            || names.iter().map(|s| engine(s, fusion)).collect::<Vec<_>>(),
            |mut engines| {
                let mut moments = 0;
                let mut reached = vec![Timestamp::MIN; streams];
                for event in &template[..total / streams] {
                    let tick = event.at().floor_to(SECOND);
                    for (engine, reached) in engines.iter_mut().zip(&mut reached) {
                        if tick > *reached {
                            *reached = tick;
                            engine.advance(tick);
                            engine.take_signals();
                            moments += engine.take_moments().len();
                        }
                        engine.event(event.clone());
                    }
                }
                moments
            },
        );
        row(&streams.to_string(), total, time, moments);
    }
}

fn best_of<S, T>(mut set_up: impl FnMut() -> S, mut work: impl FnMut(S) -> T) -> (Duration, T) {
    let mut found: Option<(Duration, T)> = None;
    for _ in 0..RUNS {
        let state = set_up();
        let begin = Stopwatch::start();
        let result = std::hint::black_box(work(state));
        let time = begin.elapsed();
        if found.as_ref().is_none_or(|f| time < f.0) {
            found = Some((time, result));
        }
    }
    found.unwrap()
}

/// Resident memory of engines that have seen ten minutes of chat and fell silent.
fn idle(what: &str, make: fn(&StreamId, &FusionFactory) -> Engine, fusion: &FusionFactory) {
    let Some(before) = resident() else {
        println!("bytes per idle stream: skipped, /proc/self/statm is not there");
        return;
    };
    let count = 2_000;
    let mut fresh: Vec<Engine> =
        (0..count).map(|i| make(&StreamId::new(format!("idle{i}")).unwrap(), fusion)).collect();
    let after_making = resident().unwrap_or(before);
    let mut events = Scenario { length: 600.0, ..Scenario::default() }.run().unwrap().events;
    events.sort_by_key(AnyEvent::at);
    for engine in &mut fresh {
        for event in &events {
            engine.advance(event.at().floor_to(SECOND));
            engine.event(event.clone());
        }
        engine.advance(Timestamp::from_secs(700));
        engine.take_signals();
        engine.take_moments();
    }
    let after_chat = resident().unwrap_or(before);
    let each = |now: usize| now.saturating_sub(before) / count;
    println!(
        "bytes per idle stream, {what}: {} made, {} after ten minutes of chat",
        each(after_making),
        each(after_chat)
    );
    std::hint::black_box(fresh);
}

/// Bytes of memory held, by the kernel's own count.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}
