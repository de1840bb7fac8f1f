//! Streams with known events: reading them, listening to them, counting what was found.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use clipcore::detector::{AnyDetector, Signal};
use clipcore::event::media::{Audio16k, AudioWindow};
use clipcore::event::{AnyEvent, Header, Stamped};
use clipcore::{StreamId, Timestamp};

use crate::System;

pub const KINDS: [&str; 4] = ["laughter", "cheer", "applause", "scream"];
pub const SNRS: [i32; 5] = [-5, 0, 5, 10, 20];
const RATE: f64 = 16_000.0;
/// A finding may come so long after the event.
const LATE: f64 = 2.5;
/// Alarms that are closer together are one.
const MERGE: f64 = 5.0;
const CLIP: f64 = 5.0;
const FALSE_ALARMS_PER_HOUR: f64 = 6.0;

/// A threshold for each label.
pub type Thresholds = BTreeMap<&'static str, f64>;

pub struct Event {
    pub start: f64,
    pub end: f64,
    pub kind: String,
}

pub struct Stream {
    pub fold: usize,
    pub snr: i32,
    pub seconds: f64,
    pub samples: Vec<f32>,
    pub events: Vec<Event>,
}

/// Reads what `benches/compare/audio_mixes.py` wrote.
pub fn read(dir: &Path) -> Vec<Stream> {
    let truth = std::fs::read_to_string(dir.join("truth.csv")).unwrap();
    let mut by_name: BTreeMap<&str, Vec<Event>> = BTreeMap::new();
    for line in truth.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let event = Event {
            start: cells[1].parse().unwrap(),
            end: cells[2].parse().unwrap(),
            kind: cells[3].to_owned(),
        };
        by_name.entry(cells[0]).or_default().push(event);
    }
    let make = |(name, events): (&str, Vec<Event>)| {
        let bytes = std::fs::read(dir.join(format!("{name}.f32"))).unwrap();
        let samples: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let (fold, snr) = name.strip_prefix("mix-").unwrap().split_once('-').unwrap();
        Stream {
            fold: fold.parse().unwrap(),
            snr: snr.parse().unwrap(),
            seconds: samples.len() as f64 / RATE,
            samples,
            events,
        }
    };
    by_name.into_iter().map(make).collect()
}

/// Scores over time, by label.
pub type Heard = BTreeMap<String, Vec<(f64, f64)>>;

/// Runs a system over a stream in blocks of 10 ms.
fn signals(system: &System, stream: &Stream) -> Vec<Signal> {
    let id = StreamId::new("mix").unwrap();
    let mut detector =
        AnyDetector::new(system.detector(), id.clone(), None, system.registries[stream.fold].clone());
    for (i, block) in stream.samples.chunks(160).enumerate() {
        let header = Header::new(id.clone(), Timestamp::from_millis(10 * i as i64), "mix", "");
        let samples = block.into();
        detector.detect(&match system.card {
            Some(_) => AnyEvent::local(Stamped::new(header, Audio16k { samples })),
            None => AnyEvent::local(Stamped::new(header, AudioWindow { rate: 16_000, channels: 1, samples })),
        });
    }
    detector.advance(Timestamp::try_from_secs_f64(stream.seconds).unwrap());
    assert_eq!(detector.failures(), 0, "{:?}", detector.last_failure());
    detector.take_signals()
}

pub fn listen(system: &System, stream: &Stream) -> Heard {
    let mut heard = Heard::new();
    for signal in signals(system, stream) {
        heard.entry(signal.label.to_string()).or_default().push((signal.at.as_secs_f64(), signal.score));
    }
    heard
}

/// What a system can say; loudness has one word for everything.
pub fn labels(system: &System) -> &'static [&'static str] {
    if system.card.is_some() { &KINDS } else { &["loud"] }
}

fn label<'a>(system: &System, kind: &'a str) -> &'a str {
    if system.card.is_some() { kind } else { "loud" }
}

/// The highest score in a stretch of time.
fn highest(heard: &Heard, label: &str, from: f64, to: f64) -> f64 {
    let scores = heard.get(label).map_or(&[][..], Vec::as_slice);
    let inside = scores.iter().filter(|(at, _)| (from..to).contains(at));
    inside.map(|(_, score)| *score).fold(f64::NEG_INFINITY, f64::max)
}

/// How well scores tell clips with an event of `kind` from clips without one, at one ratio.
pub fn auc(streams: &[Stream], heard: &[Heard], system: &System, kind: &str, snr: i32) -> f64 {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (stream, heard) in streams.iter().zip(heard).filter(|(s, _)| s.snr == snr) {
        let of_kind = || stream.events.iter().filter(|e| e.kind == kind);
        for event in of_kind() {
            with.push(highest(heard, label(system, kind), event.start, event.start + CLIP + 1.0));
        }
        let mut at = 3.0;
        while at + CLIP < stream.seconds {
            if !of_kind().any(|e| e.start < at + CLIP + 3.0 && e.end > at - 3.0) {
                without.push(highest(heard, label(system, kind), at, at + CLIP + 1.0));
            }
            at += CLIP;
        }
    }
    let wins: f64 = with
        .iter()
        .flat_map(|p| {
            without.iter().map(move |n| if p > n { 1.0 } else { 0.5 * f64::from(u8::from(p == n)) })
        })
        .sum();
    wins / (with.len() * without.len()) as f64
}

/// The scores that the detector would emit with its own settings.
pub fn emitted(scores: &[(f64, f64)], least: f64, hold: Duration) -> Vec<(f64, f64)> {
    let mut run: Option<(f64, f64)> = None;
    let mut out = Vec::new();
    for (at, score) in scores {
        run = match run {
            _ if *score < least => None,
            Some((since, last)) if at - last <= 0.75 => Some((since, *at)),
            _ => Some((*at, *at)),
        };
        out.extend(run.filter(|(since, _)| at + 0.5 >= since + hold.as_secs_f64()).map(|_| (*at, *score)));
    }
    out
}

/// Stretches in which a label's score is high enough for long enough.
fn alarms(scores: &[(f64, f64)], threshold: f64, hold: Duration) -> Vec<(f64, f64)> {
    let step = scores.windows(2).map(|w| w[1].0 - w[0].0).fold(f64::INFINITY, f64::min);
    let mut found: Vec<(f64, f64)> = Vec::new();
    let mut run: Option<(f64, f64)> = None;
    for (at, score) in scores {
        run = match run {
            _ if *score < threshold => None,
            Some((since, last)) if at - last <= 1.5 * step => Some((since, *at)),
            _ => Some((*at, *at)),
        };
        let Some((since, _)) = run.filter(|(since, _)| at + step >= since + hold.as_secs_f64()) else {
            continue;
        };
        match found.last_mut() {
            Some(last) if at - last.1 <= MERGE => last.1 = *at,
            _ => found.push((since, *at)),
        }
    }
    found
}

#[derive(Default)]
pub struct Tally {
    pub events: usize,
    pub found: usize,
    pub right: usize,
    pub false_alarms: usize,
    pub hours: f64,
}

/// Counts at a threshold for each fold.
pub fn tally(
    streams: &[Stream],
    heard: &[Heard],
    system: &System,
    thresholds: &[Thresholds; 2],
    snr: Option<i32>,
) -> Tally {
    let mut tally = Tally::default();
    for (stream, heard) in streams.iter().zip(heard).filter(|(s, _)| snr.is_none_or(|snr| s.snr == snr)) {
        let events: Vec<&Event> = stream.events.iter().filter(|e| KINDS.contains(&e.kind.as_str())).collect();
        let alarms: Vec<(&str, f64, f64)> = thresholds[stream.fold]
            .iter()
            .flat_map(|(label, threshold)| {
                let scores = heard.get(*label).map_or(&[][..], Vec::as_slice);
                let found = alarms(scores, *threshold, system.hold);
                found.into_iter().map(move |(from, to)| (*label, from, to))
            })
            .collect();
        let meets = |e: &Event, from: f64, to: f64| from <= e.end + LATE && to >= e.start;
        tally.events += events.len();
        for event in &events {
            let hit = |wanted: Option<&str>| {
                alarms.iter().any(|(l, from, to)| wanted.is_none_or(|w| w == *l) && meets(event, *from, *to))
            };
            tally.found += usize::from(hit(None));
            tally.right += usize::from(hit(Some(&event.kind)));
        }
        let mut wrong: Vec<f64> = alarms
            .iter()
            .filter(|(_, from, to)| !events.iter().any(|e| meets(e, *from, *to)))
            .map(|(_, from, _)| *from)
            .collect();
        wrong.sort_by(f64::total_cmp);
        wrong.dedup_by(|b, a| *b - *a <= MERGE);
        tally.false_alarms += wrong.len();
        tally.hours += stream.seconds / 3600.0;
    }
    tally
}

/// The lowest threshold of each label that keeps to its share of the false alarms allowed, on one fold.
pub fn thresholds(streams: &[Stream], heard: &[Heard], system: &System, fold: usize) -> Thresholds {
    let mine: Vec<usize> = (0..streams.len()).filter(|i| streams[*i].fold == fold).collect();
    let labels = labels(system);
    let share = FALSE_ALARMS_PER_HOUR / labels.len() as f64;
    let rate = |label: &'static str, threshold: f64| {
        let only = Thresholds::from([(label, threshold)]);
        let both = [only.clone(), only];
        let tallies = mine.iter().map(|i| tally(&streams[*i..=*i], &heard[*i..=*i], system, &both, None));
        let (alarms, hours) =
            tallies.fold((0, 0.0), |(alarms, hours), t| (alarms + t.false_alarms, hours + t.hours));
        alarms as f64 / hours
    };
    let descending = || (-40..240).rev().map(|i| f64::from(i) / 20.0);
    let lowest = |label| descending().take_while(|t| rate(label, *t) <= share).last();
    labels.iter().map(|label| (*label, lowest(label).unwrap_or(12.0))).collect()
}
