//! How far a stream's reference clock has come, from the progress of its cameras.

use std::time::Duration;

use crate::{CameraId, Timestamp};

/// How far a camera that is not live may run ahead of the stream before its source has to wait.
const MAX_AHEAD: Duration = Duration::from_secs(20);

/// How far a pool may be behind before somebody is told that nothing has come of it.
const SILENT: Duration = Duration::from_secs(10);

/// The progress of a stream's cameras.
///
/// The clock is the slowest running camera's progress, so that nothing any of them still says is late. The first camera
/// is the reference where they agree; a camera whose source has ended holds nobody up. A camera that falls
/// `max_lag` behind a *live* one (a lost connection, a tap that hangs) is left behind until it has caught up; one that
/// reads a file is held back instead, by not reading from its queue.
///
/// Pools of detectors in other processes look at what a camera has recorded. The clock waits for them, too, so that what
/// they find is not late: where the camera is live for at most their `max_lag`, else as long as it takes.
#[derive(Debug)]
pub(super) struct Reference {
    max_lag: Duration,
    cameras: Vec<Camera>,
    /// Sources that drive the clock and have not spoken.
    silent: Vec<usize>,
    /// Where the first camera to speak began.
    origin: Option<Timestamp>,
    pools: usize,
    max_pool_lag: Duration,
}

#[derive(Debug)]
struct Camera {
    source: usize,
    id: CameraId,
    at: Timestamp,
    live: bool,
    /// Its source is over; it stays for pools that have not seen all of it.
    ended: bool,
    pools: Vec<Watching>,
}

/// How far a pool has come with a camera.
#[derive(Debug, Clone, Copy)]
struct Watching {
    at: Timestamp,
    /// Whether it has said anything.
    spoke: bool,
    /// It has seen the end of the recording.
    over: bool,
}

/// What a person should know about a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lagging {
    /// Nothing has come of it, and the stream waits.
    Silent,
    /// The stream goes on without it.
    LeftBehind,
}

impl Camera {
    /// Up to where nobody will say anything any more.
    fn reach(&self, max_pool_lag: Duration) -> Timestamp {
        let awaited = self.pools.iter().filter(|p| !self.has_seen_all(p) && !self.leaves(p, max_pool_lag));
        awaited.map(|p| p.at).chain([self.at]).min().unwrap_or(self.at)
    }

    fn leaves(&self, pool: &Watching, max_pool_lag: Duration) -> bool {
        self.live && pool.at < self.at - max_pool_lag
    }

    /// That it has seen the end counts once it is the end: a recording also ends when its stream is only begun anew.
    fn has_seen_all(&self, pool: &Watching) -> bool {
        pool.over && self.ended
    }

    fn is_awaited(&self) -> bool {
        self.pools.iter().any(|pool| !pool.over)
    }
}

impl Reference {
    pub(super) fn new(clock_sources: Vec<usize>, max_lag: Duration) -> Self {
        Self {
            max_lag,
            cameras: Vec::new(),
            silent: clock_sources,
            origin: None,
            pools: 0,
            max_pool_lag: Duration::ZERO,
        }
    }

    /// Waits for so many pools.
    pub(super) fn with_pools(mut self, pools: usize, max_lag: Duration) -> Self {
        (self.pools, self.max_pool_lag) = (pools, max_lag);
        self
    }

    pub(super) fn progress(&mut self, source: usize, id: &CameraId, at: Timestamp, live: bool) {
        self.origin.get_or_insert(at);
        self.silent.retain(|s| *s != source);
        match self.cameras.iter_mut().find(|c| c.source == source && c.id == *id) {
            Some(camera) => {
                camera.at = camera.at.max(at);
                camera.live = live;
            }
            None => {
                let pools = vec![Watching { at, spoke: false, over: false }; self.pools];
                self.cameras.push(Camera { source, id: id.clone(), at, live, ended: false, pools });
            }
        }
    }

    /// A pool has come so far with a camera.
    pub(super) fn looked(&mut self, pool: usize, id: &CameraId, at: Timestamp, over: bool) {
        for camera in self.cameras.iter_mut().filter(|c| c.id == *id) {
            if let Some(watching) = camera.pools.get_mut(pool) {
                *watching = Watching { at: watching.at.max(at), spoke: true, over };
            }
        }
        self.cameras.retain(|c| !c.ended || c.is_awaited());
    }

    /// The source has ended.
    pub(super) fn ended(&mut self, source: usize) {
        self.silent.retain(|s| *s != source);
        self.cameras.retain(|c| c.source != source || c.is_awaited());
        for camera in self.cameras.iter_mut().filter(|c| c.source == source) {
            camera.ended = true;
        }
    }

    /// Whether a camera has ended of which pools have not seen all; and whether one of these was live.
    pub(super) fn awaited(&self) -> Option<bool> {
        let mut ended = self.cameras.iter().filter(|c| c.ended).peekable();
        ended.peek().is_some().then(|| ended.any(|c| c.live))
    }

    /// Nobody waits for the pools any more.
    pub(super) fn forsake(&mut self) {
        self.cameras.retain(|c| !c.ended);
    }

    /// What is to be said of a pool.
    pub(super) fn lagging(&self, pool: usize) -> Option<Lagging> {
        let mut lagging = None;
        for camera in &self.cameras {
            let Some(watching) = camera.pools.get(pool).filter(|w| !camera.has_seen_all(w)) else { continue };
            if camera.leaves(watching, self.max_pool_lag) {
                return Some(Lagging::LeftBehind);
            }
            if !watching.spoke && watching.at < camera.at - SILENT {
                lagging = Some(Lagging::Silent);
            }
        }
        lagging
    }

    /// How far the stream has come; `None` while nobody knows.
    pub(super) fn reach(&self) -> Option<Timestamp> {
        let front = self.cameras.iter().max_by_key(|c| c.at)?;
        let left_behind = if front.live { front.at - self.max_lag } else { Timestamp::MIN };
        let silent = self.origin.filter(|_| !self.silent.is_empty());
        let running = self.cameras.iter().filter(|c| c.at >= left_behind);
        let silent = silent.filter(|at| *at >= left_behind);
        running.map(|c| c.reach(self.max_pool_lag)).chain(silent).min()
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

    #[test]
    fn the_clock_waits_for_pools_and_goes_on_without_one_that_is_gone() {
        let main = CameraId::main();
        let mut r = Reference::new(vec![0], Duration::from_secs(10)).with_pools(2, Duration::from_secs(30));
        r.progress(0, &main, at(100), true);
        r.progress(0, &main, at(115), true);
        assert_eq!((r.reach(), r.lagging(1)), (Some(at(100)), Some(Lagging::Silent)));
        r.looked(0, &main, at(114), false);
        r.looked(1, &main, at(112), false);
        assert_eq!((r.reach(), r.lagging(1)), (Some(at(112)), None));
        r.looked(0, &main, at(143), false);
        r.progress(0, &main, at(143), true);
        assert_eq!((r.reach(), r.lagging(1)), (Some(at(143)), Some(Lagging::LeftBehind)));
        r.looked(1, &main, at(141), false);
        assert_eq!(r.reach(), Some(at(141)), "it has caught up");
    }

    #[test]
    fn a_file_waits_for_pools_as_long_as_it_takes_and_ends_when_they_have_seen_its_end() {
        let main = CameraId::main();
        let mut r = Reference::new(vec![0], Duration::from_secs(10)).with_pools(1, Duration::from_secs(30));
        r.progress(0, &main, at(0), false);
        r.progress(0, &main, at(90), false);
        assert!(r.is_ahead(0), "the file is held back");
        r.ended(0);
        r.looked(0, &main, at(60), false);
        assert_eq!((r.reach(), r.awaited()), (Some(at(60)), Some(false)));
        r.looked(0, &main, at(90), true);
        assert_eq!((r.reach(), r.awaited()), (None, None));
    }
}
