//! Which face is whose: places that overlap from one look to the next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::change::Person;
use crate::Timestamp;
use crate::model::image::Rect;

/// People remembered at once.
const MOST_TRACKS: usize = 16;
/// Places are compared at twice their size, so that a face may move by its own width between two looks.
const REACH: f32 = 2.0;
/// Enlarged places that overlap less than this are different people.
const LEAST_OVERLAP: f32 = 0.3;

/// A person that was seen: where, when, and what is usual for them. Places are parts of the frame's sides.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Track {
    pub(super) place: Rect,
    pub(super) seen: Timestamp,
    pub(super) person: Person,
}

/// The people of one camera. Nobody is recognised: who leaves and comes back elsewhere is somebody new.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Tracks(Vec<Track>);

impl Tracks {
    /// Forgets whom nobody has seen for a while.
    pub(super) fn forget(&mut self, at: Timestamp, remember: Duration) {
        self.0.retain(|track| at <= track.seen + remember);
    }

    /// Says for each place whose it is, and follows it there; places that are nobody's are new people.
    pub(super) fn follow(&mut self, at: Timestamp, places: &[Rect]) -> Vec<usize> {
        let mut pairs = Vec::new();
        for (p, place) in places.iter().enumerate() {
            for (t, track) in self.0.iter().enumerate() {
                let overlap = place.enlarged(REACH).iou(track.place.enlarged(REACH));
                if overlap >= LEAST_OVERLAP {
                    pairs.push((overlap, p, t));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut whose = vec![None; places.len()];
        for (_, p, t) in pairs {
            if whose[p].is_none() && !whose.contains(&Some(t)) {
                whose[p] = Some(t);
            }
        }
        for (p, place) in places.iter().enumerate() {
            let new = Track { place: *place, seen: at, person: Person::default() };
            match whose[p] {
                Some(t) => (self.0[t].place, self.0[t].seen) = (*place, at),
                None if self.0.len() < MOST_TRACKS => {
                    whose[p] = Some(self.0.len());
                    self.0.push(new);
                }
                None => {
                    // Somebody who is not here now makes room.
                    let free = (0..self.0.len()).filter(|t| !whose.contains(&Some(*t)));
                    if let Some(t) = free.min_by_key(|t| self.0[*t].seen) {
                        whose[p] = Some(t);
                        self.0[t] = new;
                    }
                }
            }
        }
        whose.into_iter().flatten().collect()
    }

    /// Where people are or were.
    pub(super) fn places(&self) -> impl Iterator<Item = Rect> {
        self.0.iter().map(|track| track.place)
    }

    pub(super) fn person(&mut self, index: usize) -> Option<&mut Person> {
        self.0.get_mut(index).map(|track| &mut track.person)
    }

    pub(super) fn people(&mut self) -> impl Iterator<Item = &mut Person> {
        self.0.iter_mut().map(|track| &mut track.person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32) -> Rect {
        Rect::new(x, 0.3, 0.1, 0.2)
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn people_keep_their_tracks_when_they_move_and_when_they_come_back() {
        let mut tracks = Tracks::default();
        assert_eq!(tracks.follow(at(0), &[face(0.1), face(0.6)]), [0, 1]);
        assert_eq!(tracks.follow(at(2), &[face(0.55), face(0.15)]), [1, 0]);
        // One looks away for twenty seconds.
        for t in 1..10 {
            assert_eq!(tracks.follow(at(2 + 2 * t), &[face(0.15)]), [0]);
        }
        assert_eq!(tracks.follow(at(22), &[face(0.15), face(0.57)]), [0, 1]);
        assert_eq!(tracks.follow(at(24), &[face(0.35)]), [2], "somebody in between is somebody new");
        tracks.forget(at(60), Duration::from_secs(37));
        assert_eq!(tracks.places().count(), 1);
    }

    #[test]
    fn two_faces_never_share_a_track() {
        let mut tracks = Tracks::default();
        tracks.follow(at(0), &[face(0.5)]);
        let mut whose = tracks.follow(at(1), &[face(0.49), face(0.53)]);
        whose.sort_unstable();
        assert_eq!(whose, [0, 1]);
    }

    #[test]
    fn crowds_do_not_grow_without_bound() {
        let mut tracks = Tracks::default();
        for t in 0..20 {
            let crowd: Vec<_> = (0..40).map(|i| Rect::new(i as f32 * 0.3, t as f32, 0.1, 0.1)).collect();
            tracks.follow(at(t), &crowd);
        }
        assert_eq!(tracks.places().count(), MOST_TRACKS);
    }
}
