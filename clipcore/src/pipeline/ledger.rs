//! What has been decided and has not yet reached everybody: part of every checkpoint, so that a crash
//! loses no delivery and repeats none that was acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cutter::{Clip, ClipState};
use crate::fusion::{Moment, MomentState};
use crate::sink::Delivery;
use crate::{CameraId, Timestamp};

/// An item that some sink has not acknowledged.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Owed {
    item: Arc<Delivery>,
    /// The sinks that are to get it in this run.
    sinks: BTreeSet<Arc<str>>,
    /// The sinks that failed in a way that may pass: they get it again after a restart.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    parked: BTreeSet<Arc<str>>,
    /// A ready clip of which only the record is known; its cutter will say where the file lies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
}

/// A moment whose clips are not all done, or were lately.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {
    /// Its latest transition.
    moment: Moment,
    /// The latest transition of its clip on each camera, and whether there is or will never be a file.
    clips: BTreeMap<CameraId, (u32, bool)>,
}

/// So many moments are remembered after their clips are done: a clip's pictures follow it after a while.
const REMEMBERED: usize = 64;

/// The ledger of one stream.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    owed: VecDeque<Owed>,
    work: BTreeMap<Arc<str>, Work>,
}

/// An item that a sink is to get.
pub(super) type Due = (Arc<str>, Arc<Delivery>);

/// What a clip's transition means to the ledger.
#[derive(Debug, PartialEq)]
pub(super) struct ClipNews {
    /// Not seen before: to be logged, and delivered to every sink.
    pub(super) new: bool,
    /// The file was not there before.
    pub(super) ready: bool,
    /// Logged by an earlier run and now deliverable.
    pub(super) due: Vec<Due>,
}

impl Ledger {
    /// How many items wait for a sink in this run.
    pub(super) fn pending(&self) -> usize {
        self.owed.iter().filter(|o| !o.sinks.is_empty() && !o.held).count()
    }

    /// Notes that `sinks` are to get `item`.
    pub(super) fn owe(&mut self, item: Arc<Delivery>, sinks: &[Arc<str>], held: bool) {
        if !sinks.is_empty() {
            let sinks = sinks.iter().cloned().collect();
            self.owed.push_back(Owed { item, sinks, parked: BTreeSet::new(), held });
        }
    }

    /// `sink` has the item, or will never have it.
    pub(super) fn settle(&mut self, item: &str, rev: u32, sink: &str) {
        if let Some(index) = self.find(item, rev) {
            let owed = &mut self.owed[index];
            owed.sinks.remove(sink);
            owed.parked.remove(sink);
            if owed.sinks.is_empty() && owed.parked.is_empty() {
                self.owed.remove(index);
            }
        }
    }

    /// `sink` failed on the item in a way that may pass. Keeps at most `limit` such items; says how many
    /// had to be forgotten.
    pub(super) fn park(&mut self, item: &str, rev: u32, sink: &str, limit: usize) -> u64 {
        if let Some(index) = self.find(item, rev) {
            let owed = &mut self.owed[index];
            if let Some(sink) = owed.sinks.take(sink) {
                owed.parked.insert(sink);
            }
        }
        let is_parked = |o: &Owed| o.sinks.is_empty() && !o.parked.is_empty();
        let excess = self.owed.iter().filter(|o| is_parked(o)).count().saturating_sub(limit);
        for _ in 0..excess {
            if let Some(oldest) = self.owed.iter().position(is_parked) {
                self.owed.remove(oldest);
            }
        }
        excess as u64
    }

    fn find(&self, item: &str, rev: u32) -> Option<usize> {
        self.owed.iter().position(|o| o.item.rev() == rev && **o.item.item() == *item)
    }

    /// A moment's transition was logged: cutters have work while it lives.
    pub(super) fn moment(&mut self, moment: &Moment, has_cutters: bool) {
        if moment.state == MomentState::Dropped {
            self.work.remove(&moment.id);
        } else if has_cutters {
            self.work
                .entry(moment.id.clone())
                .and_modify(|work| work.moment = moment.clone())
                .or_insert_with(|| Work { moment: moment.clone(), clips: BTreeMap::new() });
        }
    }

    /// A cutter reported a clip: whether it is news, and who still lacks it.
    pub(super) fn clip(&mut self, clip: &Clip, file: Option<&PathBuf>) -> ClipNews {
        let rev = Delivery::Clip { clip: clip.clone(), file: None }.rev();
        let known = self.work.get(&clip.moment).and_then(|w| w.clips.get(&clip.camera));
        // Transitions rise; a cutter that is told a moment again says the earlier ones again.
        let new = known.is_none_or(|(latest, _)| rev > *latest);
        let ready = new && clip.state == ClipState::Ready && known.is_none_or(|(_, done)| !done);
        if new {
            self.logged_clip(clip);
        }
        let mut due = Vec::new();
        for owed in self.owed.iter_mut().filter(|o| o.held && *o.item.item() == clip.id) {
            if let Delivery::Clip { clip: logged, .. } = &*owed.item
                && clip.state == ClipState::Ready
            {
                owed.held = false;
                owed.item = Arc::new(Delivery::Clip { clip: logged.clone(), file: file.cloned() });
                due.extend(owed.sinks.iter().map(|sink| (sink.clone(), owed.item.clone())));
            }
        }
        if clip.state == ClipState::Failed {
            // A file that had been ready and is so no more will not be found again either.
            self.owed.retain(|o| !(o.held && *o.item.item() == clip.id));
        }
        ClipNews { new, ready, due }
    }

    /// A clip's record stands in the log.
    pub(super) fn logged_clip(&mut self, clip: &Clip) {
        if let Some(work) = self.work.get_mut(&clip.moment) {
            let rev = Delivery::Clip { clip: clip.clone(), file: None }.rev();
            work.clips.insert(clip.camera.clone(), (rev, clip.state != ClipState::Pending));
        }
    }

    /// `camera` will make no clip of the moment.
    pub(super) fn no_clip(&mut self, moment: &str, camera: &CameraId) {
        if let Some(work) = self.work.get_mut(moment) {
            work.clips.insert(camera.clone(), (0, true));
        }
    }

    /// Forgets moments whose clips on all of `cameras` are done, but for the latest ones.
    pub(super) fn sweep(&mut self, cameras: &[CameraId]) {
        if self.work.len() <= REMEMBERED {
            return;
        }
        let mut done: Vec<(Timestamp, Arc<str>)> = self
            .work
            .iter()
            .filter(|(_, w)| w.moment.state == MomentState::Closed && cameras.iter().all(|c| w.is_done(c)))
            .map(|(id, w)| (w.moment.decided_at, id.clone()))
            .collect();
        done.sort();
        let excess = done.len().saturating_sub(REMEMBERED);
        for (_, id) in done.drain(..excess) {
            self.work.remove(&id);
        }
    }

    /// After a restart: what each sink still lacks, oldest first. Sinks that are no longer there are struck out.
    pub(super) fn resume(&mut self, sinks: &[Arc<str>]) -> Vec<Due> {
        let mut due = Vec::new();
        for owed in &mut self.owed {
            owed.sinks.append(&mut owed.parked);
            owed.sinks.retain(|sink| sinks.contains(sink));
            if !owed.held {
                due.extend(owed.sinks.iter().map(|sink| (sink.clone(), owed.item.clone())));
            }
        }
        self.owed.retain(|owed| !owed.sinks.is_empty());
        due
    }

    /// After a restart: the moments that the cutter of `camera` is to be told again.
    pub(super) fn unfinished(&self, camera: &CameraId) -> Vec<Moment> {
        let wants_file = |moment: &str| {
            self.owed.iter().any(|o| {
                o.held
                    && matches!(&*o.item, Delivery::Clip { clip, .. }
                        if *clip.moment == *moment && clip.camera == *camera)
            })
        };
        let mut moments: Vec<Moment> = self
            .work
            .values()
            .filter(|w| !w.is_done(camera) || wants_file(&w.moment.id))
            .map(|w| w.moment.clone())
            .collect();
        moments.sort_by(|a, b| (a.decided_at, &a.id).cmp(&(b.decided_at, &b.id)));
        moments
    }
}

impl Work {
    fn is_done(&self, camera: &CameraId) -> bool {
        self.clips.get(camera).is_some_and(|(_, done)| *done)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moment(n: i64, state: MomentState) -> Moment {
        let json = json!({
            "id": format!("m{n}"), "rev": 1, "stream": "s", "state": state, "start": n, "peak": n, "end": n + 5,
            "decided_at": n + 5, "score": 1.0, "label": "loud", "evidence": [],
        });
        serde_json::from_value(json).unwrap()
    }

    fn clip(n: i64, state: &str, pictures: bool) -> Clip {
        let mut json = json!({
            "id": format!("c{n}"), "moment": format!("m{n}"), "rev": 1, "stream": "s", "camera": "main",
            "state": state, "asked": {"start": n, "end": n + 5}, "exact": true, "reasons": [],
        });
        if pictures {
            json["thumbnail"] = json!("clips/c.jpg");
        }
        serde_json::from_value(json).unwrap()
    }

    fn item(clip: Clip, file: Option<&str>) -> Arc<Delivery> {
        Arc::new(Delivery::Clip { clip, file: file.map(PathBuf::from) })
    }

    fn restarted(ledger: &Ledger) -> Ledger {
        serde_json::from_str(&serde_json::to_string(ledger).unwrap()).unwrap()
    }

    #[test]
    fn pictures_that_were_logged_and_not_delivered_get_their_file_from_the_cutter() {
        let sinks: [Arc<str>; 1] = ["files".into()];
        let mut ledger = Ledger::default();
        ledger.moment(&moment(1, MomentState::Closed), true);
        for (state, pictures) in [("pending", false), ("ready", false)] {
            assert!(ledger.clip(&clip(1, state, pictures), None).new);
        }
        ledger.sweep(&[CameraId::main()]);
        // The process dies after this record, before any sink has it.
        let mut ledger = restarted(&ledger);
        let pictures = clip(1, "ready", true);
        ledger.logged_clip(&pictures);
        ledger.owe(item(pictures.clone(), None), &sinks, true);
        assert!(ledger.resume(&sinks).is_empty(), "nothing is delivered without its file");
        assert_eq!(ledger.unfinished(&CameraId::main()), [moment(1, MomentState::Closed)]);
        // The cutter starts over.
        let file = PathBuf::from("/clips/c.mp4");
        assert_eq!(
            ledger.clip(&clip(1, "pending", false), None),
            ClipNews { new: false, ready: false, due: vec![] }
        );
        let news = ledger.clip(&clip(1, "ready", false), Some(&file));
        assert!(!news.new && !news.ready);
        assert_eq!(news.due, [("files".into(), item(pictures.clone(), Some("/clips/c.mp4")))]);
        assert!(!ledger.clip(&pictures, Some(&file)).new);
        ledger.settle("c1", 2, "files");
        assert_eq!(ledger.pending(), 0);
        assert!(ledger.unfinished(&CameraId::main()).is_empty());
    }

    #[test]
    fn failures_that_may_pass_are_kept_for_a_restart_up_to_a_limit() {
        let sinks: [Arc<str>; 2] = ["up".into(), "down".into()];
        let mut ledger = Ledger::default();
        for n in 0..5 {
            ledger.owe(Arc::new(Delivery::Moment(moment(n, MomentState::Closed))), &sinks, false);
            ledger.settle(&format!("m{n}"), 1, "up");
            let forgotten = ledger.park(&format!("m{n}"), 1, "down", 3);
            assert_eq!(forgotten, u64::from(n >= 3));
        }
        assert_eq!(ledger.pending(), 0, "they hold up nothing in this run");
        let mut ledger = restarted(&ledger);
        let due: Vec<_> = ledger.resume(&sinks).iter().map(|(s, d)| format!("{s} {}", d.item())).collect();
        assert_eq!(due, ["down m2", "down m3", "down m4"]);
        let mut gone = restarted(&ledger);
        assert!(gone.resume(&sinks[..1]).is_empty(), "a sink that is no longer there is owed nothing");
        assert_eq!(gone.pending(), 0);
    }

    #[test]
    fn finished_work_is_forgotten_and_unfinished_work_is_not() {
        let main = CameraId::main();
        let mut ledger = Ledger::default();
        for n in 0..200 {
            ledger.moment(&moment(n, MomentState::Closed), true);
            if n != 7 {
                ledger.clip(&clip(n, "failed", false), None);
            }
            ledger.sweep(std::slice::from_ref(&main));
        }
        assert_eq!(ledger.work.len(), REMEMBERED + 1);
        assert_eq!(ledger.unfinished(&main), [moment(7, MomentState::Closed)]);
        ledger.moment(&moment(7, MomentState::Dropped), true);
        assert!(ledger.unfinished(&main).is_empty());
    }
}
