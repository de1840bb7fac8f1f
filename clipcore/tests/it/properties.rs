//! Invariants of the whole engine on random input. `PROPTEST_CASES` sets how many.

use std::time::Duration;

use clipcore::conformance::cases::Rng;
use clipcore::detector::{
    AudioLevelDetector, ChatBurst, ChatKeyword, ChatLexicon, DynDetector, GameEventDetector, MarkerDetector,
    Signal,
};
use clipcore::engine::{Accepted, Engine, EngineConfig};
use clipcore::event::{
    AnyEvent, AudioLevel, ChatMessage, Clock, Event, GameEvent, Header, Kinds, Marker, PlatformEvent, Stamped,
};
use clipcore::fusion::{EvidenceFusion, FusionConfig, FusionSetup};
use clipcore::{Consent, StreamId, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use std::sync::{Arc, LazyLock};

pub(crate) const LATENESS: Duration = Duration::from_secs(2);
/// Long enough for moments to open, close and block the next.
const LENGTH_S: i64 = 240;

pub(crate) static SETUP: LazyLock<Arc<FusionSetup>> =
    LazyLock::new(|| FusionConfig::default().setup().unwrap());

pub(crate) fn id(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { lateness: LATENESS, ..EngineConfig::default() }
}

/// The shipped detectors of events.
pub(crate) fn detectors() -> Vec<Box<dyn DynDetector>> {
    vec![
        Box::new(ChatBurst::default()),
        Box::new(ChatKeyword::default()),
        Box::new(ChatLexicon::default()),
        Box::new(MarkerDetector::default()),
        Box::new(GameEventDetector::default()),
        Box::new(AudioLevelDetector::default()),
    ]
}

pub(crate) fn engine(stream: &StreamId) -> Engine {
    let fusion = Box::new(EvidenceFusion::new(stream.clone(), SETUP.clone()));
    let engine = Engine::new(stream.clone(), fusion).with_config(config()).with_consent(Consent::ALL);
    detectors().into_iter().fold(engine, |engine, detector| engine.with_detector(detector).unwrap())
}

/// A short stream: quiet talk, and a few bursts of chat, loud passages, kills and markers.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    seed: u64,
    rate: f64,
    bursts: Vec<i64>,
    loud: Vec<i64>,
    kills: Vec<i64>,
    markers: Vec<i64>,
    breaks: Vec<i64>,
}

pub(crate) fn streams() -> impl Strategy<Value = Stream> {
    let times = |n| prop::collection::vec(0..LENGTH_S * 1000, 0..n);
    (any::<u64>(), 0.2f64..2.0, times(4), times(3), times(4), times(3), times(3)).prop_map(
        |(seed, rate, bursts, loud, kills, markers, breaks)| Stream {
            seed,
            rate,
            bursts,
            loud,
            kills,
            markers,
            breaks,
        },
    )
}

/// What comes in at the edge: events, and signals of detectors of sound.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Event(AnyEvent),
    Signal(Signal),
}

impl Input {
    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.at(),
            Self::Signal(signal) => signal.at,
        }
    }

    fn feed(&self, engine: &mut Engine) -> Accepted {
        match self {
            Self::Event(event) => engine.event(event.clone()),
            Self::Signal(signal) => engine.signal(signal.clone()),
        }
    }
}

impl Stream {
    /// In order.
    pub(crate) fn inputs(&self, stream: &StreamId) -> Vec<Input> {
        let (mut rng, mut out, mut at) = (Rng::new(self.seed), Vec::new(), 0i64);
        let mut n = 0;
        fn stamp<E: Event + serde::Serialize>(
            stream: &StreamId,
            n: &mut usize,
            micros: i64,
            data: E,
        ) -> Input {
            *n += 1;
            let header = Header::new(stream.clone(), Timestamp::from_micros(micros), "test", format!("e{n}"));
            Input::Event(AnyEvent::wire(Stamped::new(header, data)))
        }
        while at < LENGTH_S * 1_000_000 {
            let burst = self.bursts.iter().any(|b| (0..10_000).contains(&(at / 1000 - b)));
            at += rng.pause(if burst { 8.0 } else { self.rate });
            if rng.below(10) == 0 {
                at = at / 1_000_000 * 1_000_000;
            }
            let text = ["LUL", "PogChamp", "hello", "clip it"][rng.below(4) as usize].into();
            let user = format!("u{}", rng.below(if burst { 200 } else { 40 })).into();
            let message = ChatMessage { user, text: Some(text), emotes: [].into(), badges: [].into() };
            out.push(stamp(stream, &mut n, at, message));
        }
        for second in 0..LENGTH_S {
            let loud = self.loud.iter().find(|l| (0..4_000).contains(&(second * 1000 - **l)));
            let lufs = Some(loud.map_or(-30.0 + 6.0 * rng.unit(), |l| if l % 2 == 0 { -8.0 } else { -19.0 }));
            let level = AudioLevel { rms: None, lufs, peak: None, window_ms: None };
            out.push(stamp(stream, &mut n, second * 1_000_000, level));
            if let Some(loud) = loud {
                let (at, onset) =
                    (Timestamp::from_millis(second * 1000 + 100), Timestamp::from_millis(*loud));
                let heard = ("loudness".into(), 3.0 + 6.0 * rng.unit());
                out.push(Input::Signal(Signal::new(
                    stream.clone(),
                    None,
                    heard.0,
                    1,
                    "loud",
                    at,
                    onset.min(at),
                    heard.1,
                )));
            }
        }
        for kill in &self.kills {
            let event = GameEvent { kind: "kill".into(), count: None, weight: None };
            out.push(stamp(stream, &mut n, kill * 1000, event));
        }
        for marker in &self.markers {
            out.push(stamp(stream, &mut n, marker * 1000, Marker::default()));
        }
        let mut platform = |at: i64, kind: &str, duration| {
            let event = PlatformEvent { kind: kind.into(), count: None, duration };
            out.push(stamp(stream, &mut n, at, event));
        };
        if rng.below(4) == 0 {
            platform(100_000_000, "raid", None);
        }
        for start in &self.breaks {
            platform(start * 1000, "ad_start", (rng.below(2) == 0).then_some(20.0));
            if rng.below(2) == 0 {
                platform(start * 1000 + 15_000_000, "ad_end", None);
            }
        }
        out.sort_by_key(Input::at);
        out
    }
}

/// The inputs with the instants at which they arrive, all within the lateness, in the order of arrival.
pub(crate) fn delayed(inputs: Vec<Input>, seed: u64) -> Vec<(Timestamp, Input)> {
    let mut rng = Rng::new(seed);
    let mut arrivals: Vec<(Timestamp, Input)> = inputs
        .into_iter()
        .map(|input| (input.at().offset_micros(rng.below(LATENESS.as_micros() as u64) as i64), input))
        .collect();
    arrivals.sort_by_key(|(arrives, _)| *arrives);
    arrivals
}

fn clock(stream: &StreamId, at: Timestamp) -> AnyEvent {
    AnyEvent::wire(Stamped::new(Header::new(stream.clone(), at, "edge", ""), Clock::default()))
}

fn lines(engine: &mut Engine, out: &mut String) {
    for moment in engine.take_moments() {
        out.push_str(&serde_json::to_string(&moment).unwrap());
        out.push('\n');
    }
}

/// How inputs reach an engine.
struct Course {
    /// The clock ticks this often.
    step: Duration,
    /// Inputs arrive late and out of order, by this seed.
    disorder: Option<u64>,
    /// The engine is saved as text and a new one goes on after these inputs.
    restarts: Vec<usize>,
}

const PLAIN: Course = Course { step: Duration::from_secs(1), disorder: None, restarts: Vec::new() };

/// The moments of a stream, one a line.
pub(crate) fn reference(stream: &Stream, name: &str) -> String {
    moments(&stream.inputs(&id(name)), &id(name), &PLAIN)
}

fn moments(inputs: &[Input], stream: &StreamId, course: &Course) -> String {
    let arrivals = match course.disorder {
        Some(seed) => delayed(inputs.to_vec(), seed),
        None => inputs.iter().map(|input| (input.at(), input.clone())).collect(),
    };
    let (mut running, mut out, mut now) = (engine(stream), String::new(), Timestamp::ZERO);
    for (i, (arrives, input)) in arrivals.iter().enumerate() {
        while now + course.step <= *arrives {
            now += course.step;
            running.event(clock(stream, now));
            lines(&mut running, &mut out);
        }
        assert_eq!(input.feed(&mut running), Accepted::Buffered, "{input:?}");
        if course.restarts.contains(&i) {
            let text = running.snapshot().unwrap().to_string();
            running = engine(stream);
            running.restore(&serde_json::from_str(&text).unwrap(), &Kinds::builtin()).unwrap();
        }
    }
    running.finish();
    lines(&mut running, &mut out);
    out
}

type Case = (Stream, u64, u64, Vec<prop::sample::Index>);

/// Any order of arrival inside the lateness, any steps of the clock, and restarts after any inputs, all at once.
fn any_course((stream, seed, millis, restarts): Case) -> TestCaseResult {
    let name = id("s");
    let inputs = stream.inputs(&name);
    let expected = moments(&inputs, &name, &PLAIN);
    let step = Duration::from_millis(millis);
    let restarts = restarts.iter().map(|index| index.index(inputs.len())).collect();
    let course = Course { step, disorder: Some(seed), restarts };
    prop_assert_eq!(moments(&inputs, &name, &course), expected);
    Ok(())
}

fn courses() -> impl Strategy<Value = Case> {
    let restarts = prop::collection::vec(any::<prop::sample::Index>(), 0..8);
    (streams(), any::<u64>(), 100u64..60_000, restarts)
}

/// Runs a property without files of regressions, which would lie in the repository of whoever runs it.
pub(crate) fn check<S: Strategy>(cases: u32, inputs: S, property: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    if let Err(error) = TestRunner::new(config).run(&inputs, property) {
        panic!("{error}");
    }
}

#[test]
fn order_steps_and_restarts_do_not_matter() {
    check(cases(300), courses(), any_course);
}

#[test]
#[ignore = "ten thousand cases"]
fn order_steps_and_restarts_do_not_matter_in_ten_thousand_cases() {
    check(cases(10_000), courses(), any_course);
}

/// A restart after each single input.
#[test]
fn a_restart_may_come_after_any_input() {
    check(cases(300) / 40 + 1, (streams(), any::<u64>()), |(stream, seed)| {
        let name = id("s");
        let inputs = stream.inputs(&name);
        let course = Course { disorder: Some(seed), restarts: (0..inputs.len()).collect(), ..PLAIN };
        prop_assert_eq!(moments(&inputs, &name, &course), moments(&inputs, &name, &PLAIN));
        Ok(())
    });
}

/// A clock that never ticks gives the same moments as one that ticks.
#[test]
fn a_stream_without_a_clock_is_the_same_stream() {
    check(cases(300) / 6, streams(), |stream| {
        let name = id("s");
        let inputs = stream.inputs(&name);
        let course = Course { step: Duration::from_secs(100_000), ..PLAIN };
        prop_assert_eq!(moments(&inputs, &name, &course), moments(&inputs, &name, &PLAIN));
        Ok(())
    });
}

/// `PROPTEST_CASES`, or as many as are usual.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The generator reaches what the properties are about.
#[test]
fn the_streams_have_moments_of_every_kind() {
    let (mut all, mut rng) = (String::new(), Rng::new(5));
    for seed in 0..40 {
        let mut times = |n: u64| (0..rng.below(n)).map(|_| rng.below(240_000) as i64).collect::<Vec<_>>();
        let (bursts, loud, kills, markers) = (times(4), times(3), times(4), times(3));
        let stream = Stream { seed, rate: 1.0, bursts, loud, kills, markers, breaks: times(2) };
        all += &reference(&stream, "s");
    }
    for part in ["provisional", "open", "closed", "dropped"] {
        assert!(all.contains(&format!("\"state\":\"{part}\"")), "no moment was {part}");
    }
    for part in
        ["chat_burst", "chat_keyword", "chat_lexicon", "marker", "audio_level", "game_event", "loudness"]
    {
        assert!(all.contains(&format!("\"detector\":\"{part}\"")), "{part} is evidence of nothing");
    }
}
