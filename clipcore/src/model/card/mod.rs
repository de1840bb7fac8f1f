//! Model cards: what a program must know of a model file to use it, as a TOML file beside it (`tagger.onnx`,
//! `tagger.toml`).
//!
//! ```toml
//! format = 1
//! name = "my_tagger"
//! task = "audio_tags"            # or faces, expressions, voice_activity
//! about = "Crowd noises"
//! file = "my_tagger.onnx"        # beside this card
//! sha256 = "…"                   # of that file; checked by `clipcore models verify`
//! licence = "CC-BY-4.0"
//! source = "https://example.org/my_tagger"
//!
//! [input]
//! name = "patches"
//! shape = ["batch", 96, 64]      # numbers are fixed, names are of any length; "batch" is what items are stacked along
//! kind = "log_mel"               # or waveform, image
//!
//! [input.log_mel]                # how sound becomes frames: see LogMelConfig
//! rate = 16000
//! window = 400
//! hop = 160
//! fft = 512
//! spectrum = "magnitude"
//! mel = "htk"
//! sides = "mel"
//! bands = 64
//! low = 125.0
//! high = 7500.0
//! log = "natural"
//! offset = 0.001
//!
//! [[output]]
//! name = "scores"
//! shape = ["batch", 3]
//! activation = "none"            # what turns its numbers into probabilities: none, sigmoid or softmax
//!
//! labels = ["Clapping", "Laughter", "Giggle"]   # before the first section, one for each number of the first output
//!
//! [[group]]                      # what several labels say together
//! label = "laughter"             # the label of the signal
//! labels = ["Laughter", "Giggle"]
//! evidence = true                # false: context, of which no moment is made
//! scale = 1.0                    # calibrated log-odds = scale · logit + offset
//! offset = 0.0
//! ```

mod check;
mod image;
mod shipped;
mod sound;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use image::{Colour, ImageInput};
pub use shipped::shipped;
pub use sound::{Group, WaveformInput};

use super::front_end::LogMelConfig;
use crate::{Error, Result};

/// The version of the format that this build reads.
const FORMAT: u32 = 1;

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Probabilities of kinds of sound.
    AudioTags,
    /// Whether somebody speaks.
    VoiceActivity,
    /// Where faces are.
    Faces,
    /// What a face shows.
    Expressions,
}

/// A model card; see the [module](self) for the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Version of the format; 1.
    pub format: u32,
    /// The name that detectors ask for.
    pub name: String,
    /// What it does.
    pub task: Task,
    /// What it is, in a line.
    #[serde(default)]
    pub about: String,
    /// The model's file, beside the card.
    pub file: String,
    /// SHA-256 of that file, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The file's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SPDX identifier of the model's licence.
    pub licence: String,
    /// Where it comes from.
    pub source: String,
    /// Where the file itself can be fetched, where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A script of the repository that makes the file where it cannot be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Names of the numbers of the first output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// How the outputs of a face finder are read: `yunet` or `ultraface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<String>,
    /// What goes in.
    pub input: Input,
    /// What comes out; the first output is the one that labels stand for.
    pub output: Vec<Output>,
    /// What is given back at the next call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<State>,
    /// Inputs that are always the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constant: Vec<Constant>,
    /// Labels that mean the same together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<Group>,
}

/// A dimension: fixed, or of any length under a name (`batch` for what items are stacked along).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// So long.
    Fixed(usize),
    /// Any length.
    Named(String),
}

/// The input that is made of sound or pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name in the graph.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<Size>,
    /// What it is made of.
    pub kind: InputKind,
    /// How frames are made, where it takes a log-mel spectrogram.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_mel: Option<LogMelConfig>,
    /// How samples are cut, where it takes them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<WaveformInput>,
    /// How pictures are laid out, where it takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInput>,
}

/// What an input is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Log-mel frames of sound.
    LogMel,
    /// Samples of sound.
    Waveform,
    /// A picture.
    Image,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name in the graph.
    pub name: String,
    /// Its dimensions; not checked where absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<Size>,
    /// What turns its numbers into probabilities.
    #[serde(default)]
    pub activation: Activation,
}

/// What turns a model's numbers into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing: they are probabilities already.
    #[default]
    None,
    /// Each is a logit.
    Sigmoid,
    /// They are logits of which one holds.
    Softmax,
}

/// An input that carries what an output of the call before said; zero at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The input.
    pub input: String,
    /// The output that becomes it.
    pub output: String,
    /// Its dimensions, for the zeros of the beginning.
    pub shape: Vec<usize>,
}

/// An input that is always the same number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The input.
    pub input: String,
    /// The number.
    pub value: f32,
}

impl Card {
    /// Reads a card.
    ///
    /// # Errors
    /// `Config`, naming the line or the key that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let card: Self = toml::from_str(text).map_err(|e| {
            Error::config(format!("a model card cannot be read: {}", e.message()))
                .with_context("line", e.span().map_or(1, |s| text[..s.start].matches('\n').count() + 1))
                .with_hint("the documentation of clipcore::model::card shows a whole card")
        })?;
        card.validate()?;
        Ok(card)
    }

    /// Reads a card's file.
    ///
    /// # Errors
    /// Where it cannot be read; else as [`parse`](Self::parse), naming the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::io(e, path).with_hint("a model needs its card, a TOML file of the same name beside it")
        })?;
        Self::parse(&text).map_err(|e| e.with_context("card", path.display()))
    }

    /// Where the card of a model file lies: beside it, ending in `.toml`.
    pub fn path_beside(model: &Path) -> PathBuf {
        model.with_extension("toml")
    }

    /// The card as a TOML text.
    ///
    /// # Errors
    /// `Config` where it has no TOML form.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("the card cannot be written as TOML").with_source(e))
    }
}
