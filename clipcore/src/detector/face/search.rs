//! Where to look for faces: where they were, in the corners where webcams sit, then everywhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::model::image::Rect;

/// The whole frame, in parts of its sides.
pub(super) const WHOLE: Rect = Rect::new(0.0, 0.0, 1.0, 1.0);

/// A webcam's corner: so much of the frame's width and height.
const CORNER: (f32, f32) = (0.4, 0.5);
/// In the order of how common they are: below left, above left, below right, above right.
const CORNERS: [(f32, f32); 4] =
    [(0.0, 1.0 - CORNER.1), (0.0, 0.0), (1.0 - CORNER.0, 1.0 - CORNER.1), (1.0 - CORNER.0, 0.0)];

/// A place with a face is looked at with this many times its size around it.
const AROUND: f32 = 3.0;
/// A place that takes more of the frame than this is no smaller than the frame.
const NEARLY_WHOLE: f32 = 0.5;

/// What was looked at, and what is next.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    /// The corner whose turn it is.
    turn: usize,
    /// When the whole frame was last looked at.
    whole: Option<Timestamp>,
}

impl Search {
    /// Where to look first, in parts of the frame's sides.
    pub(super) fn first(
        &mut self,
        at: Timestamp,
        rescan: Duration,
        faces: impl Iterator<Item = Rect>,
    ) -> Rect {
        let Some(home) = faces.map(|f| f.enlarged(AROUND)).reduce(Rect::union) else {
            let (x, y) = CORNERS[self.turn % CORNERS.len()];
            self.turn = (self.turn + 1) % CORNERS.len();
            return Rect::new(x, y, CORNER.0, CORNER.1);
        };
        let home = home.intersection(WHOLE);
        let due = self.whole.is_none_or(|whole| at >= whole + rescan);
        if due || home.area() > NEARLY_WHOLE { self.everywhere(at) } else { home }
    }

    /// Looks at all of the frame.
    pub(super) fn everywhere(&mut self, at: Timestamp) -> Rect {
        self.whole = Some(at);
        WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESCAN: Duration = Duration::from_secs(10);

    #[test]
    fn corners_take_turns_until_somebody_is_there() {
        let mut search = Search::default();
        let at = Timestamp::from_secs;
        let seen: Vec<Rect> = (0..5).map(|i| search.first(at(i), RESCAN, std::iter::empty())).collect();
        assert_eq!(seen[0], seen[4]);
        let distinct = |a: &Rect| seen[..4].iter().filter(|b| *b == a).count() == 1;
        assert!(
            seen[..4].iter().all(|r| distinct(r) && r.area() < 0.21 && r.iou(r.intersection(WHOLE)) > 0.999)
        );
    }

    #[test]
    fn a_known_face_is_looked_at_where_it_is_and_the_whole_frame_now_and_then() {
        let mut search = Search::default();
        let face = Rect::new(0.05, 0.7, 0.06, 0.12);
        let looked: Vec<bool> = (0..24)
            .map(|t| search.first(Timestamp::from_secs(t), RESCAN, [face].into_iter()) == WHOLE)
            .collect();
        let whole: Vec<usize> = (0..24).filter(|t| looked[*t]).collect();
        assert_eq!(whole, [0, 10, 20]);
        let home = search.first(Timestamp::from_secs(24), RESCAN, [face].into_iter());
        assert!(home.intersection(face).iou(face) > 0.999 && home.area() < 0.1);
        let large = Rect::new(0.3, 0.1, 0.4, 0.8);
        assert_eq!(search.first(Timestamp::from_secs(25), RESCAN, [large].into_iter()), WHOLE);
    }
}
