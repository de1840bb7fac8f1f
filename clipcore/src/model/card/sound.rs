use serde::{Deserialize, Serialize};

/// How samples are cut for a model that takes them as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveformInput {
    /// Samples per second.
    pub rate: u32,
    /// New samples of a call.
    pub samples: usize,
    /// Samples of the call before that stand in front of them.
    #[serde(default)]
    pub context: usize,
}

/// Labels that mean the same together: evidence of one thing, or context.
///
/// Their probabilities are joined (the largest counts) and their log-odds calibrated: `scale · logit + offset` is to be the
/// log-odds that the thing can be heard in about a second of sound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The label of the signals.
    pub label: String,
    /// The model's labels that belong to it.
    pub labels: Vec<String>,
    /// Whether it is evidence of a moment, or context only.
    #[serde(default = "yes")]
    pub evidence: bool,
    /// Factor of the log-odds.
    #[serde(default = "one")]
    pub scale: f64,
    /// What is added to them.
    #[serde(default)]
    pub offset: f64,
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}
