use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;

use super::*;

const SIZE: (usize, usize) = (96, 64);

fn tensor(shape: &[usize], values: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values).unwrap()
}

fn cells(stride: usize) -> usize {
    (SIZE.0 / stride) * (SIZE.1 / stride)
}

/// YuNet's outputs, all zero, by name.
fn silent() -> Vec<(String, ArrayD<f32>)> {
    let parts = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];
    let of =
        |stride| parts.map(|(part, n)| (format!("{part}_{stride}"), ArrayD::zeros(vec![cells(stride), n])));
    [8, 16, 32].into_iter().flat_map(of).collect()
}

fn views(outputs: &[(String, ArrayD<f32>)]) -> Vec<(&str, ArrayViewD<'_, f32>)> {
    outputs.iter().map(|(name, t)| (name.as_str(), t.view())).collect()
}

fn set(outputs: &mut [(String, ArrayD<f32>)], name: &str, cell: usize, values: &[f32]) {
    let (_, tensor) = outputs.iter_mut().find(|(n, _)| n == name).unwrap();
    for (i, value) in values.iter().enumerate() {
        tensor[[cell, i]] = *value;
    }
}

#[test]
fn yunet_is_decoded_by_its_formula() {
    let mut outputs = silent();
    // At stride 16 there are 6 columns: cell 8 is column 2 of row 1.
    set(&mut outputs, "cls_16", 8, &[0.9]);
    set(&mut outputs, "obj_16", 8, &[0.8]);
    set(&mut outputs, "bbox_16", 8, &[0.5, 0.25, 2f32.ln(), 3f32.ln()]);
    set(&mut outputs, "kps_16", 8, &[0.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 1.0, 1.0, 1.0]);
    let faces = yunet(&views(&outputs), SIZE, FaceThresholds::default()).unwrap();
    assert_eq!(faces.len(), 1);
    let Face { place, score, landmarks } = faces[0];
    assert!((score - 0.72f32.sqrt()).abs() < 1e-6);
    let expected = Rect::new(40.0 - 16.0, 20.0 - 24.0, 32.0, 48.0);
    assert!(place.iou(expected) > 0.9999, "{place:?}");
    let points = landmarks.unwrap();
    assert_eq!((points[0], points[4]), (Point { x: 32.0, y: 16.0 }, Point { x: 48.0, y: 32.0 }));
}

#[test]
fn of_overlapping_faces_the_surest_one_counts() {
    let scores = tensor(&[3, 2], vec![0.1, 0.8, 0.1, 0.9, 0.1, 0.95]);
    let boxes = tensor(&[3, 4], vec![0.1, 0.1, 0.3, 0.5, 0.12, 0.1, 0.32, 0.5, 0.6, 0.6, 0.8, 0.9]);
    let outputs = [("scores", scores.view()), ("boxes", boxes.view())];
    let faces = ultraface(&outputs, (100, 100), FaceThresholds::default()).unwrap();
    let found: Vec<_> = faces.iter().map(|f| (f.score, f.place.x.round())).collect();
    assert_eq!(found, [(0.95, 60.0), (0.9, 12.0)]);
    assert!(faces.iter().all(|f| f.landmarks.is_none()));
}

#[test]
fn what_is_wrong_with_the_outputs_is_said() {
    let with = |change: fn(&mut Vec<(String, ArrayD<f32>)>)| {
        let mut outputs = silent();
        change(&mut outputs);
        yunet(&views(&outputs), SIZE, FaceThresholds::default()).unwrap_err().to_string()
    };
    assert!(with(|o| drop(o.remove(4))).contains("no output \"cls_16\""));
    assert!(with(|o| o[0].1 = ArrayD::zeros(vec![95, 1])).contains("\"cls_8\""));
    assert!(with(|o| o[0].1 = ArrayD::zeros(vec![1, 96])).contains("wrong shape"));
    assert!(with(|o| set(o, "obj_8", 3, &[f32::NAN])).contains("not a number"));
    let large = with(|o| {
        set(o, "cls_8", 3, &[1.0]);
        set(o, "obj_8", 3, &[1.0]);
        set(o, "bbox_8", 3, &[0.0, 0.0, 1e6, 0.0]);
    });
    assert!(large.contains("\"bbox_8\""), "{large}");

    let (scores, boxes) = (ArrayD::zeros(vec![4, 2]), ArrayD::zeros(vec![3, 4]));
    let outputs = [("scores", scores.view()), ("boxes", boxes.view())];
    let error = ultraface(&outputs, SIZE, FaceThresholds::default()).unwrap_err().to_string();
    assert!(error.contains("\"boxes\""), "{error}");
}

/// Any number a network may give, the strange ones often.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -0.5f32..1.5,
        1 => any::<f32>(),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e30]),
    ]
}

fn sane(faces: &[Face], thresholds: FaceThresholds) -> Result<(), TestCaseError> {
    for (i, face) in faces.iter().enumerate() {
        prop_assert!(face.place.is_proper() && face.score >= thresholds.score && face.score <= 1.0);
        prop_assert!(face.landmarks.iter().flatten().all(|p| p.x.is_finite() && p.y.is_finite()));
        prop_assert!(faces[..i].iter().all(|f| f.score >= face.score));
        prop_assert!(faces[..i].iter().all(|f| f.place.iou(face.place) <= thresholds.overlap));
    }
    Ok(())
}

proptest! {
    /// Arbitrary numbers and shapes give sane faces or an error.
    #[test]
    fn arbitrary_outputs_do_no_harm(
        values in prop::collection::vec(number(), 64),
        wrong in prop::option::of((0usize..12, 0usize..200, 0usize..12)),
        score in 0.01f32..0.99,
    ) {
        let thresholds = FaceThresholds { score, overlap: 0.3 };
        let mut outputs = silent();
        for (o, (_, tensor)) in outputs.iter_mut().enumerate() {
            for (i, value) in tensor.iter_mut().enumerate() {
                *value = values[(i * 7 + o * 13) % values.len()];
            }
        }
        if let Some((index, rows, columns)) = wrong {
            outputs[index].1 = ArrayD::zeros(vec![rows, columns]);
        }
        if let Ok(faces) = yunet(&views(&outputs), SIZE, thresholds) {
            sane(&faces, thresholds)?;
        }
        let n = values.len() / 8;
        let scores = tensor(&[n, 2], values[..n * 2].to_vec());
        let boxes = tensor(&[n, 4], values[n * 2..n * 6].to_vec());
        let outputs = [("scores", scores.view()), ("boxes", boxes.view())];
        if let Ok(faces) = ultraface(&outputs, SIZE, thresholds) {
            sane(&faces, thresholds)?;
        }
    }
}
