//! Replay: recorded events in, the moments of the live run out; no media, no clock, no network.
//!
//! A [`Replay`] reads lines of JSON, one event or log record each, and drives an [`Engine`] per stream.
//! - A stream whose lines hold `clock` records is a log: its records are taken in the order they stand, and time
//!   moves on the clocks, which gives the live run again, byte for byte.
//! - A stream without any is bare JSONL: it is sorted by `at`, and its end is the end of time. It is held in memory
//!   until the input ends.
//!
//! Bare signals, as `clipcore detect` writes them, are taken like the signals of a log.
//!
//! A line that cannot be read is counted and reported with its number, and the rest goes on. Chat text that the
//! consent does not cover is removed before any detector sees it.
//!
//! Several files are several replays, one on each core; the moments of each come in an order of their own, so
//! writing them file by file is deterministic.

mod lines;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use lines::MAX_LINE;
pub(crate) use lines::{Line, read_line};
use serde::Deserialize;

use crate::consent::Consent;
use crate::detector::Signal;
use crate::engine::{Engine, EngineStats};
use crate::event::{AnyEvent, Clock, Event, EventReader, Kinds, OWN};
use crate::fusion::Moment;
use crate::ids::shorten;
use crate::log::Record;
use crate::{Error, Result, StreamId, Timestamp};

/// What a replay gives out.
#[derive(Debug, Clone)]
pub enum Found {
    /// A signal that a detector of the engine found.
    Signal(Signal),
    /// A moment's transition.
    Moment(Moment),
}

/// A line that could not be used.
#[derive(Debug)]
pub struct BadLine {
    /// Its number in the input, from 1.
    pub line: u64,
    /// Why.
    pub error: Error,
}

/// What a replay read.
#[derive(Debug, Default)]
pub struct ReplayReport {
    /// Lines, empty ones included.
    pub lines: u64,
    /// Events handed to an engine, clocks included.
    pub events: u64,
    /// Signals handed to an engine.
    pub signals: u64,
    /// Records that are results and not input: moments, clips, receipts, late decisions.
    pub skipped: u64,
    /// Events that the consent does not let through at all.
    pub withheld: u64,
    /// How many lines could not be used.
    pub bad: u64,
    /// The first [`KEPT_BAD_LINES`] of them.
    pub bad_lines: Vec<BadLine>,
    /// What each stream's engine counted.
    pub streams: BTreeMap<StreamId, EngineStats>,
}

/// How many unusable lines are kept with their reasons.
pub const KEPT_BAD_LINES: usize = 20;

/// Makes the engine of a stream.
pub type MakeEngine<'a> = Box<dyn FnMut(&StreamId) -> Result<Engine> + Send + 'a>;

/// Reads recorded events and replays them; see the [module](self).
///
/// ```
/// use clipcore::engine::Engine;
/// use clipcore::replay::Replay;
/// # use clipcore::{detector::Signal, fusion::{Fusion, Moment}, Result, Timestamp};
/// # struct Nothing;
/// # impl Fusion for Nothing {
/// #     fn push(&mut self, _: &Signal) {}
/// #     fn advance(&mut self, _: Timestamp, _: &mut Vec<Moment>) {}
/// #     fn finish(&mut self, _: &mut Vec<Moment>) {}
/// #     fn snapshot(&self) -> Result<serde_json::Value> { Ok(serde_json::Value::Null) }
/// #     fn restore(&mut self, _: &serde_json::Value) -> Result<()> { Ok(()) }
/// # }
///
/// let text = r#"{"type":"marker","stream":"s1","at":12.3,"data":{}}
/// not an event"#;
/// let mut replay = Replay::new(Box::new(|stream| Ok(Engine::new(stream.clone(), Box::new(Nothing)))));
/// replay.read(&mut text.as_bytes(), &mut |found| println!("{found:?}"))?;
/// let report = replay.finish(&mut |found| println!("{found:?}"))?;
/// assert_eq!((report.events, report.bad_lines[0].line), (1, 2));
/// # Ok::<(), clipcore::Error>(())
/// ```
pub struct Replay<'a> {
    reader: EventReader,
    make: MakeEngine<'a>,
    lanes: BTreeMap<StreamId, Lane>,
    report: ReplayReport,
}

/// Boxed where it is large: inputs wait by the million.
enum Input {
    Event(AnyEvent),
    Signal(Box<Signal>),
}

impl Input {
    fn stream(&self) -> &StreamId {
        match self {
            Self::Event(event) => event.stream(),
            Self::Signal(signal) => &signal.stream,
        }
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.at(),
            Self::Signal(signal) => signal.at,
        }
    }
}

/// One stream: waiting for its first clock, or past it. Without a clock it waits to the end.
enum Lane {
    Waiting(Vec<Input>),
    Running(Box<Engine>),
}

impl std::fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay")
            .field("consent", &self.reader.consent())
            .field("report", &self.report)
            .finish()
    }
}

impl<'a> Replay<'a> {
    /// A replay that makes an engine for each stream it meets, with the shipped event kinds and no consent.
    pub fn new(make: MakeEngine<'a>) -> Self {
        Self {
            reader: EventReader::new(Kinds::builtin()).with_consent(Consent::NONE),
            make,
            lanes: BTreeMap::new(),
            report: ReplayReport::default(),
        }
    }

    /// Reads events with these kinds.
    #[must_use]
    pub fn with_kinds(mut self, kinds: Kinds) -> Self {
        self.reader = self.reader.with_kinds(kinds);
        self
    }

    /// Says what may be processed of the events; see [`Consent::redact`].
    #[must_use]
    pub fn with_consent(mut self, consent: Consent) -> Self {
        self.reader = self.reader.with_consent(consent);
        self
    }

    /// Files events that name no stream under this one.
    #[must_use]
    pub fn with_default_stream(mut self, stream: StreamId) -> Self {
        self.reader = self.reader.with_default_stream(stream);
        self
    }

    /// Reads an input to its end; may be called again for the next part of the same recording.
    ///
    /// Streams that have a clock give what they find to `out` right away, the others on
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// Where the reader fails or an engine cannot be made; what was read before stays, so `finish` still
    /// gives its moments. Bad lines are no error, see [`ReplayReport::bad_lines`].
    pub fn read(&mut self, reader: &mut impl BufRead, out: &mut dyn FnMut(Found)) -> Result<()> {
        let mut buffer = Vec::new();
        loop {
            let line = read_line(reader, &mut buffer)
                .map_err(|e| e.with_operation("replay").with_context("line", self.report.lines + 1))?;
            if line == Line::End {
                return Ok(());
            }
            self.report.lines += 1;
            let text = buffer.trim_ascii();
            if text.is_empty() && line == Line::Whole {
                continue;
            }
            let input = match line {
                Line::TooLong => Err(Error::invalid(format!("the line is longer than {MAX_LINE} bytes"))
                    .with_context("text", shorten(&String::from_utf8_lossy(&text[..text.len().min(256)])))),
                _ => self.parse(text),
            };
            match input {
                Ok(Some(input)) => self.take(input, out)?,
                Ok(None) => {}
                Err(error) => {
                    self.report.bad += 1;
                    if self.report.bad_lines.len() < KEPT_BAD_LINES {
                        self.report.bad_lines.push(BadLine { line: self.report.lines, error });
                    }
                }
            }
        }
    }

    /// Takes in a record of a log, as the pipeline wrote it; what it wrote about consequences (moments, clips, receipts)
    /// is passed over.
    ///
    /// # Errors
    /// Where an engine cannot be made.
    pub fn record(&mut self, record: Record, out: &mut dyn FnMut(Found)) -> Result<()> {
        let input = match record {
            Record::Event(event) => self.reader.consent().redact(event).map(Input::Event),
            Record::Signal(signal) => Some(Input::Signal(Box::new(signal))),
            _ => {
                self.report.skipped += 1;
                return Ok(());
            }
        };
        match input {
            Some(input) => self.take(input, out),
            None => {
                self.report.withheld += 1;
                Ok(())
            }
        }
    }

    fn parse(&mut self, text: &[u8]) -> Result<Option<Input>> {
        let lanes = &self.lanes;
        let mut to_stream_time = |stream: &StreamId, wall| match lanes.get(stream)? {
            Lane::Running(engine) => engine.to_stream_time(wall),
            Lane::Waiting(_) => None,
        };
        let event = match self.reader.read(text, &mut to_stream_time) {
            Ok(event) => event,
            // Events are many and records of clipcore's own are few, so those pay for being told apart.
            Err(error) if !own_record(text) => {
                // A line without a type may be a bare signal, as `clipcore detect` writes them.
                let signal = serde_json::from_slice::<Signal>(text).map_err(|_| error)?;
                return Ok(Some(Input::Signal(Box::new(signal))));
            }
            Err(_) => {
                return Ok(match Record::from_json(text, self.reader.kinds())? {
                    Record::Signal(signal) => Some(Input::Signal(Box::new(signal))),
                    _ => {
                        self.report.skipped += 1;
                        None
                    }
                });
            }
        };
        self.report.withheld += u64::from(event.is_none());
        Ok(event.map(Input::Event))
    }

    fn take(&mut self, input: Input, out: &mut dyn FnMut(Found)) -> Result<()> {
        let clock =
            matches!(&input, Input::Event(e) if e.kind() == Clock::KIND && e.payload::<Clock>().is_some());
        let lane = self.lanes.entry(input.stream().clone()).or_insert_with(|| Lane::Waiting(Vec::new()));
        if let Lane::Waiting(waiting) = lane {
            if !clock {
                waiting.push(input);
                return Ok(());
            }
            let mut engine = (self.make)(input.stream())?;
            for earlier in std::mem::take(waiting) {
                feed(&mut engine, earlier, &mut self.report);
            }
            *lane = Lane::Running(Box::new(engine));
        }
        if let Lane::Running(engine) = lane {
            feed(engine, input, &mut self.report);
            if clock {
                drain(engine, out);
            }
        }
        Ok(())
    }

    /// The input has ended: gives what is left, stream by stream in the order of their ids. A log that does not
    /// hold the end of its stream, since the run was interrupted, leaves open what that run left open.
    ///
    /// # Errors
    /// Where an engine cannot be made.
    pub fn finish(mut self, out: &mut dyn FnMut(Found)) -> Result<ReplayReport> {
        for (stream, lane) in std::mem::take(&mut self.lanes) {
            let mut engine = match lane {
                Lane::Running(engine) => engine,
                Lane::Waiting(waiting) => {
                    let mut engine = Box::new((self.make)(&stream)?);
                    in_order(&mut engine, waiting, &mut self.report, out);
                    engine.finish();
                    engine
                }
            };
            drain(&mut engine, out);
            self.report.streams.insert(stream, engine.stats());
        }
        Ok(self.report)
    }
}

/// Whether a line is of one of clipcore's own types, which no event can have.
pub(crate) fn own_record(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, default)]
        r#type: Cow<'a, str>,
    }
    serde_json::from_slice::<Head<'_>>(line).is_ok_and(|head| head.r#type.starts_with(OWN))
}

fn feed(engine: &mut Engine, input: Input, report: &mut ReplayReport) {
    match input {
        Input::Event(event) => {
            report.events += 1;
            engine.event(event);
        }
        Input::Signal(signal) => {
            report.signals += 1;
            engine.signal(*signal);
        }
    }
}

/// Bare inputs, sorted by `at`. Time is moved up once a second of the stream, so that the engine's buffer stays
/// small; what is found does not depend on those steps.
fn in_order(
    engine: &mut Engine,
    mut inputs: Vec<Input>,
    report: &mut ReplayReport,
    out: &mut dyn FnMut(Found),
) {
    // Most recordings are in order, and sorting takes room.
    if !inputs.is_sorted_by_key(Input::at) {
        inputs.sort_by_key(Input::at);
    }
    let second = std::time::Duration::from_secs(1);
    let mut next = Timestamp::MIN;
    for input in inputs {
        let now = input.at();
        if now >= next {
            let tick = now.floor_to(second);
            next = tick + second;
            engine.advance(tick);
            drain(engine, out);
        }
        feed(engine, input, report);
    }
}

fn drain(engine: &mut Engine, out: &mut dyn FnMut(Found)) {
    engine.take_signals().into_iter().map(Found::Signal).for_each(&mut *out);
    engine.take_moments().into_iter().map(Found::Moment).for_each(out);
}

#[cfg(test)]
mod tests;
