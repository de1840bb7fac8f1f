//! What chat and sound do while the platform shows advertisements makes no moment.

use std::time::Duration;

use clipcore::detector::{ChatBurst, MarkerDetector, Signal};
use clipcore::engine::{Engine, EngineConfig};
use clipcore::event::{AnyEvent, ChatMessage, Event, Header, Marker, PlatformEvent, Stamped};
use clipcore::fusion::{FusionConfig, MomentState};
use clipcore::{StreamId, Timestamp};

fn at<E: Event + serde::Serialize>(secs: f64, data: E) -> AnyEvent {
    let stream = StreamId::new("s").unwrap();
    let time = Timestamp::try_from_secs_f64(secs).unwrap();
    AnyEvent::wire(Stamped::new(Header::new(stream, time, "test", format!("{secs}")), data))
}

fn ad(secs: f64, kind: &str, duration: Option<f64>) -> AnyEvent {
    at(secs, PlatformEvent { kind: kind.into(), count: None, duration })
}

/// Twenty minutes of chat, one message a second, and a crowd at each of `crowds`.
fn chat(crowds: &[f64]) -> Vec<AnyEvent> {
    let say = |secs: f64, who: u32| {
        let user = format!("u{who}").into();
        at(secs, ChatMessage { user, text: None, emotes: [].into(), badges: [].into() })
    };
    let mut events: Vec<_> = (0..1200).map(|s| say(f64::from(s) + 0.1, s as u32 % 90)).collect();
    for crowd in crowds {
        events.extend((0..120).map(|i| say(crowd + 0.013 + f64::from(i) / 10.0, 1000 + i)));
    }
    events
}

/// The instants at which moments opened, and how many signals were muted.
fn opened(config: EngineConfig, mut events: Vec<AnyEvent>, heard: &[Signal]) -> (Vec<f64>, u64) {
    let stream = StreamId::new("s").unwrap();
    let fusion = FusionConfig::default().factory().unwrap();
    let mut engine = Engine::new(stream.clone(), fusion(&stream))
        .with_config(config)
        .with_detector(Box::new(ChatBurst::default()))
        .and_then(|e| e.with_detector(Box::new(MarkerDetector::default())))
        .unwrap();
    events.sort_by_key(AnyEvent::at);
    for signal in heard {
        engine.signal(signal.clone());
    }
    let mut now = Timestamp::ZERO;
    for event in events {
        let second = event.at().floor_to(Duration::from_secs(1));
        if second > now {
            now = second;
            engine.advance(now - Duration::from_secs(2));
        }
        engine.event(event);
    }
    engine.finish();
    let moments = engine.take_moments();
    let opened = moments.iter().filter(|m| m.state == MomentState::Open);
    (opened.map(|m| m.decided_at.as_secs_f64()).collect(), engine.stats().muted)
}

fn found(events: Vec<AnyEvent>) -> Vec<f64> {
    opened(EngineConfig::default(), events, &[]).0
}

#[test]
fn a_crowd_in_a_break_is_no_moment_and_one_after_it_is() {
    let crowds = [400.0, 700.0];
    assert_eq!(found(chat(&crowds)).len(), 2);
    let with = |ads: Vec<AnyEvent>| found([chat(&crowds), ads].concat());
    for ads in [
        vec![ad(390.0, "ad_start", None), ad(430.0, "ad_end", None)],
        vec![ad(390.0, "ad_start", Some(60.0))],
        // The end of this one got lost.
        vec![ad(390.0, "ad_start", None)],
    ] {
        let found = with(ads.clone());
        assert!(found.len() == 1 && found[0] > 700.0, "{ads:?}: {found:?}");
    }
    assert_eq!(with(vec![ad(430.0, "ad_start", Some(30.0))]).len(), 2, "a break elsewhere");
    let hears = EngineConfig { ad_break: Duration::ZERO, ..EngineConfig::default() };
    let (all, muted) = opened(hears, [chat(&crowds), vec![ad(390.0, "ad_start", None)]].concat(), &[]);
    assert_eq!((all.len(), muted), (2, 0), "switched off");
}

#[test]
fn loud_advertisements_are_not_heard_and_people_who_ask_are() {
    let stream = StreamId::new("s").unwrap();
    let loud: Vec<Signal> = (0..80)
        .map(|i| {
            let (onset, at) = (Timestamp::from_secs(400), Timestamp::from_millis(400_000 + 100 * i));
            Signal::new(stream.clone(), None, "loudness".into(), 1, "loud", at, onset, 12.0)
        })
        .collect();
    let with = |more: Vec<AnyEvent>| opened(EngineConfig::default(), [chat(&[]), more].concat(), &loud);
    assert_eq!(with(vec![]).0.len(), 1, "loud for eight seconds");
    let (silent, muted) = with(vec![ad(395.0, "ad_start", Some(30.0))]);
    assert_eq!((silent.len(), muted), (0, 80));
    let ask = at(410.0, Marker::default());
    assert_eq!(with(vec![ad(395.0, "ad_start", Some(30.0)), ask]).0.len(), 1);
    let mut further = EngineConfig::default();
    further.heard_in_ads.push("loudness".to_owned());
    let events = [chat(&[]), vec![ad(395.0, "ad_start", Some(30.0))]].concat();
    assert_eq!(opened(further, events, &loud).0.len(), 1, "as configured");
}
