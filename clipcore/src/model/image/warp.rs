use super::input::luma;
use super::{Colour, Picture, Similarity};

/// Samples for a pixel of the input, each way, at most.
const MOST_SAMPLES: f64 = 8.0;

/// The part of a picture that a crop touches, a plane of numbers (0–255) for each channel.
pub(super) struct Planes {
    left: f64,
    top: f64,
    width: usize,
    height: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Planes {
    /// What lies under an input of this size.
    pub(super) fn around(
        picture: &Picture<'_>,
        colour: Colour,
        crop: &Similarity,
        (width, height): (u32, u32),
    ) -> Self {
        let (w, h) = (f64::from(width), f64::from(height));
        let corners = [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)].map(|(x, y)| crop.apply(x, y));
        let span = |of: fn(&(f64, f64)) -> f64, extent: u32| {
            let least = corners.iter().map(of).fold(f64::INFINITY, f64::min);
            let most = corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max);
            // A pixel more for the neighbours, and at least one where all lies outside.
            let last = f64::from(extent - 1);
            let from = (least.floor() - 1.0).clamp(0.0, last);
            (from as usize, (most.ceil() + 1.0).clamp(from, last) as usize + 1)
        };
        let (left, right) = span(|c| c.0, picture.width);
        let (top, bottom) = span(|c| c.1, picture.height);
        let rows = (top..bottom).map(|y| {
            let start = y * picture.width as usize;
            &picture.rgb[(start + left) * 3..(start + right) * 3]
        });
        let count = colour.channels();
        let mut values = Vec::with_capacity((right - left) * (bottom - top) * count);
        for channel in 0..count {
            for row in rows.clone() {
                match colour.order() {
                    Some(order) => {
                        values.extend(row.chunks_exact(3).map(|rgb| f32::from(rgb[order[channel]])));
                    }
                    None => values.extend(row.chunks_exact(3).map(luma)),
                }
            }
        }
        let (width, height) = (right - left, bottom - top);
        Self { left: left as f64, top: top as f64, width, height, channels: count, values }
    }

    /// The input's values, plane by plane.
    pub(super) fn sample(&self, crop: &Similarity, (width, height): (usize, usize)) -> Vec<f32> {
        let samples = crop.scale().ceil().clamp(1.0, MOST_SAMPLES) as usize;
        let share = 1.0 / (samples * samples) as f64;
        let step = 1.0 / samples as f64;
        let plane = self.width * self.height;
        let mut out = vec![0.0; width * height * self.channels];
        for y in 0..height {
            for x in 0..width {
                let mut sums = [0.0f64; 3];
                for i in 0..samples * samples {
                    let u = x as f64 + ((i % samples) as f64 + 0.5) * step;
                    let v = y as f64 + ((i / samples) as f64 + 0.5) * step;
                    let (corner, weights) = self.taps(crop.apply(u, v));
                    for (channel, sum) in sums.iter_mut().take(self.channels).enumerate() {
                        for (at, weight) in corner.iter().zip(weights) {
                            *sum += weight * f64::from(self.values[channel * plane + at]);
                        }
                    }
                }
                for (channel, sum) in sums.iter().take(self.channels).enumerate() {
                    out[(channel * height + y) * width + x] = (sum * share) as f32;
                }
            }
        }
        out
    }

    /// The four pixels around a place, and their weights.
    fn taps(&self, (x, y): (f64, f64)) -> ([usize; 4], [f64; 4]) {
        let axis = |place: f64, extent: usize| {
            let place = (place - 0.5).clamp(0.0, (extent - 1) as f64);
            // It is not below 0, so this is the floor, and needs no call.
            let first = place as usize;
            (first, (first + 1).min(extent - 1), place - first as f64)
        };
        let (x0, x1, fx) = axis(x - self.left, self.width);
        let (y0, y1, fy) = axis(y - self.top, self.height);
        let at = |x: usize, y: usize| y * self.width + x;
        let weights = [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy];
        ([at(x0, y0), at(x1, y0), at(x0, y1), at(x1, y1)], weights)
    }
}
