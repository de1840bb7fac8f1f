//! Short ways to feed a detector in tests.

use super::{AnyDetector, DynDetector, Signal};
use crate::event::{AnyEvent, ChatMessage, Event, Header, Stamped};
use crate::model::ModelRegistry;
use crate::{StreamId, Timestamp};

/// An event at so many seconds.
pub(super) fn at<E: Event>(secs: f64, data: E) -> AnyEvent {
    let stream = StreamId::new("s").unwrap();
    AnyEvent::local(Stamped::new(
        Header::new(stream, Timestamp::try_from_secs_f64(secs).unwrap(), "t", ""),
        data,
    ))
}

/// A chat message.
pub(super) fn say(secs: f64, user: usize, text: &str) -> AnyEvent {
    let user = format!("u{user}").into();
    at(secs, ChatMessage { user, text: Some(text.into()), emotes: [].into(), badges: [].into() })
}

/// Messages of different people, evenly spread from `from` to `to`.
pub(super) fn crowd(from: f64, to: f64, rate: f64, text: &str) -> Vec<AnyEvent> {
    let n = ((to - from) * rate) as usize;
    (0..n).map(|i| say(from + i as f64 / rate, i, text)).collect()
}

/// All signals of these events, in any order given, up to `end` seconds.
pub(super) fn run(
    detector: &mut (impl DynDetector + Clone + 'static),
    events: &[AnyEvent],
    end: f64,
) -> Vec<Signal> {
    let mut events = events.to_vec();
    events.sort_by_key(AnyEvent::at);
    let stream = StreamId::new("s").unwrap();
    let mut bound = AnyDetector::new(Box::new(detector.clone()), stream, None, ModelRegistry::default());
    for event in &events {
        bound.detect(event);
    }
    bound.advance(Timestamp::try_from_secs_f64(end).unwrap());
    bound.take_signals()
}

/// Label, time and score of each signal.
pub(super) fn found(signals: &[Signal]) -> Vec<(&str, f64, f64)> {
    signals.iter().map(|s| (&*s.label, s.at.as_secs_f64(), s.score)).collect()
}
