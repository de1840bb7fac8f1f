//! The first picture of an RTSP connection, whose time ffmpeg loses.

use crate::media::{Sample, Track, TrackKind};

/// No codec shows a picture after more than this many others that are coded later.
const MAX_REORDER: usize = 16;
/// Sound that comes before any picture is held back up to this many packets, some ten seconds.
const MAX_HELD: usize = 512;

/// Gives the first picture of a connection its place again.
///
/// RTP carries presentation times only, and ffmpeg's parser drops that of the first picture; the muxer then shows it
/// when it is decoded. Where pictures are reordered that is too early, so that it would stand alone for some
/// frames. Its place is one frame before the earliest of those that follow it. What comes is held back until that is known:
/// one picture, and as many more as are reordered. Of a connection that ends within them nothing is kept; one that brings
/// sound only, though it speaks of pictures, is not held up for long.
#[derive(Debug, Default)]
pub(super) struct FirstPicture {
    held: Vec<Sample>,
    known: bool,
}

impl FirstPicture {
    /// Takes what came; gives what may go on, in the same order.
    pub(super) fn admit(&mut self, tracks: &[Track], samples: Vec<Sample>) -> Vec<Sample> {
        if self.known {
            return samples;
        }
        self.held.extend(samples);
        let is_video = |s: &Sample| tracks.get(s.track).is_some_and(|t| t.kind == TrackKind::Video);
        if !tracks.iter().any(|t| t.kind == TrackKind::Video) {
            return self.release();
        }
        let Some(first) = self.held.iter().position(is_video) else {
            return if self.held.len() > MAX_HELD { self.release() } else { Vec::new() };
        };
        let later: Vec<&Sample> = self.held[first + 1..].iter().filter(|s| is_video(s)).collect();
        let Some(earliest) = later.iter().map(|s| s.pts).min() else { return Vec::new() };
        // Whatever is decoded from here on is shown later still.
        let settled = later.iter().any(|s| s.dts >= earliest) || later.len() > MAX_REORDER;
        if !settled {
            return Vec::new();
        }
        let frame = later[0].dts - self.held[first].dts;
        let lost = &mut self.held[first];
        if lost.sync && lost.pts == lost.dts {
            lost.pts = lost.pts.max(earliest - frame);
        }
        self.release()
    }

    fn release(&mut self) -> Vec<Sample> {
        self.known = true;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn track(kind: TrackKind) -> Track {
        Track {
            kind,
            timescale: 90_000,
            fourcc: *b"avc1",
            stsd: Bytes::new(),
            width: 0,
            height: 0,
            channels: 0,
            sample_rate: 0,
            config: Bytes::new(),
        }
    }

    fn sample(track: usize, dts: i64, pts: i64) -> Sample {
        Sample { track, dts, pts, duration: 3000, sync: dts == pts, data: Bytes::new() }
    }

    /// Shows the pictures' times after mending, sample by sample.
    fn mended(samples: Vec<Sample>) -> Vec<i64> {
        let tracks = [track(TrackKind::Video), track(TrackKind::Audio)];
        let mut first = FirstPicture::default();
        let out: Vec<Sample> = samples.into_iter().flat_map(|s| first.admit(&tracks, vec![s])).collect();
        assert!(first.known, "something is held back for ever");
        out.into_iter().filter(|s| s.track == 0).map(|s| s.pts).collect()
    }

    #[test]
    fn a_first_picture_shown_when_decoded_gets_its_place_before_those_that_follow() {
        let shown = [(-6000, -6000), (-3000, 9000), (0, 3000), (3000, 6000), (6000, 18000), (9000, 12000)];
        let mut samples: Vec<Sample> = shown.iter().map(|(dts, pts)| sample(0, *dts, *pts)).collect();
        samples.insert(1, sample(1, 0, 0));
        assert_eq!(mended(samples), [0, 9000, 3000, 6000, 18000, 12000]);
    }

    #[test]
    fn without_reordering_nothing_moves() {
        let samples = (0..5).map(|n| sample(0, n * 3000, n * 3000)).collect();
        assert_eq!(mended(samples), [0, 3000, 6000, 9000, 12000]);
    }

    #[test]
    fn a_first_picture_whose_time_was_not_lost_stays() {
        let shown = [(-6000, 0), (-3000, 9000), (0, 3000), (3000, 6000)];
        assert_eq!(
            mended(shown.iter().map(|(dts, pts)| sample(0, *dts, *pts)).collect()),
            [0, 9000, 3000, 6000]
        );
    }

    #[test]
    fn sound_is_not_held_back_for_ever_where_no_picture_comes() {
        let tracks = [track(TrackKind::Video), track(TrackKind::Audio)];
        let mut first = FirstPicture::default();
        let out: usize = (0..5000).map(|n| first.admit(&tracks, vec![sample(1, n, n)]).len()).sum();
        assert_eq!(out, 5000);
    }

    #[test]
    fn sound_alone_is_not_held_back() {
        let mut first = FirstPicture::default();
        assert_eq!(first.admit(&[track(TrackKind::Audio)], vec![sample(0, 0, 0)]).len(), 1);
    }
}
