use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::detector::{Detector, DetectorInfo, Output};
use crate::engine::EngineConfig;
use crate::event::{ChatMessage, Stamped};
use crate::fusion::{Fusion, MomentState, moment_id};
use crate::rng::Rng;

/// Says of each message whether it could read it, and keeps the words.
struct Reader(Arc<Mutex<Vec<String>>>);

impl Detector for Reader {
    type Input = ChatMessage;
    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("reader", &["seen"])
    }
    fn detect(&mut self, event: &Stamped<ChatMessage>, out: &mut Output) {
        self.0.lock().unwrap().extend(event.data.text.iter().map(|t| t.to_string()));
        out.signal("seen", event.at, event.at, 1.0);
    }
    fn advance(&mut self, _: Timestamp, _: &mut Output) {}
    fn reset(&mut self) {}
    fn snapshot(&self) -> Result<Value> {
        Ok(Value::Null)
    }
    fn restore(&mut self, _: &Value) -> Result<()> {
        Ok(())
    }
}

/// Every fifth signal is a moment, decided two seconds after it: enough to see order and watermark.
struct EveryFifth {
    stream: StreamId,
    seen: u64,
    due: Vec<Timestamp>,
}

impl Fusion for EveryFifth {
    fn push(&mut self, signal: &Signal) {
        self.seen += 1;
        if self.seen.is_multiple_of(5) {
            self.due.push(signal.at);
        }
    }
    fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Moment>) {
        let late = Duration::from_secs(2);
        let (now, later) = std::mem::take(&mut self.due).into_iter().partition(|t| *t + late <= watermark);
        self.due = later;
        let now: Vec<Timestamp> = now;
        out.extend(now.into_iter().map(|at| Moment {
            id: moment_id(&self.stream, at),
            rev: 1,
            stream: self.stream.clone(),
            state: MomentState::Closed,
            start: at,
            peak: at,
            end: at,
            decided_at: at + late,
            start_time: None,
            peak_time: None,
            end_time: None,
            score: self.seen as f64,
            label: "test".into(),
            evidence: Vec::new(),
            trace: None,
        }));
    }
    fn finish(&mut self, out: &mut Vec<Moment>) {
        self.advance(Timestamp::MAX, out);
    }
    fn snapshot(&self) -> Result<Value> {
        Ok(Value::Null)
    }
    fn restore(&mut self, _: &Value) -> Result<()> {
        Ok(())
    }
}

fn run(text: &str, consent: Consent) -> (Vec<Found>, ReplayReport, Vec<String>) {
    let words = Arc::new(Mutex::new(Vec::new()));
    let mut replay = Replay::new(Box::new(|stream: &StreamId| {
        let fusion = EveryFifth { stream: stream.clone(), seen: 0, due: Vec::new() };
        let config = EngineConfig { lateness: Duration::from_secs(2), ..EngineConfig::default() };
        Engine::new(stream.clone(), Box::new(fusion))
            .with_config(config)
            .with_detector(Box::new(Reader(words.clone())))
    }))
    .with_consent(consent);
    let mut found = Vec::new();
    replay.read(&mut text.as_bytes(), &mut |f| found.push(f)).unwrap();
    let report = replay.finish(&mut |f| found.push(f)).unwrap();
    let words = words.lock().unwrap().clone();
    (found, report, words)
}

fn moments(found: &[Found]) -> Vec<String> {
    let moment = |f: &Found| match f {
        Found::Moment(m) => Some(serde_json::to_string(m).unwrap()),
        Found::Signal(_) => None,
    };
    found.iter().filter_map(moment).collect()
}

fn message(stream: &str, i: usize, at: f64) -> String {
    format!(
        r#"{{"type":"chat.message","stream":"{stream}","id":"{i}","at":{at},"data":{{"user":"u{i}","text":"word{i}"}}}}"#
    )
}

fn clock(stream: &str, at: f64) -> String {
    format!(r#"{{"type":"clock","stream":"{stream}","id":"c{at}","at":{at},"data":{{}}}}"#)
}

#[test]
fn a_bare_file_gives_the_same_moments_in_any_order_of_its_lines() {
    let mut lines: Vec<String> =
        (0..200).map(|i| message(["b", "a"][i % 2], i, 3.0 + i as f64 * 0.37)).collect();
    let (sorted, report, _) = run(&lines.join("\n"), Consent::NONE);
    let sorted = moments(&sorted);
    assert_eq!((report.events, report.bad, sorted.len()), (200, 0, 40));
    assert!(sorted[..20].iter().all(|m| m.contains(r#""stream":"a""#)), "streams come in order of their ids");
    Rng::new(3).shuffle(&mut lines);
    assert_eq!(moments(&run(&lines.join("\r\n\n"), Consent::NONE).0), sorted);
}

#[test]
fn a_log_is_taken_as_it_stands_late_events_included() {
    let mut lines = vec![message("a", 0, 1.0)];
    lines.extend((1..10).map(|i| message("a", i, 1.0 + i as f64 * 0.1)));
    lines.push(clock("a", 10.0));
    // Behind the watermark of 8 s: the live run did not see it, so the replay must not either.
    lines.push(message("a", 10, 5.0));
    lines.extend((11..15).map(|i| message("a", i, 9.0 + i as f64 * 0.01)));
    lines.push(clock("a", 30.0));
    let (found, report, _) = run(&lines.join("\n"), Consent::NONE);
    assert_eq!(report.streams[&StreamId::new("a").unwrap()].late, 1);
    assert_eq!(moments(&found).len(), 2);
    // The same lines without clocks are sorted, and the late one counts.
    let bare: Vec<String> = lines.into_iter().filter(|l| !l.contains("clock")).collect();
    assert_eq!(moments(&run(&bare.join("\n"), Consent::NONE).0).len(), 3);
}

#[test]
fn results_in_a_log_are_passed_over_and_its_signals_are_fused() {
    let stream = StreamId::new("a").unwrap();
    let at = Timestamp::from_secs(3);
    let signals: Vec<String> = (0..5)
        .map(|i| {
            let label = format!("l{i}");
            let signal = Signal::new(stream.clone(), None, "edge".into(), 1, &label, at, at, 1.0);
            Record::Signal(signal).to_json().unwrap()
        })
        .collect();
    let (found, ..) = run(&signals.join("\n"), Consent::NONE);
    let Some(Found::Moment(moment)) = found.last() else { panic!("no moment from {found:?}") };
    let log = format!("{}\n{}", signals.join("\n"), Record::Moment(moment.clone()).to_json().unwrap());
    let (again, report, _) = run(&log, Consent::NONE);
    assert_eq!((report.signals, report.skipped, report.bad), (5, 1, 0));
    assert_eq!(moments(&again), moments(&found));
}

#[test]
fn bad_lines_are_numbered_and_the_rest_goes_on() {
    let mut lines: Vec<String> = (0..10).map(|i| message("a", i, i as f64)).collect();
    lines.insert(3, "{\"type\":\"chat.message\"".into());
    lines.insert(7, String::new());
    lines.insert(8, r#"{"type":"chat.message","stream":"a","at":1,"data":{"user":7}}"#.into());
    let (found, report, _) = run(&lines.join("\n"), Consent::NONE);
    assert_eq!(moments(&found).len(), 2);
    assert_eq!((report.lines, report.events, report.bad), (13, 10, 2));
    let numbers: Vec<u64> = report.bad_lines.iter().map(|b| b.line).collect();
    assert_eq!(numbers, [4, 9]);
    assert!(report.bad_lines[1].error.to_string().contains("chat.message"), "{:?}", report.bad_lines[1]);
}

#[test]
fn lines_that_are_too_long_are_bad_whatever_they_begin_with() {
    for words in [0, 100, 300] {
        let long = format!("{}{}", " ".repeat(MAX_LINE - words), "x".repeat(words + 10));
        let (_, report, _) = run(&format!("{long}\n{}", message("a", 1, 1.0)), Consent::NONE);
        assert_eq!((report.events, report.bad), (1, 1));
        assert!(report.bad_lines[0].error.to_string().contains("longer than"), "{:?}", report.bad_lines);
    }
}

#[test]
fn words_reach_a_detector_only_with_consent() {
    let text = message("a", 1, 1.0);
    assert_eq!(run(&text, Consent::NONE).2, Vec::<String>::new());
    assert_eq!(run(&text, "chat_text".parse().unwrap()).2, ["word1"]);
}

#[test]
fn a_time_of_day_is_placed_by_the_clock_before_it() {
    let lines = [
        r#"{"type":"clock","stream":"a","id":"c","at":100,"data":{"wall":"2026-11-23T10:00:00Z"}}"#
            .to_owned(),
        r#"{"type":"chat.message","stream":"a","id":"m","time":"2026-11-23T10:00:05Z","data":{"user":"u"}}"#
            .into(),
        r#"{"type":"chat.message","stream":"b","id":"m","time":"2026-11-23T10:00:05Z","data":{"user":"u"}}"#
            .into(),
        clock("a", 200.0),
    ];
    let (found, report, _) = run(&lines.join("\n"), Consent::NONE);
    let Some(Found::Signal(signal)) = found.first() else { panic!("no signal in {found:?}") };
    assert_eq!(signal.at, Timestamp::from_secs(105));
    assert_eq!(report.bad_lines[0].line, 3, "stream b has no clock");
}
