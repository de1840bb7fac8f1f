use super::{Face, FaceThresholds, Outputs, not_a_number, numbers, suppress};
use crate::Result;
use crate::model::image::{Point, Rect};

const STRIDES: [usize; 3] = [8, 16, 32];

/// Faces of YuNet (Wu et al. 2023) in an input of `width × height` pixels, surest first.
///
/// Outputs are `cls_S`, `obj_S` (`[n, 1]`), `bbox_S` (`[n, 4]`) and `kps_S` (`[n, 10]`) for the strides S = 8,
/// 16, 32, with n = (width/S)·(height/S) cells row by row. For the cell in column c and row r:
///
/// ```text
/// score  = √(cls·obj)
/// centre = ((c + b₀)·S, (r + b₁)·S)     size = (e^b₂·S, e^b₃·S)
/// eye, eye, nose, mouth, mouth = ((c + k₀)·S, (r + k₁)·S), …
/// ```
///
/// # Errors
/// `InvalidInput` where an output is missing, has another shape, or holds what is not a number.
pub fn yunet(
    outputs: &Outputs<'_>,
    (width, height): (usize, usize),
    thresholds: FaceThresholds,
) -> Result<Vec<Face>> {
    let mut faces = Vec::new();
    for stride in STRIDES {
        let (columns, rows) = (width / stride, height / stride);
        let cells = columns * rows;
        let [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map(|part| format!("{part}_{stride}"));
        let classes = numbers(outputs, &cls, cells, 1)?;
        let objects = numbers(outputs, &obj, cells, 1)?;
        let boxes = numbers(outputs, &bbox, cells, 4)?;
        let points = numbers(outputs, &kps, cells, 10)?;
        for cell in 0..cells {
            let product = classes[cell][0].clamp(0.0, 1.0) * objects[cell][0].clamp(0.0, 1.0);
            if product.is_nan() {
                return Err(not_a_number(&cls));
            }
            let score = product.sqrt();
            if score < thresholds.score {
                continue;
            }
            let s = stride as f32;
            let (column, row) = ((cell % columns) as f32, (cell / columns) as f32);
            let at = |x: f32, y: f32| Point { x: (column + x) * s, y: (row + y) * s };
            let b = boxes[cell];
            let (center, size) = (at(b[0], b[1]), (b[2].exp() * s, b[3].exp() * s));
            let place = Rect::new(center.x - size.0 / 2.0, center.y - size.1 / 2.0, size.0, size.1);
            let k = points[cell];
            let landmarks = [0, 2, 4, 6, 8].map(|i| at(k[i], k[i + 1]));
            if !place.is_proper() {
                return Err(not_a_number(&bbox));
            }
            if landmarks.iter().any(|p| !(p.x.is_finite() && p.y.is_finite())) {
                return Err(not_a_number(&kps));
            }
            faces.push(Face { place, score, landmarks: Some(landmarks) });
        }
    }
    Ok(suppress(faces, thresholds.overlap))
}
