//! Nine photographs with 43 boxed faces.

use std::path::Path;

use clipcore::model::image::{Picture, Rect};

use super::{finder, frames, material, runtimes};

/// The boxed faces, photograph by photograph.
fn boxed(shared: &Path) -> Vec<(String, Vec<Rect>)> {
    let mut photos = Vec::new();
    for list in ["testing.xml", "training.xml"] {
        let xml = std::fs::read_to_string(shared.join("media/faces").join(list)).unwrap();
        for image in xml.split("<image file='").skip(1) {
            let name = image.split('\'').next().unwrap().to_owned();
            let number = |tag: &str, key: &str| -> f32 {
                let value = tag.split(&format!("{key}='")).nth(1).unwrap();
                value.split('\'').next().unwrap().parse().unwrap()
            };
            let faces = image.split("<box ").skip(1).map(|tag| {
                Rect::new(
                    number(tag, "left"),
                    number(tag, "top"),
                    number(tag, "width"),
                    number(tag, "height"),
                )
            });
            photos.push((name, faces.collect()));
        }
    }
    photos
}

/// One threshold and one size for all of them: those of the defaults.
#[test]
fn finders_find_all_boxed_faces() {
    let test = "finders_find_all_boxed_faces";
    let Some(shared) = material(test) else { return };
    let photos = boxed(&shared);
    assert_eq!(photos.iter().map(|(_, faces)| faces.len()).sum::<usize>(), 43);
    for runtime in runtimes(test) {
        for name in ["yunet", "ultraface"] {
            let finder = finder(&runtime, &shared, name);
            let (mut matched, mut unmatched, mut least) = (0, 0, f32::INFINITY);
            for (photo, wanted) in &photos {
                let frame = &frames(&shared.join("media/faces").join(photo), None)[0];
                let picture = Picture::try_from(frame).unwrap();
                let mut found: Vec<Rect> =
                    finder.find(&picture, picture.bounds()).unwrap().iter().map(|f| f.place).collect();
                for face in wanted {
                    let best =
                        (0..found.len()).max_by(|a, b| face.iou(found[*a]).total_cmp(&face.iou(found[*b])));
                    let overlap = best.map_or(0.0, |i| face.iou(found[i]));
                    least = least.min(overlap);
                    if let Some(i) = best.filter(|_| overlap >= 0.5) {
                        found.swap_remove(i);
                        matched += 1;
                    }
                }
                unmatched += found.len();
            }
            println!(
                "{name} on {}: {matched} of 43, {unmatched} more, least overlap {least:.3}",
                runtime.found().backend
            );
            assert_eq!(matched, 43, "{name}");
            assert!(unmatched <= 4, "{name} finds {unmatched} more");
        }
    }
}
