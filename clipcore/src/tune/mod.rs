//! Fitting fusion's [`Weights`] to streams whose moments are known.
//!
//! Everything is deterministic: no clock, and the same input gives the same file.

mod calibrate;
mod fit;
mod logistic;
mod matching;

pub use fit::{TuneOptions, cross_validate, fit};
pub use matching::{Label, Tally};

use std::sync::Arc;

use crate::detector::Signal;
use crate::fusion::{EvidenceFusion, Fusion, FusionSetup, Moment, MomentState, Weights};
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
    /// The moments that these weights find, in their closed form.
    pub fn moments(&self, setup: &Arc<FusionSetup>) -> Vec<Moment> {
        let mut fusion = EvidenceFusion::new(self.stream.clone(), setup.clone());
        let mut out = Vec::new();
        for signal in &self.signals {
            fusion.push(signal);
        }
        fusion.finish(&mut out);
        out.retain(|m| m.state == MomentState::Closed);
        out
    }
}

/// How these weights do on these streams.
///
/// # Errors
/// `Config` for weights that contradict themselves.
pub fn evaluate<'a>(weights: &Weights, examples: impl IntoIterator<Item = &'a Example>) -> Result<Tally> {
    let setup = Arc::new(FusionSetup::try_new(weights.clone())?);
    let mut tally = Tally::default();
    for example in examples {
        tally.add(&example.moments(&setup), &example.labels, example.hours);
    }
    Ok(tally)
}
