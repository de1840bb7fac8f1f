//! How far a stream's reference clock has come, from the progress of its cameras.

use std::time::Duration;

use crate::{CameraId, Timestamp};

/// How far a camera that is not live may run ahead of the stream before its source has to wait.
const MAX_AHEAD: Duration = Duration::from_secs(20);

/// The progress of a stream's cameras.
///
/// The clock is the slowest running camera's progress, so that nothing any of them still says is late. The first camera
/// is the reference where they agree; a camera whose source has ended holds nobody up. A camera that falls
/// `max_lag` behind a *live* one (a lost connection, a tap that hangs) is left behind until it has caught up; one that
/// reads a file is held back instead, by not reading from its queue.
#[derive(Debug)]
pub(super) struct Reference {
    max_lag: Duration,
    cameras: Vec<Camera>,
    /// Sources that drive the clock and have not spoken.
    silent: Vec<usize>,
    /// Where the first camera to speak began.
    origin: Option<Timestamp>,
}

#[derive(Debug)]
struct Camera {
    source: usize,
    id: CameraId,
    at: Timestamp,
    live: bool,
}

impl Reference {
    pub(super) fn new(clock_sources: Vec<usize>, max_lag: Duration) -> Self {
        Self { max_lag, cameras: Vec::new(), silent: clock_sources, origin: None }
    }

    pub(super) fn progress(&mut self, source: usize, id: &CameraId, at: Timestamp, live: bool) {
        self.origin.get_or_insert(at);
        self.silent.retain(|s| *s != source);
        match self.cameras.iter_mut().find(|c| c.source == source && c.id == *id) {
            Some(camera) => {
                camera.at = camera.at.max(at);
                camera.live = live;
            }
            None => self.cameras.push(Camera { source, id: id.clone(), at, live }),
        }
    }

    /// The source has ended.
    pub(super) fn ended(&mut self, source: usize) {
        self.silent.retain(|s| *s != source);
        self.cameras.retain(|c| c.source != source);
    }

    /// How far the stream has come; `None` while nobody knows.
    pub(super) fn reach(&self) -> Option<Timestamp> {
        let front = self.cameras.iter().max_by_key(|c| c.at)?;
        let left_behind = if front.live { front.at - self.max_lag } else { Timestamp::MIN };
        let silent = self.origin.filter(|_| !self.silent.is_empty());
        self.cameras.iter().map(|c| c.at).chain(silent).filter(|at| *at >= left_behind).min()
    }

    /// Whether the source is so far ahead that it has to wait for the others.
    pub(super) fn is_ahead(&self, source: usize) -> bool {
        let Some(reach) = self.reach() else { return false };
        self.cameras.iter().any(|c| c.source == source && !c.live && c.at > reach + MAX_AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn reference() -> (Reference, CameraId, CameraId) {
        let cameras = (CameraId::new("a").unwrap(), CameraId::new("b").unwrap());
        (Reference::new(vec![0, 1], Duration::from_secs(10)), cameras.0, cameras.1)
    }

    #[test]
    fn files_wait_for_the_slowest_camera() {
        let (mut r, a, b) = reference();
        assert_eq!(r.reach(), None);
        r.progress(0, &a, at(0), false);
        r.progress(0, &a, at(100), false);
        assert_eq!(r.reach(), Some(at(0)), "camera b has not spoken");
        assert!(r.is_ahead(0));
        r.progress(1, &b, at(90), false);
        assert_eq!(r.reach(), Some(at(90)));
        assert!(!r.is_ahead(0));
        r.ended(1);
        assert_eq!(r.reach(), Some(at(100)), "a camera that has ended holds nobody up");
    }

    #[test]
    fn a_live_camera_that_hangs_is_left_behind_until_it_has_caught_up() {
        let (mut r, a, b) = reference();
        r.progress(0, &a, at(5), true);
        r.progress(1, &b, at(5), true);
        r.progress(1, &b, at(15), true);
        assert_eq!(r.reach(), Some(at(5)));
        r.progress(1, &b, at(16), true);
        assert_eq!(r.reach(), Some(at(16)), "even the first camera, once it hangs");
        assert!(!r.is_ahead(1), "live media is never held back");
        r.progress(0, &a, at(14), true);
        assert_eq!(r.reach(), Some(at(14)));
    }

    #[test]
    fn a_live_camera_that_never_connects_does_not_stop_the_stream() {
        let (mut r, a, _) = reference();
        r.progress(0, &a, at(100), true);
        r.progress(0, &a, at(109), true);
        assert_eq!(r.reach(), Some(at(100)));
        r.progress(0, &a, at(111), true);
        assert_eq!(r.reach(), Some(at(111)));
    }
}
