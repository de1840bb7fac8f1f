use fast_image_resize as fir;
use fir::images::{Image, ImageRef};
use ndarray::IxDyn;
use serde::{Deserialize, Serialize};

use super::warp::Planes;
use super::{Picture, Point, Rect, Similarity};
use crate::model::Tensor;
use crate::{Error, ErrorKind, Result};

/// How large a network's input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// Always the same.
    Fixed {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Any multiple of a number, so that the input follows the picture's shape.
    MultipleOf {
        /// The number.
        step: u32,
        /// The longer side of what is shown, at most; padding to the next multiple not counted.
        side: u32,
    },
}

/// The order of a pixel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV has them.
    Bgr,
    /// Brightness alone: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
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

    /// Which byte of an RGB pixel each number is; `None` where it is a mixture.
    pub(super) fn order(self) -> Option<[usize; 3]> {
        match self {
            Self::Rgb => Some([0, 1, 2]),
            Self::Bgr => Some([2, 1, 0]),
            Self::Grey => None,
        }
    }
}

/// What a network wants a picture to look like. Each value `v` of 0–255 becomes `(v − mean) / scale`.
///
/// Items have no batch axis: they are `[channels, rows, columns]`, or `[rows, columns, channels]` where the channels come
/// last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageFrontEnd {
    /// How large.
    pub size: ImageSize,
    /// Which colours.
    pub colour: Colour,
    /// Whether the channels are the last axis.
    pub channels_last: bool,
    /// What is taken off each value.
    pub mean: f32,
    /// What it is then divided by.
    pub scale: f32,
}

/// Small regions are not enlarged further than this: there is nothing more to see.
const MOST_ENLARGED: f32 = 2.0;

/// Where a region came to lie in a network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// The region's left upper corner in the picture.
    origin: Point,
    /// Pixels of the input for a pixel of the picture, each way.
    scale: Point,
}

impl Placement {
    /// A place of the input, in the picture.
    pub fn point_to_picture(&self, p: Point) -> Point {
        Point { x: self.origin.x + p.x / self.scale.x, y: self.origin.y + p.y / self.scale.y }
    }

    /// A rectangle of the input, in the picture.
    pub fn rect_to_picture(&self, r: Rect) -> Rect {
        let corner = self.point_to_picture(Point { x: r.x, y: r.y });
        Rect::new(corner.x, corner.y, r.width / self.scale.x, r.height / self.scale.y)
    }
}

impl ImageFrontEnd {
    /// Checks the numbers.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        let bad = |key: &'static str, why: &str| {
            Err(Error::config(format!("{key} of a picture front end {why}")).with_context("key", key))
        };
        let sides = match self.size {
            ImageSize::Fixed { width, height } => [width, height],
            ImageSize::MultipleOf { step, side } => [step, side],
        };
        if sides.iter().any(|s| !(1..=4096).contains(s)) {
            return bad("size", "must be from 1 to 4096 pixels");
        }
        if !self.mean.is_finite() {
            return bad("mean", "must be a number");
        }
        if !(self.scale.is_finite() && self.scale != 0.0) {
            return bad("scale", "must be a number other than 0");
        }
        Ok(())
    }

    /// Shows a region of a picture to the network: shrunk or enlarged (bilinear, every pixel counts) as a whole, from
    /// the left upper corner, with black where it does not fill the input.
    ///
    /// The region is widened to whole pixels and cut off at the picture's edges. Gives the input, without a batch
    /// axis, and where the region lies in it.
    ///
    /// # Errors
    /// `InvalidInput` where the region lies outside of the picture.
    pub fn fit(&self, picture: &Picture<'_>, region: Rect) -> Result<(Tensor, Placement)> {
        let region = whole_pixels(picture, region)?;
        let (columns, rows) = (region.width, region.height);
        let (scale, canvas) = match self.size {
            ImageSize::Fixed { width, height } => {
                ((width as f32 / columns).min(height as f32 / rows), Some((width, height)))
            }
            ImageSize::MultipleOf { side, .. } => {
                ((side as f32 / columns.max(rows)).min(MOST_ENLARGED), None)
            }
        };
        let shown = |extent: f32| ((extent * scale).round() as u32).max(1);
        let (width, height) = (shown(columns), shown(rows));
        let canvas = canvas.unwrap_or_else(|| match self.size {
            ImageSize::MultipleOf { step, .. } => {
                (width.next_multiple_of(step.max(1)), height.next_multiple_of(step.max(1)))
            }
            ImageSize::Fixed { width, height } => (width, height),
        });
        let pixels = resized(picture, region, (width.min(canvas.0), height.min(canvas.1)))?;
        let tensor = self.tensor(&pixels, canvas)?;
        let scale = Point { x: pixels.width() as f32 / columns, y: pixels.height() as f32 / rows };
        Ok((tensor, Placement { origin: Point { x: region.x, y: region.y }, scale }))
    }

    /// Cuts out what `crop` maps the input onto: a place of the input to its place in the picture. Sampled bilinearly,
    /// several times a pixel where the picture is finer than the input; the picture's edge goes on beyond it.
    ///
    /// # Errors
    /// `InvalidInput` where the input has no fixed size.
    pub fn crop(&self, picture: &Picture<'_>, crop: &Similarity) -> Result<Tensor> {
        let ImageSize::Fixed { width, height } = self.size else {
            return Err(Error::invalid("a crop needs an input of a fixed size"));
        };
        let planes = Planes::around(picture, self.colour, crop, (width, height));
        let mut values = planes.sample(crop, (width as usize, height as usize));
        for value in &mut values {
            *value = (*value - self.mean) / self.scale;
        }
        let (w, h, c) = (width as usize, height as usize, self.colour.channels());
        if !self.channels_last {
            return shaped(&[c, h, w], values);
        }
        let planar = shaped(&[c, h, w], values)?;
        Ok(planar.permuted_axes(IxDyn(&[1, 2, 0])).as_standard_layout().into_owned())
    }

    fn tensor(&self, pixels: &Image<'_>, (columns, rows): (u32, u32)) -> Result<Tensor> {
        let (columns, rows, channels) = (columns as usize, rows as usize, self.colour.channels());
        let value = |byte: f32| (byte - self.mean) / self.scale;
        let mut values = vec![value(0.0); columns * rows * channels];
        let (width, order) = (pixels.width() as usize, self.colour.order());
        for (y, row) in pixels.buffer().chunks_exact(width * 3).enumerate() {
            for channel in 0..channels {
                let number = |rgb: &[u8]| match order {
                    Some(order) => value(f32::from(rgb[order[channel]])),
                    None => value(luma(rgb)),
                };
                if self.channels_last {
                    let targets = values[y * columns * channels..].chunks_exact_mut(channels);
                    targets.zip(row.chunks_exact(3)).for_each(|(target, rgb)| target[channel] = number(rgb));
                } else {
                    let targets = values[(channel * rows + y) * columns..].iter_mut();
                    targets.zip(row.chunks_exact(3)).for_each(|(target, rgb)| *target = number(rgb));
                }
            }
        }
        match self.channels_last {
            false => shaped(&[channels, rows, columns], values),
            true => shaped(&[rows, columns, channels], values),
        }
    }
}

/// Luma of ITU-R BT.601, not rounded.
pub(super) fn luma(rgb: &[u8]) -> f32 {
    0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2])
}

fn shaped(shape: &[usize], values: Vec<f32>) -> Result<Tensor> {
    Tensor::from_shape_vec(IxDyn(shape), values)
        .map_err(|e| Error::new(ErrorKind::Internal, "a picture does not fill its tensor").with_source(e))
}

fn whole_pixels(picture: &Picture<'_>, region: Rect) -> Result<Rect> {
    let shared = region.intersection(picture.bounds());
    if !region.is_proper() || !shared.is_proper() {
        return Err(Error::invalid("the region lies outside of the picture"));
    }
    let (left, top) = (shared.x.floor(), shared.y.floor());
    let right = (shared.x + shared.width).ceil().min(picture.width as f32);
    let bottom = (shared.y + shared.height).ceil().min(picture.height as f32);
    Ok(Rect::new(left, top, right - left, bottom - top))
}

fn resized(picture: &Picture<'_>, region: Rect, (width, height): (u32, u32)) -> Result<Image<'static>> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Internal, "a picture could not be resized").with_source(e)
    };
    let source = ImageRef::new(picture.width, picture.height, picture.rgb, fir::PixelType::U8x3)
        .map_err(|e| failed(e.into()))?;
    let mut pixels = Image::new(width, height, fir::PixelType::U8x3);
    let options = fir::ResizeOptions::new()
        .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
        .crop(region.x.into(), region.y.into(), region.width.into(), region.height.into())
        .use_alpha(false);
    fir::Resizer::new().resize(&source, &mut pixels, &options).map_err(|e| failed(e.into()))?;
    Ok(pixels)
}
