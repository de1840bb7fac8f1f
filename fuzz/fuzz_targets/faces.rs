//! Any numbers as the outputs of a face network: faces at sane places, or an error.
#![no_main]

use clipcore::detector::face::{FaceThresholds, Outputs, ultraface, yunet};
use libfuzzer_sys::fuzz_target;
use ndarray::ArrayD;

/// A network's outputs: names, their right shapes, and what decodes them.
type Decode = fn(&Outputs<'_>, (usize, usize), FaceThresholds) -> clipcore::Result<Vec<clipcore::detector::face::Face>>;

fuzz_target!(|input: (u8, u8, u8, bool, Vec<f32>)| {
    let (width, height, wrong, other, values) = input;
    let (width, height) = (usize::from(width % 8) * 32, usize::from(height % 8) * 32);
    let mut next = values.into_iter().cycle();
    let mut shapes = Vec::new();
    for stride in [8, 16, 32] {
        for (part, columns) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
            shapes.push((format!("{part}_{stride}"), vec![(width / stride) * (height / stride), columns]));
        }
    }
    shapes.extend([("scores".to_owned(), vec![37, 2]), ("boxes".to_owned(), vec![37, 4])]);
    let tensors: Vec<_> = shapes
        .into_iter()
        .enumerate()
        .map(|(i, (name, mut shape))| {
            if other && i == usize::from(wrong) {
                shape.reverse();
            }
            let n = shape.iter().product();
            let numbers: Vec<f32> = next.by_ref().take(n).chain(std::iter::repeat(0.9)).take(n).collect();
            (name, ArrayD::from_shape_vec(shape, numbers).expect("as many numbers as the shape says"))
        })
        .collect();
    let outputs: Vec<_> = tensors.iter().map(|(name, t)| (name.as_str(), t.view())).collect();
    let thresholds = FaceThresholds::default();
    for decode in [yunet as Decode, ultraface as Decode] {
        for face in decode(&outputs, (width, height), thresholds).unwrap_or_default() {
            assert!(face.place.is_proper() && face.score >= thresholds.score && face.score <= 1.0);
        }
    }
});
