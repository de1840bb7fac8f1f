use super::{Face, FaceThresholds, Outputs, not_a_number, numbers, suppress};
use crate::model::image::Rect;
use crate::{Error, Result};

/// Faces of UltraFace (Linzaer 2019, "Ultra-Light-Fast-Generic-Face-Detector-1MB") in an input of `width × height` pixels,
/// surest first.
///
/// Outputs are `scores` (`[n, 2]`: no face, face) and `boxes` (`[n, 4]`: left, top, right, bottom as parts of the
/// input's sides). It knows no landmarks.
///
/// # Errors
/// `InvalidInput` where an output is missing, has another shape, or holds what is not a number.
pub fn ultraface(
    outputs: &Outputs<'_>,
    (width, height): (usize, usize),
    thresholds: FaceThresholds,
) -> Result<Vec<Face>> {
    let count = outputs.iter().find(|(name, _)| *name == "scores").map_or(0, |(_, v)| v.len() / 2);
    let scores = numbers(outputs, "scores", count, 2)?;
    let boxes = numbers(outputs, "boxes", count, 4)?;
    let mut faces = Vec::new();
    for (score, corners) in scores.iter().zip(boxes) {
        if score[1].is_nan() {
            return Err(not_a_number("scores"));
        }
        if score[1] < thresholds.score {
            continue;
        }
        if corners.iter().any(|c| !c.is_finite()) {
            return Err(not_a_number("boxes"));
        }
        let [left, top, right, bottom] = [corners[0], corners[1], corners[2], corners[3]];
        let (w, h) = (width as f32, height as f32);
        let place = Rect::new(left * w, top * h, (right - left) * w, (bottom - top) * h);
        if place.is_proper() {
            faces.push(Face { place, score: score[1].min(1.0), landmarks: None });
        }
    }
    if scores.is_empty() {
        return Err(Error::invalid("output \"scores\" of a face network is empty"));
    }
    Ok(suppress(faces, thresholds.overlap))
}
