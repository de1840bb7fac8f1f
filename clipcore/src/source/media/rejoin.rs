//! Files that were joined without care: their timestamps go back in the middle.
//!
//! With timestamps kept as they are, ffmpeg's muxer squeezes what follows into an instant. Read once more without, it
//! continues them over the joint, all tracks alike; what was recorded before the joint is left out the second time.

use crate::media::{Sample, Track};

/// What was seen of a file so far.
#[derive(Debug, Default)]
pub(super) struct Rejoin {
    /// The very first sample's track and decode time.
    first: Option<(usize, i64)>,
    /// The latest decode time of each track.
    reached: Vec<Option<i64>>,
    /// Set while the file is read again: how far its decode times must be moved, in microseconds, once known.
    again: Option<Option<i64>>,
}

impl Rejoin {
    /// The file is read from its beginning once more.
    pub(super) fn again(&mut self) {
        self.again = Some(None);
    }

    pub(super) fn is_again(&self) -> bool {
        self.again.is_some()
    }

    /// Takes what came; gives what was not there the first time, at its place.
    pub(super) fn admit(&mut self, tracks: &[Track], mut samples: Vec<Sample>) -> Vec<Sample> {
        if let Some(shift) = &mut self.again {
            let micros = |track: usize, ticks| tracks.get(track).map_or(0, |t: &Track| t.micros(ticks));
            if let (None, Some((track, dts))) = (*shift, self.first)
                && let Some(same) = samples.iter().find(|s| s.track == track)
            {
                *shift = Some(micros(track, dts - same.dts));
            }
            let by = shift.unwrap_or_default();
            for sample in &mut samples {
                let ticks = tracks.get(sample.track).map_or(0, |t| t.ticks(by));
                (sample.dts, sample.pts) = (sample.dts + ticks, sample.pts + ticks);
            }
            samples.retain(|s| self.reached.get(s.track).copied().flatten().is_none_or(|last| s.dts > last));
        }
        for sample in &samples {
            self.first.get_or_insert((sample.track, sample.dts));
            if self.reached.len() <= sample.track {
                self.reached.resize(sample.track + 1, None);
            }
            self.reached[sample.track] = self.reached[sample.track].max(Some(sample.dts));
        }
        samples
    }
}
