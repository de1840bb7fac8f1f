use serde::{Deserialize, Serialize};

/// The order of a pixel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV has them.
    Bgr,
    /// Brightness alone (ITU-R BT.601).
    Grey,
}

impl Colour {
    /// How many numbers a pixel has.
    pub fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// How a picture is laid out for a model: each value `v` of 0–255 becomes `(v − mean) / scale`.
///
/// The input's shape says where things stand, by the names `channels`, `height` and `width`, or by numbers in the order
/// that `channels_last` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// The order of a pixel's numbers.
    pub colour: Colour,
    /// Rows, columns, channels instead of channels, rows, columns.
    #[serde(default)]
    pub channels_last: bool,
    /// What is taken off each value.
    #[serde(default)]
    pub mean: f32,
    /// What it is then divided by.
    #[serde(default = "one")]
    pub scale: f32,
    /// Height and width must be multiples of this.
    #[serde(default = "any")]
    pub multiple_of: usize,
}

fn one() -> f32 {
    1.0
}

fn any() -> usize {
    1
}
