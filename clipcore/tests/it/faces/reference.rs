//! Places and expressions against NumPy, SciPy, Pillow and Python's onnxruntime (`scripts/face_reference.py`).

use clipcore::model::Tensors;
use clipcore::model::image::{Picture, Rect};
use serde::Deserialize;

use super::{finder, frames, material, reader, runtimes};
use crate::support::programs::skipped;

#[derive(Deserialize)]
struct Reference {
    every: u32,
    pictures: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    file: String,
    frame: usize,
    pixels: u32,
    yunet: Vec<Face>,
    ultraface: Vec<Face>,
}

#[derive(Deserialize)]
struct Face {
    place: [f32; 4],
    score: f32,
    expression: Vec<f32>,
}

#[test]
fn faces_and_expressions_equal_the_reference() {
    let test = "faces_and_expressions_equal_the_reference";
    let Some(shared) = material(test) else { return };
    let reference: Reference = serde_json::from_str(include_str!("reference.json")).unwrap();
    let (mut decoded, mut other) = (Vec::new(), 0);
    for of_file in reference.pictures.chunk_by(|a, b| a.file == b.file) {
        let every = of_file[0].file.ends_with(".mp4").then_some(reference.every);
        let frames = frames(&shared.join(&of_file[0].file), every);
        for expected in of_file {
            let frame = frames[expected.frame].clone();
            if crc32fast::hash(&frame.rgb) == expected.pixels {
                decoded.push((expected, frame));
            } else {
                other += 1;
            }
        }
    }
    if other > 0 {
        skipped(
            test,
            &format!("{other} pictures: this ffmpeg decodes them to other pixels than the reference's"),
        );
    }
    for runtime in runtimes(test) {
        let (reader, port) = reader(&runtime, &shared);
        for name in ["yunet", "ultraface"] {
            let finder = finder(&runtime, &shared, name);
            let (mut count, mut worst) = (0, (0f32, 0f32, 0f32));
            for (expected, frame) in &decoded {
                let picture = Picture::try_from(frame).unwrap();
                let wanted = if name == "yunet" { &expected.yunet } else { &expected.ultraface };
                let found = finder.find(&picture, picture.bounds()).unwrap();
                let at = format!("{name}, {} frame {}", expected.file, expected.frame);
                assert_eq!(found.len(), wanted.len(), "{at}");
                let crops: Vec<Tensors> =
                    found.iter().map(|face| port.crop(&picture, face).unwrap().into()).collect();
                let answers = reader.infer(&crops).unwrap();
                for face in wanted {
                    let [x, y, w, h] = face.place;
                    let place = Rect::new(x, y, w, h);
                    let same = (0..found.len())
                        .max_by(|a, b| found[*a].place.iou(place).total_cmp(&found[*b].place.iou(place)));
                    let same = same.unwrap();
                    let got: Vec<f32> = answers[same].first().unwrap().iter().copied().collect();
                    let off =
                        got.iter().zip(&face.expression).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    worst.0 = worst.0.max(1.0 - found[same].place.iou(place));
                    worst.1 = worst.1.max((found[same].score - face.score).abs());
                    worst.2 = worst.2.max(off);
                    count += 1;
                }
            }
            println!(
                "{name} on {}: {count} faces; at worst overlap 1 − {:.1e}, score {:.1e}, expression {:.1e}",
                runtime.found().backend,
                worst.0,
                worst.1,
                worst.2
            );
            assert!(other > 0 || count > 100, "{name}: {count} faces");
            assert!(worst.0 < 2e-3 && worst.1 < 1e-3 && worst.2 < 1e-3, "{name}: {worst:?}");
        }
    }
}
