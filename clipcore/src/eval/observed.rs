use std::collections::BTreeMap;
use std::io::BufRead;

use super::{Counts, DurationsBuilder, Trace};
use crate::detector::Signal;
use crate::event::{ChatMessage, Event, Kinds};
use crate::log::Record;
use crate::replay::{Line, own_record, read_line};
use crate::{Result, StreamId, Timestamp};

/// Instants and scores of a stream's signals, by detector and label.
pub type ByLabel = BTreeMap<(String, String), Vec<(Timestamp, f64)>>;

/// What recordings say about their streams, as far as baselines, lengths and plots need it: who wrote and what
/// is not kept.
#[derive(Debug, Default)]
pub struct Observed {
    /// Chat messages per second.
    pub counts: BTreeMap<StreamId, Counts>,
    /// The first and last instants.
    pub durations: DurationsBuilder,
    /// Signals, by detector and label.
    pub signals: BTreeMap<StreamId, ByLabel>,
    /// Lines that were neither event, record nor signal, or had no stream time.
    pub bad: u64,
    default_stream: Option<StreamId>,
}

impl Observed {
    /// Files events that name no stream under this one.
    #[must_use]
    pub fn with_default_stream(mut self, stream: StreamId) -> Self {
        self.default_stream = Some(stream);
        self
    }

    /// Takes in lines of events, of log records, or of bare signals as `clipcore detect` writes them. Lines that
    /// are none of these are counted in [`bad`](Self::bad).
    ///
    /// # Errors
    /// Where the reader fails.
    pub fn read(&mut self, reader: &mut impl BufRead, kinds: &Kinds) -> Result<()> {
        let mut buffer = Vec::new();
        loop {
            let line = read_line(reader, &mut buffer)?;
            let text = buffer.trim_ascii();
            match line {
                Line::End => return Ok(()),
                Line::Whole if text.is_empty() => {}
                Line::Whole if self.line(text, kinds).is_some() => {}
                _ => self.bad += 1,
            }
        }
    }

    fn line(&mut self, line: &[u8], kinds: &Kinds) -> Option<()> {
        let Ok(event) = kinds.parse(line) else {
            if !own_record(line) {
                self.add_signal(&serde_json::from_slice(line).ok()?);
                return Some(());
            }
            return match Record::from_json(line, kinds).ok()? {
                Record::Signal(signal) => {
                    self.add_signal(&signal);
                    Some(())
                }
                _ => Some(()),
            };
        };
        let (stream, at) = (event.stream().or(self.default_stream.as_ref())?, event.at()?);
        self.durations.see(stream, at);
        let counts = self.counts.entry(stream.clone()).or_default();
        if event.kind() == ChatMessage::KIND {
            counts.add(at);
        }
        Some(())
    }

    /// Takes in a signal.
    pub fn add_signal(&mut self, signal: &Signal) {
        self.durations.see(&signal.stream, signal.at);
        let key = (signal.detector.to_string(), signal.label.to_string());
        let of_stream = self.signals.entry(signal.stream.clone()).or_default();
        of_stream.entry(key).or_default().push((signal.at, signal.score));
    }

    /// Adds what another recording said.
    pub fn merge(&mut self, other: Self) {
        for (stream, counts) in other.counts {
            self.counts.entry(stream).or_default().merge(&counts);
        }
        self.durations.merge(&other.durations);
        for (stream, signals) in other.signals {
            let ours = self.signals.entry(stream).or_default();
            signals.into_iter().for_each(|(key, points)| ours.entry(key).or_default().extend(points));
        }
        self.bad += other.bad;
    }

    /// The lanes of a stream's plot: chat's rate over 5 s, then a lane for each detector and label.
    pub fn traces(&self, stream: &StreamId) -> Vec<Trace> {
        let mut traces = Vec::new();
        if let Some(counts) = self.counts.get(stream).filter(|c| c.per_second().iter().any(|n| *n > 0)) {
            let per_second = counts.per_second();
            let rate =
                |end: usize| f64::from(per_second[end.saturating_sub(4)..=end].iter().sum::<u32>()) / 5.0;
            let points = (0..per_second.len()).map(|s| (Timestamp::from_secs(s as i64), rate(s))).collect();
            traces.push(Trace { name: "chat messages/s".into(), points, threshold: None });
        }
        for ((detector, label), points) in self.signals.get(stream).into_iter().flatten() {
            let name = format!("{detector} {label}");
            traces.push(Trace { name, points: points.clone(), threshold: None });
        }
        traces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_records_and_bare_signals_are_told_apart() {
        let stream = StreamId::new("s").unwrap();
        let at = Timestamp::from_secs(90);
        let signal = Signal::new(stream.clone(), None, "face".into(), 1, "happy", at, at, 2.5);
        let text = [
            r#"{"type":"chat.message","stream":"s","at":30.5,"data":{"user":"u"}}"#.to_owned(),
            r#"{"type":"platform.event","stream":"s","at":40,"data":{"kind":"raid"}}"#.into(),
            serde_json::to_string(&signal).unwrap(),
            Record::Signal(signal).to_json().unwrap(),
            "nonsense".into(),
            r#"{"type":"chat.message","stream":"s","time":"2026-11-23T10:00:00Z","data":{"user":"u"}}"#
                .into(),
        ]
        .join("\n");
        let mut observed = Observed::default();
        observed.read(&mut text.as_bytes(), &Kinds::builtin()).unwrap();
        assert_eq!(observed.bad, 2);
        let mut nameless = Observed::default().with_default_stream(stream.clone());
        nameless.read(&mut &br#"{"type":"marker","at":7,"data":{}}"#[..], &Kinds::builtin()).unwrap();
        assert_eq!((nameless.bad, nameless.durations.build()[&stream].as_secs()), (0, 7));
        assert_eq!(observed.counts[&stream].per_second()[30], 1);
        assert_eq!(observed.durations.build()[&stream].as_secs(), 90);
        let mut twice = Observed::default();
        twice.read(&mut text.as_bytes(), &Kinds::builtin()).unwrap();
        twice.merge(observed);
        assert_eq!(twice.counts[&stream].per_second().iter().sum::<u32>(), 2);
        let traces = twice.traces(&stream);
        assert_eq!(traces[0].points[30].1, 0.4);
        assert_eq!((traces[1].name.as_str(), traces[1].points.len()), ("face happy", 4));
    }
}
