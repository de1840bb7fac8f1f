//! Simulated streams with a known truth, for tests, benches and `clipcore simulate`.
//!
//! Chat is an over-dispersed, self-exciting process whose counts have a chosen Fano factor; highlights lift it late
//! and not always; raids, spam waves, advertisements, silences, latency steps and clock skew disturb it. Audio and face detectors
//! are simulated at their output. Everything follows from the seed, the same on every machine.
//!
//! A simulation shows that a detector copes with what is simulated, not that it works on people: tune on recordings.
//!
//! ```
//! use clipcore::simulate::Scenario;
//!
//! let simulation = Scenario { length: 600.0, ..Scenario::default() }.run()?;
//! assert!(simulation.events.len() > 600);
//! assert_eq!(simulation.labels, Scenario { length: 600.0, ..Scenario::default() }.run()?.labels);
//! # Ok::<(), clipcore::Error>(())
//! ```

mod chat;
mod hawkes;
mod highlights;
mod signals;
mod words;

pub use chat::ChatConfig;
pub use highlights::HighlightConfig;
use serde::{Deserialize, Serialize};
pub use signals::{ModalityConfig, SignalsConfig};
use words::Writers;

use crate::detector::Signal;
use crate::eval::Label;
use crate::event::{AnyEvent, Clock, Header, PlatformEvent, Stamped};
use crate::log::Record;
use crate::rng::Rng;
use crate::{Error, Result, StreamId, Timestamp};

/// A stream to simulate. Times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// The stream's id.
    pub stream: String,
    /// How long it is.
    pub length: f64,
    /// Whether `clock` records are written each second and at the end, as a live pipeline's log has them.
    pub clocks: bool,
    /// When highlights happen and what they do to chat.
    pub highlights: HighlightConfig,
    /// What chat does otherwise.
    pub chat: ChatConfig,
    /// What audio and face detectors find; nothing where absent.
    pub signals: Option<SignalsConfig>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            stream: "sim".into(),
            length: 3600.0,
            clocks: false,
            highlights: HighlightConfig::default(),
            chat: ChatConfig::default(),
            signals: None,
        }
    }
}

/// What a [`Scenario`] gave.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// Events in the order in which they arrive, which is not quite that of their instants.
    pub events: Vec<AnyEvent>,
    /// Signals of the simulated audio and face detectors, in order.
    pub signals: Vec<Signal>,
    /// The highlights.
    pub labels: Vec<Label>,
}

/// The longest stream that is simulated: a month.
const MAX_LENGTH: f64 = 31.0 * 86_400.0;

impl Scenario {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        StreamId::new(&self.stream)?;
        let (h, c) = (&self.highlights, &self.chat);
        let within = [
            ("length", self.length, 1.0, MAX_LENGTH),
            ("highlights.per_hour", h.per_hour, 0.0, 600.0),
            ("highlights.apart", h.apart, 0.0, MAX_LENGTH),
            ("highlights.lift", h.lift, 0.0, 100.0),
            ("highlights.unanswered", h.unanswered, 0.0, 1.0),
            ("highlights.length", h.length[0], 0.0, h.length[1]),
            ("highlights.delay", h.delay[0], 0.0, h.delay[1]),
            ("chat.rate", c.rate, 0.0, 10_000.0),
            ("chat.fano", c.fano, 1.0, 20.0),
            ("chat.decay", c.decay, 0.1, 600.0),
            ("chat.raids_per_hour", c.raids_per_hour, 0.0, 60.0),
            ("chat.spam_per_hour", c.spam_per_hour, 0.0, 60.0),
            ("chat.ads_per_hour", c.ads_per_hour, 0.0, 20.0),
            ("chat.silences_per_hour", c.silences_per_hour, 0.0, 60.0),
            ("chat.latency_steps_per_hour", c.latency_steps_per_hour, 0.0, 60.0),
            ("chat.max_latency", c.max_latency, 0.0, 600.0),
            ("chat.skew_ppm", c.skew_ppm, -10_000.0, 10_000.0),
            ("chat.jitter", c.jitter, 0.0, 600.0),
        ];
        match within.iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
            None => Ok(()),
            Some((key, value, low, high)) => {
                Err(Error::config(format!("{key} is {value}; it must be from {low} to {high}")))
            }
        }
    }

    /// Simulates the stream.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn run(&self) -> Result<Simulation> {
        self.validate()?;
        let stream = StreamId::new(&self.stream)?;
        let seed = Rng::fork(self.seed, &self.stream).u64();
        let highlights = self.highlights.sample(self.length, &mut Rng::fork(seed, "when"));
        let labels: Vec<Label> = highlights.iter().map(|h| h.label(&stream)).collect();
        let chat = self.chat.sample(&highlights, self.length, seed);
        let (mut jitter, mut writers) = (Rng::fork(seed, "jitter"), Writers::new(self.chat.rate, seed));

        // (arrival, event): the edge sees a message some time after the instant that it is filed under.
        let mut arriving: Vec<(f64, AnyEvent)> = Vec::new();
        let header = |id: String, secs: f64| {
            Header::new(stream.clone(), Timestamp::from_millis((secs * 1e3).round() as i64), "simulate", id)
        };
        for (i, &(media, cause)) in chat.messages.iter().enumerate() {
            let told = chat.told(media);
            let message = writers.message(cause, &highlights);
            let event = AnyEvent::wire(Stamped::new(header(format!("{stream}-m{i}"), told), message));
            arriving.push((told + jitter.between(0.0, self.chat.jitter), event));
        }
        let mut platform = |id: String, media: f64, kind: &str, count| {
            let told = chat.told(media);
            let event = PlatformEvent { kind: kind.into(), count, duration: None };
            arriving
                .push((told, AnyEvent::wire(Stamped::new(header(format!("{stream}-{id}"), told), event))));
        };
        for (i, &at) in chat.raids.iter().enumerate() {
            platform(format!("raid{i}"), at, "raid", Some(200 + 50 * i as u64));
        }
        for (i, &(start, end)) in chat.ads.iter().enumerate() {
            platform(format!("ad{i}"), start, "ad_start", None);
            if end < self.length {
                platform(format!("ad{i}-end"), end, "ad_end", None);
            }
        }
        if self.clocks {
            let last = arriving.iter().map(|(t, _)| *t).fold(self.length, f64::max).ceil() as u64;
            for second in 1..=last {
                let clock = Clock { wall: None, end: second == last };
                let event = Stamped::new(header(format!("{stream}-c{second}"), second as f64), clock);
                arriving.push((second as f64, AnyEvent::wire(event)));
            }
        }
        arriving.sort_by(|a, b| a.0.total_cmp(&b.0));
        let signals = self.signals.as_ref().map(|s| s.sample(&stream, self.length, &labels, seed));
        Ok(Simulation {
            events: arriving.into_iter().map(|(_, event)| event).collect(),
            signals: signals.unwrap_or_default(),
            labels,
        })
    }
}

impl Simulation {
    /// Events and signals as lines of JSON that a replay reads: each signal stands before the first event that
    /// arrives after it, so that a log with clocks keeps its order.
    ///
    /// # Errors
    /// Where a record cannot be written; none of those made here.
    pub fn lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::with_capacity(self.events.len() + self.signals.len());
        let mut signals = self.signals.iter().peekable();
        for event in &self.events {
            while let Some(signal) = signals.next_if(|s| s.at <= event.at()) {
                lines.push(Record::Signal(signal.clone()).to_json()?);
            }
            lines.push(event.to_json()?);
        }
        for signal in signals {
            lines.push(Record::Signal(signal.clone()).to_json()?);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
