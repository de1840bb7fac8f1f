//! Invariants of the whole engine on random input. `PROPTEST_CASES` sets how many.

use std::time::Duration;

use clipcore::conformance::cases::Rng;
use clipcore::detector::{
    AudioLevelDetector, ChatBurst, ChatKeyword, ChatLexicon, GameEventDetector, MarkerDetector,
};
use clipcore::engine::{Accepted, Engine, EngineConfig};
use clipcore::event::{
    AnyEvent, AudioLevel, ChatMessage, Clock, Event, GameEvent, Header, Kinds, Marker, PlatformEvent, Stamped,
};
use clipcore::fusion::{EvidenceFusion, FusionConfig, FusionSetup};
use clipcore::{Consent, StreamId, Timestamp};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

const LATENESS: Duration = Duration::from_secs(2);
/// Long enough for moments to open, close and block the next.
const LENGTH_S: i64 = 240;

static SETUP: LazyLock<Arc<FusionSetup>> = LazyLock::new(|| FusionConfig::default().setup().unwrap());

fn engine() -> Engine {
    let stream = StreamId::new("s").unwrap();
    Engine::new(stream.clone(), Box::new(EvidenceFusion::new(stream, SETUP.clone())))
        .with_config(EngineConfig { lateness: LATENESS, ..EngineConfig::default() })
        .with_consent(Consent::ALL)
        .with_detector(Box::new(ChatBurst::default()))
        .and_then(|e| e.with_detector(Box::new(ChatKeyword::default())))
        .and_then(|e| e.with_detector(Box::new(ChatLexicon::default())))
        .and_then(|e| e.with_detector(Box::new(MarkerDetector::default())))
        .and_then(|e| e.with_detector(Box::new(GameEventDetector::default())))
        .and_then(|e| e.with_detector(Box::new(AudioLevelDetector::default())))
        .unwrap()
}

/// A short stream: quiet talk, and a few bursts of chat, loud passages, kills and markers.
#[derive(Debug, Clone)]
struct Stream {
    seed: u64,
    rate: f64,
    bursts: Vec<i64>,
    loud: Vec<i64>,
    kills: Vec<i64>,
    markers: Vec<i64>,
}

fn streams() -> impl Strategy<Value = Stream> {
    let times = |n| prop::collection::vec(0..LENGTH_S * 1000, 0..n);
    (any::<u64>(), 0.2f64..2.0, times(4), times(3), times(4), times(3)).prop_map(
        |(seed, rate, bursts, loud, kills, markers)| Stream { seed, rate, bursts, loud, kills, markers },
    )
}

fn stamp<E: Event + serde::Serialize>(micros: i64, n: usize, data: E) -> AnyEvent {
    let stream = StreamId::new("s").unwrap();
    AnyEvent::wire(Stamped::new(
        Header::new(stream, Timestamp::from_micros(micros), "test", format!("e{n}")),
        data,
    ))
}

impl Stream {
    fn events(&self) -> Vec<AnyEvent> {
        let (mut rng, mut out, mut at) = (Rng::new(self.seed), Vec::new(), 0i64);
        while at < LENGTH_S * 1_000_000 {
            let burst = self.bursts.iter().any(|b| (0..10_000).contains(&(at / 1000 - b)));
            at += rng.pause(if burst { 8.0 } else { self.rate });
            if rng.below(10) == 0 {
                at = at / 1_000_000 * 1_000_000;
            }
            let text = ["LUL", "PogChamp", "hello", "clip it"][rng.below(4) as usize].into();
            let user = format!("u{}", rng.below(if burst { 200 } else { 40 })).into();
            let message = ChatMessage { user, text: Some(text), emotes: [].into(), badges: [].into() };
            out.push(stamp(at, out.len(), message));
        }
        for second in 0..LENGTH_S {
            let loud = self.loud.iter().find(|l| (0..4_000).contains(&(second * 1000 - **l)));
            let lufs = Some(loud.map_or(-30.0 + 6.0 * rng.unit(), |l| if l % 2 == 0 { -8.0 } else { -19.0 }));
            let level = AudioLevel { rms: None, lufs, peak: None, window_ms: None };
            out.push(stamp(second * 1_000_000, out.len(), level));
        }
        for kill in &self.kills {
            let event = GameEvent { kind: "kill".into(), count: None, weight: None };
            out.push(stamp(kill * 1000, out.len(), event));
        }
        for marker in &self.markers {
            out.push(stamp(marker * 1000, out.len(), Marker::default()));
        }
        if rng.below(4) == 0 {
            out.push(stamp(100_000_000, out.len(), PlatformEvent { kind: "raid".into(), count: None }));
        }
        out.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        out
    }
}

fn clock(at: Timestamp) -> AnyEvent {
    let stream = StreamId::new("s").unwrap();
    AnyEvent::wire(Stamped::new(Header::new(stream, at, "edge", ""), Clock::default()))
}

fn lines(engine: &mut Engine, out: &mut String) {
    for moment in engine.take_moments() {
        out.push_str(&serde_json::to_string(&moment).unwrap());
        out.push('\n');
    }
}

/// The moments of a stream whose clock ticks every `step`, with every event arriving in order.
fn reference(events: &[AnyEvent], step: Duration) -> String {
    let (mut engine, mut out, mut now) = (engine(), String::new(), Timestamp::ZERO);
    for event in events {
        while now + step <= event.at() {
            now += step;
            engine.event(clock(now));
            lines(&mut engine, &mut out);
        }
        assert_eq!(engine.event(event.clone()), Accepted::Buffered);
    }
    engine.finish();
    lines(&mut engine, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Events that arrive in any order inside the lateness give the same moments, byte for byte.
    #[test]
    fn order_of_arrival_does_not_matter(stream in streams(), seed in any::<u64>()) {
        let events = stream.events();
        let mut rng = Rng::new(seed);
        let mut arrivals: Vec<(Timestamp, &AnyEvent)> = events
            .iter()
            .map(|e| (e.at().offset_micros(rng.below(LATENESS.as_micros() as u64) as i64), e))
            .collect();
        arrivals.sort_by_key(|(arrives, _)| *arrives);
        let (mut engine, mut out, mut now) = (engine(), String::new(), Timestamp::ZERO);
        let step = Duration::from_millis(1000);
        for (arrives, event) in arrivals {
            while now + step <= arrives {
                now += step;
                engine.event(clock(now));
                lines(&mut engine, &mut out);
            }
            prop_assert_eq!(engine.event(event.clone()), Accepted::Buffered);
        }
        engine.finish();
        lines(&mut engine, &mut out);
        prop_assert_eq!(out, reference(&events, step));
    }

    /// A clock that ticks often, rarely or not at all gives the same moments.
    #[test]
    fn steps_of_the_clock_do_not_matter(stream in streams(), millis in 100u64..120_000) {
        let events = stream.events();
        let expected = reference(&events, Duration::from_secs(1));
        prop_assert_eq!(reference(&events, Duration::from_millis(millis)), &*expected);
        prop_assert_eq!(reference(&events, Duration::from_secs(100_000)), expected);
    }

    /// An engine that is saved and restored anywhere, any number of times, goes on as if nothing had happened.
    #[test]
    fn restarts_do_not_matter(stream in streams(), every in 1usize..200) {
        let events = stream.events();
        let expected = reference(&events, Duration::from_secs(1));
        let kinds = Kinds::builtin();
        let (mut running, mut out, mut now) = (engine(), String::new(), Timestamp::ZERO);
        let step = Duration::from_secs(1);
        for (i, event) in events.iter().enumerate() {
            while now + step <= event.at() {
                now += step;
                running.event(clock(now));
                lines(&mut running, &mut out);
            }
            running.event(event.clone());
            if i % every == 0 {
                let text = running.snapshot().unwrap().to_string();
                running = engine();
                running.restore(&serde_json::from_str(&text).unwrap(), &kinds).unwrap();
            }
        }
        running.finish();
        lines(&mut running, &mut out);
        prop_assert_eq!(out, expected);
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}

/// The generator reaches what the properties are about.
#[test]
fn the_streams_have_moments_of_every_kind() {
    let (mut all, mut rng) = (String::new(), Rng::new(5));
    for seed in 0..20 {
        let mut times = |n: u64| (0..rng.below(n)).map(|_| rng.below(240_000) as i64).collect::<Vec<_>>();
        let (bursts, loud, kills, markers) = (times(4), times(3), times(4), times(3));
        let stream = Stream { seed, rate: 1.0, bursts, loud, kills, markers };
        all += &reference(&stream.events(), Duration::from_secs(1));
    }
    for part in ["provisional", "open", "closed", "dropped"] {
        assert!(all.contains(&format!("\"state\":\"{part}\"")), "no moment was {part}");
    }
    for part in ["chat_burst", "chat_keyword", "chat_lexicon", "marker", "audio_level", "game_event"] {
        assert!(all.contains(&format!("\"detector\":\"{part}\"")), "{part} is evidence of nothing");
    }
}
