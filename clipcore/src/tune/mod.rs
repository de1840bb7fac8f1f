//! Fitting fusion's [`Weights`] to streams whose moments are known.
//!
//! Everything is deterministic: no clock, and the same input and seed give the same file. What weights are worth is
//! said by [`cross_validate`], whose moments go to [`eval`](crate::eval); scores on the streams that weights were
//! fitted to are none.

mod calibrate;
mod fit;
mod logistic;
mod tally;

pub use fit::{TuneOptions, cross_validate, fit};
pub use tally::Tally;

use std::sync::Arc;

use crate::detector::{AnyDetector, DynDetector, Signal};
use crate::eval::Label;
use crate::event::AnyEvent;
use crate::fusion::{EvidenceFusion, Fusion, FusionSetup, Moment, Weights};
use crate::model::ModelRegistry;
use crate::{Result, StreamId};

/// A stream that weights are fitted to or judged on.
#[derive(Debug, Clone)]
pub struct Example {
    /// The stream.
    pub stream: StreamId,
    /// What the detectors found, in order.
    pub signals: Vec<Signal>,
    /// The true moments, in order.
    pub labels: Vec<Label>,
    /// How long the stream is.
    pub hours: f64,
}

impl Example {
    /// Runs detectors over a stream's events, in any order, as far as its last event.
    pub fn observe(
        stream: StreamId,
        events: &[AnyEvent],
        mut labels: Vec<Label>,
        detectors: Vec<Box<dyn DynDetector>>,
    ) -> Self {
        let mut events: Vec<&AnyEvent> = events.iter().collect();
        events.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let mut signals = Vec::new();
        for detector in detectors {
            let mut detector = AnyDetector::new(detector, stream.clone(), None, ModelRegistry::default());
            for event in &events {
                if detector.wants(event.kind()) {
                    detector.detect(event);
                }
            }
            if let Some(last) = events.last() {
                detector.advance(last.at());
            }
            signals.extend(detector.take_signals());
        }
        signals.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        labels.sort_by_key(|l| (l.start, l.end));
        let hours = match (events.first(), events.last()) {
            (Some(first), Some(last)) => last.at().secs_since(first.at()) / 3600.0,
            _ => 0.0,
        };
        Self { stream, signals, labels, hours }
    }

    /// The transitions of the moments that these weights find.
    pub fn moments(&self, setup: &Arc<FusionSetup>) -> Vec<Moment> {
        let mut fusion = EvidenceFusion::new(self.stream.clone(), setup.clone());
        let mut out = Vec::new();
        for signal in &self.signals {
            fusion.push(signal);
        }
        fusion.finish(&mut out);
        out
    }
}

/// How these weights do on these streams.
///
/// # Errors
/// `Config` for weights that contradict themselves.
pub fn tally<'a>(weights: &Weights, examples: impl IntoIterator<Item = &'a Example>) -> Result<Tally> {
    let setup = Arc::new(FusionSetup::try_new(weights.clone())?);
    let mut tally = Tally::default();
    for example in examples {
        tally.add(&example.moments(&setup), &example.labels, example.hours);
    }
    Ok(tally)
}
