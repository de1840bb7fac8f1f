use super::decode::Face;
use crate::model::image::{Point, Rect, Similarity};

/// Where eyes, nose and the corners of the mouth lie in a crop, in parts of its side.
///
/// The shape is that of an average face; its size is the one at which a network trained on FER2013 is least in doubt
/// (the least mean entropy of its answers over 167 faces of test pictures, for ten sizes).
const TEMPLATE: [Point; 5] = [
    Point { x: 0.33, y: 0.415 },
    Point { x: 0.67, y: 0.415 },
    Point { x: 0.5, y: 0.568 },
    Point { x: 0.364, y: 0.721 },
    Point { x: 0.636, y: 0.721 },
];

/// Without landmarks, the square of the same size: its side in heights of the face, and how far down its middle lies.
const SQUARE: (f32, f32) = (0.98, 0.46);

/// How a square crop of this side lies in the picture so that the face stands upright in it: from places of the crop to
/// places of the picture. `None` where the face has no size.
///
/// With landmarks it is the similarity that brings them closest to an average face; without, an upright square.
pub(super) fn upright(face: &Face, side: u32) -> Option<Similarity> {
    let side = side as f32;
    if let Some(landmarks) = &face.landmarks {
        let template = TEMPLATE.map(|p| Point { x: p.x * side, y: p.y * side });
        if let Some(found) = Similarity::fit(landmarks, &template) {
            return Some(found.inverse());
        }
    }
    let Rect { x, y, width, height } = face.place;
    let extent = SQUARE.0 * height;
    let corner = (x + (width - extent) / 2.0, y + SQUARE.1 * height - extent / 2.0);
    Similarity::onto_square(side, Rect::new(corner.0, corner.1, extent, extent))
}
