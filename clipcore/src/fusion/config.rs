use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EvidenceFusion, FusionFactory, Group, Role, Weights};
use crate::{Error, Result};

/// What a user sets on [`EvidenceFusion`]; everything left out comes from the weights file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionConfig {
    /// A weights file to use instead of the shipped one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// Lowers (positive) or raises (negative) every threshold by this many logits; 0 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<f64>,
    /// No more clips an hour than this, the best ones; markers do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clips_per_hour: Option<f64>,
    /// How long before the earliest onset a clip begins, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_secs")]
    pub pre_roll: Option<Duration>,
    /// How long after the last evidence a clip ends, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_secs")]
    pub post_roll: Option<Duration>,
    /// For how long after a moment's peak chat opens no other, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_secs")]
    pub refractory: Option<Duration>,
    /// A moment closes after this long whatever happens, in seconds.
    #[serde(skip_serializing_if = "Option::is_none", with = "optional_secs")]
    pub max_length: Option<Duration>,
}

mod optional_secs {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Secs(#[serde(with = "crate::config::secs")] Duration);

    pub(super) fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        d.map(Secs).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Secs>::deserialize(d)?.map(|s| s.0))
    }
}

impl FusionConfig {
    /// Reads the weights and lays these settings over them, once for any number of streams.
    ///
    /// # Errors
    /// `Config` for settings or weights out of range; whatever reading the weights file gives.
    pub fn setup(&self) -> Result<Arc<FusionSetup>> {
        let mut weights = match &self.weights {
            Some(path) => Weights::load(path)?,
            None => Weights::builtin()?,
        };
        let sensitivity = self.sensitivity.unwrap_or(0.0);
        if !sensitivity.is_finite() {
            return Err(Error::config("sensitivity must be a finite number of logits"));
        }
        weights.decision.enter -= sensitivity;
        weights.decision.provisional -= sensitivity;
        let set = |target: &mut Duration, value: Option<Duration>| *target = value.unwrap_or(*target);
        set(&mut weights.decision.refractory, self.refractory);
        set(&mut weights.decision.max_length, self.max_length);
        set(&mut weights.bounds.pre_roll, self.pre_roll);
        set(&mut weights.bounds.post_roll, self.post_roll);
        if self.clips_per_hour.is_some_and(|n| !n.is_finite() || n <= 0.0) {
            return Err(
                Error::config("clips_per_hour must be above 0").with_hint("leave it out for no limit")
            );
        }
        let mut setup = FusionSetup::try_new(weights)?;
        setup.clips_per_hour = self.clips_per_hour;
        Ok(Arc::new(setup))
    }

    /// Makes a fusion for each stream.
    ///
    /// # Errors
    /// As [`setup`](Self::setup).
    pub fn factory(&self) -> Result<FusionFactory> {
        let setup = self.setup()?;
        Ok(Arc::new(move |stream| Box::new(EvidenceFusion::new(stream.clone(), setup.clone()))))
    }
}

/// Weights made ready for use, shared by all streams.
#[derive(Debug, Clone, PartialEq)]
pub struct FusionSetup {
    pub(super) weights: Weights,
    pub(super) clips_per_hour: Option<f64>,
    /// In the order of the memories.
    pub(super) groups: Vec<Group>,
    /// For each calibration, its group.
    pub(super) group_of: Vec<usize>,
    /// How long a label stays eligible to name a moment.
    pub(super) naming: Group,
}

impl FusionSetup {
    /// A set-up of these weights without a budget.
    ///
    /// # Errors
    /// `Config` for weights that contradict themselves.
    pub fn try_new(weights: Weights) -> Result<Self> {
        weights.validate()?;
        let position = |name: &String| weights.groups.keys().position(|g| g == name).unwrap_or_default();
        let group_of = weights.calibration.iter().map(|c| position(&c.group)).collect();
        let groups = weights.groups.values().cloned().collect();
        let hold = Duration::from_secs(15);
        let naming =
            Group { role: Role::Late, weight: 0.0, hold, decay: Duration::ZERO, delay: Duration::ZERO };
        Ok(Self { clips_per_hour: None, groups, group_of, naming, weights })
    }

    /// The weights in use, settings included.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Group, log-likelihood ratio and whether the label describes; `None` for signals that say nothing.
    pub(super) fn calibrate(&self, detector: &str, label: &str, score: f64) -> Option<(usize, f64, bool)> {
        let list = &self.weights.calibration;
        let index = |d: &str, l: &str| list.iter().position(|c| c.label == l && c.detector == d);
        let found = index(detector, label).or_else(|| index(detector, "*")).or_else(|| index("*", "*"))?;
        let llr = list[found].llr(score).min(self.weights.max_llr);
        (llr > 0.0).then_some((self.group_of[found], llr, list[found].describes))
    }
}
