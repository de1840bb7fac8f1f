use serde::{Deserialize, Serialize};

use super::{Input, Size};
pub use crate::model::image::Colour;
use crate::model::image::{ImageFrontEnd, ImageSize};
use crate::{Error, Result};

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

impl Input {
    /// The front end that makes this input of pictures. Where it takes any size, `side` is the longer side of what it is
    /// shown.
    ///
    /// # Errors
    /// `Config` where it is not made of a picture, or its shape is not that of one.
    pub fn image_front_end(&self, side: u32) -> Result<ImageFrontEnd> {
        let wrong = |what: &str| Error::config(format!("the input {:?} {what}", self.name));
        let image = self.image.as_ref().ok_or_else(|| wrong("is not made of a picture"))?;
        let [.., a, b, c] = self.shape.as_slice() else {
            return Err(wrong("has too few dimensions for a picture"));
        };
        let (rows, columns) = if image.channels_last { (a, b) } else { (b, c) };
        let fixed = |n: usize| u32::try_from(n).map_err(|_| wrong("is too large for a picture"));
        let size = match (rows, columns) {
            (Size::Fixed(rows), Size::Fixed(columns)) => {
                ImageSize::Fixed { width: fixed(*columns)?, height: fixed(*rows)? }
            }
            (Size::Named(_), Size::Named(_)) => {
                ImageSize::MultipleOf { step: fixed(image.multiple_of)?, side }
            }
            _ => return Err(wrong("has one fixed side and one of any length")),
        };
        let front_end = ImageFrontEnd {
            size,
            colour: image.colour,
            channels_last: image.channels_last,
            mean: image.mean,
            scale: image.scale,
        };
        front_end.validate()?;
        Ok(front_end)
    }
}
