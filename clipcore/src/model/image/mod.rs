//! From frames to what networks of pictures take: regions fitted into an input, and crops that stand upright.
//!
//! Positions are continuous, in pixels: the top left corner of a picture is (0, 0), the centre of its first pixel
//! (0.5, 0.5).

mod input;
mod similarity;
mod warp;

pub use input::{Colour, ImageFrontEnd, ImageSize, Placement};
use serde::{Deserialize, Serialize};
pub use similarity::Similarity;

use crate::event::media::VideoFrame;
use crate::{Error, Result};

/// A place in a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Downwards.
    pub y: f32,
}

/// An upright rectangle, in pixels. It may reach beyond the picture.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rect {
    /// The left edge.
    pub x: f32,
    /// The upper edge.
    pub y: f32,
    /// How wide.
    pub width: f32,
    /// How high.
    pub height: f32,
}

impl Rect {
    /// A rectangle by its left upper corner and its size.
    pub const fn new(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self { x, y, width, height }
    }

    /// Its middle.
    pub fn center(self) -> Point {
        Point { x: self.x + self.width / 2.0, y: self.y + self.height / 2.0 }
    }

    /// Its area; 0 where it has none.
    pub fn area(self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// Whether it has an area and lies at a place that is a number.
    pub fn is_proper(self) -> bool {
        let right = self.x + self.width;
        let bottom = self.y + self.height;
        self.width > 0.0 && self.height > 0.0 && right.is_finite() && bottom.is_finite()
    }

    /// The same middle, `factor` times the size.
    #[must_use]
    pub fn enlarged(self, factor: f32) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let Point { x, y } = self.center();
        Self { x: x - width / 2.0, y: y - height / 2.0, width, height }
    }

    /// The smallest rectangle that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// The part that both share; without area where they share none.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let right = (self.x + self.width).min(other.x + other.width);
        let bottom = (self.y + self.height).min(other.y + other.height);
        Self { x, y, width: (right - x).max(0.0), height: (bottom - y).max(0.0) }
    }

    /// Intersection over union (Jaccard 1912), 0 to 1.
    pub fn iou(self, other: Self) -> f32 {
        let shared = self.intersection(other).area();
        let all = self.area() + other.area() - shared;
        if all > 0.0 { shared / all } else { 0.0 }
    }
}

/// A picture that somebody else owns: RGB, 8 bits a channel, rows from the top without padding.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    width: u32,
    height: u32,
    rgb: &'a [u8],
}

impl<'a> Picture<'a> {
    /// A picture of `height × width × 3` bytes.
    ///
    /// # Errors
    /// `InvalidInput` where the bytes are not as many as the size says, or there are none.
    pub fn try_new(width: u32, height: u32, rgb: &'a [u8]) -> Result<Self> {
        let wanted = u128::from(width) * u128::from(height) * 3;
        if wanted == 0 || wanted != rgb.len() as u128 {
            return Err(Error::invalid(format!(
                "{} bytes are no RGB picture of {width} × {height}: that would be {wanted}",
                rgb.len()
            )));
        }
        Ok(Self { width, height, rgb })
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All of it.
    pub fn bounds(&self) -> Rect {
        Rect::new(0.0, 0.0, self.width as f32, self.height as f32)
    }
}

impl<'a> TryFrom<&'a VideoFrame> for Picture<'a> {
    type Error = Error;

    fn try_from(frame: &'a VideoFrame) -> Result<Self> {
        Self::try_new(frame.width, frame.height, &frame.rgb)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
