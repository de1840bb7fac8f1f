//! Fitting fusion's [`Weights`] to streams whose moments are known.
//!
//! Everything is deterministic: no clock, and the same input and seed give the same file. What weights are worth is
//! said by [`cross_validate`], whose moments go to [`eval`](crate::eval); scores on the streams that weights were
//! fitted to are none.
//!
//! People who approve or reject moments teach too ([`Feedback`]): where the threshold should lie
//! ([`fit_verdicts`]), but nothing of what was never found.

mod calibrate;
mod collect;
mod feedback;
mod fit;
mod logistic;
mod tally;
mod verdicts;

pub use collect::Collector;
pub use feedback::{Feedback, Judged, Verdict, judged, read_feedback};
pub use fit::{TuneOptions, cross_validate, fit};
pub use tally::Tally;
pub use verdicts::{VerdictOptions, VerdictReport, cross_validate_verdicts, fit_verdicts};

use std::sync::Arc;

use crate::detector::Signal;
use crate::eval::Label;
use crate::fusion::{EvidenceFusion, Fusion, FusionSetup, Moment, Weights, trace};
use crate::{Result, StreamId, Timestamp};

/// A stream that weights are fitted to or judged on.
#[derive(Debug, Clone)]
pub struct Example {
    /// The stream.
    pub stream: StreamId,
    /// What the detectors found, in order; see [`Collector`].
    pub signals: Vec<Signal>,
    /// The true moments, in order.
    pub labels: Vec<Label>,
    /// How long the stream is.
    pub hours: f64,
}

impl Example {
    /// The log-odds of a moment once a second, as these weights weigh the evidence; they open moments where they
    /// exceed [`Decision::enter`](crate::fusion::Decision::enter).
    pub fn log_odds(&self, setup: &FusionSetup) -> Vec<(Timestamp, f64)> {
        let seconds: Vec<Timestamp> = calibrate::seconds(self).collect();
        let weights = setup.weights();
        let rows = trace::group_llrs(setup, &self.signals, seconds.iter().copied());
        let total = |llrs: Vec<f64>| {
            weights.bias + weights.groups.values().zip(llrs).map(|(g, llr)| g.weight * llr).sum::<f64>()
        };
        seconds.into_iter().zip(rows.into_iter().map(total)).collect()
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
