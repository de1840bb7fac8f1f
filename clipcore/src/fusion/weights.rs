use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bounds, Calibration, Decision};
use crate::{Error, Result};

/// The newest layout of weights files.
const FORMAT: u32 = 1;
const HEADER: &str =
    "# What clipcore's evidence fusion knows from data; clipcore::fusion::Weights says what the keys mean.\n";

/// When a group's evidence comes, relative to what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// With it: sound, faces, the game. Makes a moment provisional and gives its start.
    Fast,
    /// After people have typed: chat. Confirms a moment, or opens one by itself.
    Late,
    /// A person's wish: opens a moment at once.
    Decisive,
}

/// Evidence that comes from the same cause and is therefore counted once, by its strongest signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// When its evidence comes.
    pub role: Role,
    /// The logistic weight of its log-likelihood ratio.
    pub weight: f64,
    /// For how long evidence keeps its full strength.
    #[serde(with = "crate::config::secs")]
    pub hold: Duration,
    /// The time constant with which it fades after that; 0: at once.
    #[serde(default, with = "crate::config::secs")]
    pub decay: Duration,
    /// For [`Role::Decisive`]: how long a person needs to ask.
    #[serde(default, with = "crate::config::secs")]
    pub delay: Duration,
}

/// Everything that fusion knows from data: calibration, weights, thresholds and bounds, in one versioned file.
///
/// `clipcore tune` writes such files; [`Weights::builtin`] is the one that ships.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The layout of the file; 1.
    pub format: u32,
    /// Names these weights, for logs.
    pub version: String,
    /// The streams that they were fitted to: scores on these are no results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fitted_to: Vec<String>,
    /// The log-odds of a moment at an instant without any evidence.
    pub bias: f64,
    /// Log-likelihood ratios are not believed beyond this.
    pub max_llr: f64,
    /// When a moment opens and closes.
    pub decision: Decision,
    /// Where a clip begins and ends.
    pub bounds: Bounds,
    /// The groups by name.
    pub groups: BTreeMap<String, Group>,
    /// What each detector's scores are worth.
    pub calibration: Vec<Calibration>,
}

impl Weights {
    /// The weights that ship with clipcore.
    ///
    /// # Errors
    /// Never for a released crate; a test parses the file.
    pub fn builtin() -> Result<Self> {
        Self::from_toml(include_str!("defaults.toml"))
    }

    /// Reads weights from TOML.
    ///
    /// # Errors
    /// `Config` for text that is not such a file, with the line, or for values that contradict each other.
    pub fn from_toml(text: &str) -> Result<Self> {
        let weights: Self = toml::from_str(text).map_err(|e| {
            Error::config(format!("this is not a weights file: {e}")).with_operation("weights")
        })?;
        weights.validate()?;
        Ok(weights)
    }

    /// Writes weights as TOML.
    ///
    /// # Errors
    /// `Config` for weights that could not be read again.
    pub fn to_toml(&self) -> Result<String> {
        self.validate()?;
        toml::to_string(self).map_err(|e| Error::config("these weights cannot be written").with_source(e))
    }

    /// Reads a weights file.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml), and where the file cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(e, path))?;
        Self::from_toml(&text).map_err(|e| e.with_context("path", path.display()))
    }

    /// Writes a weights file.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml), and where the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        std::fs::write(path, format!("{HEADER}{}", self.to_toml()?)).map_err(|e| Error::io(e, path))
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// `Config`, naming what does not.
    pub fn validate(&self) -> Result<()> {
        if self.format != FORMAT {
            return Err(Error::config(format!("weights of format {} are not known here", self.format))
                .with_hint(format!("this version reads format {FORMAT}")));
        }
        if !(self.bias.is_finite() && self.max_llr.is_finite() && self.max_llr > 0.0) {
            return Err(Error::config("bias and max_llr must be finite, max_llr above 0"));
        }
        self.decision.validate(self.bias)?;
        self.bounds.validate()?;
        for (name, group) in &self.groups {
            if !(group.weight.is_finite() && group.weight >= 0.0) {
                return Err(Error::config(format!("the weight of group {name:?} must be 0 or more")));
            }
            if group.hold.is_zero() || group.hold + group.decay > Duration::from_secs(300) {
                return Err(Error::config(format!(
                    "hold of group {name:?} must be above 0 s, and with decay at most 300 s"
                )));
            }
        }
        for calibration in &self.calibration {
            calibration.validate()?;
            if !self.groups.contains_key(&calibration.group) {
                return Err(Error::config(format!(
                    "the calibration of {}/{} names group {:?}, which is not there",
                    calibration.detector, calibration.label, calibration.group
                )));
            }
        }
        Ok(())
    }

    /// The calibration for a signal: by detector and label, by detector alone, or the one for all others.
    pub fn find(&self, detector: &str, label: &str) -> Option<&Calibration> {
        let any = |d: &str, l: &str| self.calibration.iter().find(|c| c.detector == d && c.label == l);
        any(detector, label).or_else(|| any(detector, "*")).or_else(|| any("*", "*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_reads_and_writes_itself() {
        let weights = Weights::builtin().unwrap();
        assert_eq!(Weights::from_toml(&weights.to_toml().unwrap()).unwrap(), weights);
    }

    #[test]
    fn broken_files_say_what_is_wrong() {
        let good = Weights::builtin().unwrap().to_toml().unwrap();
        for (from, to, says) in [
            ("format = 1", "format = 2", "format 2"),
            ("format = 1", "format = 1\nspeed = 3", "speed"),
            ("enter = ", "enter = -90.0 #", "enter"),
            ("group = \"chat\"", "group = \"chatt\"", "chatt"),
            ("refractory = ", "refractory = -1.0 #", "not a duration"),
            ("points = [[", "points = [[9e9, 1.0], [", "rising"),
        ] {
            assert!(good.contains(from), "{from} is not in the file");
            let error = Weights::from_toml(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(says), "{to} gave {error:?}, which lacks {says:?}");
        }
    }
}
