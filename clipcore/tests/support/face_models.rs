//! Tiny networks of our own that find bright squares and call the brightest smiling, so that faces are tested where no
//! model is at hand.

use std::path::Path;

use clipcore::conformance::onnx::{Attribute, OnnxFile};

/// The card of the finder, of YuNet's kind.
pub const FINDER_CARD: &str = r#"
format = 1
name = "squares"
task = "faces"
file = "squares.onnx"
licence = "MIT"
source = "made by the test"
decoder = "yunet"

[input]
name = "input"
shape = [1, 3, "height", "width"]
kind = "image"

[input.image]
colour = "bgr"
multiple_of = 32

[[output]]
name = "cls_32"
"#;

/// The card of the reader.
pub const READER_CARD: &str = r#"
format = 1
name = "brightness"
task = "expressions"
file = "brightness.onnx"
licence = "MIT"
source = "made by the test"
labels = ["happy", "surprise", "neutral"]

[input]
name = "input"
shape = ["batch", 16, 16, 1]
kind = "image"

[input.image]
colour = "grey"
channels_last = true
mean = 127.5
scale = 127.5

[[output]]
name = "scores"
shape = ["batch", 3]
"#;

/// How bright a pixel of a face is that does not smile, and of one that does; all else is to be dark.
pub const CALM: u8 = 170;
pub const SMILING: u8 = 250;

/// Says that every bright square of 32 × 32 pixels on a grid of 32 is a face.
pub fn finder() -> Vec<u8> {
    let mut file = OnnxFile::new().input("input", "float32", &["1", "3", "height", "width"]);
    for stride in [8i64, 16, 32] {
        let size = [stride, stride];
        let named = |part: &str| format!("{part}_{stride}");
        let pooled = named("pooled");
        file = file.node(
            "AveragePool",
            &["input"],
            &[&pooled],
            &[("kernel_shape", Attribute::Ints(&size)), ("strides", Attribute::Ints(&size))],
        );
        for (part, columns) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
            let [weight, bias, map, last, shape, name] =
                ["w", "b", "map", "last", "shape", ""].map(|p| format!("{p}{part}_{stride}"));
            // A score of nearly 1 above a brightness of 120, at the largest stride only.
            let (slope, start): (f32, Vec<f32>) = match part {
                "cls" | "obj" if stride == 32 => (0.1, vec![-36.0]),
                "cls" | "obj" => (0.0, vec![-20.0]),
                "bbox" => (0.0, vec![0.5, 0.5, 0.0, 0.0]),
                _ => (0.0, vec![0.4, 0.45, 0.6, 0.45, 0.5, 0.53, 0.42, 0.62, 0.58, 0.62]),
            };
            file = file
                .weight_f32(&weight, &[columns, 3, 1, 1], &vec![slope; columns * 3])
                .weight_f32(&bias, &[columns], &start)
                .weight_i64(&shape, &[3], &[1, -1, columns as i64])
                .node(
                    "Conv",
                    &[&pooled, &weight, &bias],
                    &[&map],
                    &[
                        ("kernel_shape", Attribute::Ints(&[1, 1])),
                        ("strides", Attribute::Ints(&[1, 1])),
                        ("dilations", Attribute::Ints(&[1, 1])),
                        ("pads", Attribute::Ints(&[0, 0, 0, 0])),
                    ],
                )
                .node("Transpose", &[&map], &[&last], &[("perm", Attribute::Ints(&[0, 2, 3, 1]))]);
            let scored = named(&format!("scored{part}"));
            let flat = if columns == 1 { &scored } else { &last };
            if columns == 1 {
                file = file.node("Sigmoid", &[&last], &[&scored], &[]);
            }
            let columns = columns.to_string();
            file = file.node("Reshape", &[flat, &shape], &[&name], &[]).output(
                &name,
                "float32",
                &["1", "cells", &columns],
            );
        }
    }
    file.bytes()
}

/// Says how bright a crop is: happy where it is very bright, else neutral.
pub fn reader() -> Vec<u8> {
    // Values are −1 to 1: calm is 0.33, smiling 0.96.
    OnnxFile::new()
        .input("input", "float32", &["batch", "16", "16", "1"])
        .weight_i64("flat_shape", &[2], &[-1, 256])
        .weight_f32("mean", &[256, 3], &[12.0 / 256.0, 0.0, -12.0 / 256.0].repeat(256))
        .weight_f32("bias", &[3], &[-7.8, -4.0, 7.8])
        .node("Reshape", &["input", "flat_shape"], &["flat"], &[])
        .node("MatMul", &["flat", "mean"], &["raw"], &[])
        .node("Add", &["raw", "bias"], &["logits"], &[])
        .node("Softmax", &["logits"], &["scores"], &[("axis", Attribute::Int(1))])
        .output("scores", "float32", &["batch", "3"])
        .bytes()
}

/// Writes both models with their cards into a folder.
pub fn write(dir: &Path) {
    for (name, bytes) in [
        ("squares.onnx", finder()),
        ("squares.toml", FINDER_CARD.into()),
        ("brightness.onnx", reader()),
        ("brightness.toml", READER_CARD.into()),
    ] {
        std::fs::write(dir.join(name), bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// RGB of a frame of 320 × 192 whose middle square is so bright.
pub fn picture(bright: u8) -> Vec<u8> {
    let mut rgb = vec![16u8; 320 * 192 * 3];
    for y in 96..128 {
        rgb[(y * 320 + 160) * 3..(y * 320 + 192) * 3].fill(bright);
    }
    rgb
}
