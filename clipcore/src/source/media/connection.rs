//! What is known about one connection, and how its samples are mended.

use super::timeline::JUMP_US;
use crate::media::h264::{self, AvcConfig};
use crate::media::{Sample, Track, TrackKind};

/// Without an IDR for this long, pictures that ffmpeg calls keyframes are taken for places where decoding can begin.
const IDR_PATIENCE_US: i64 = 12_000_000;
/// Over so much media the pace of a live input is measured.
const PACE_US: i64 = 2_000_000;

/// What is known about a connection.
pub(super) struct Connection {
    pub(super) tracks: Vec<Track>,
    /// Bytes of a NAL unit's length prefix, for tracks of H.264.
    pub(super) length_sizes: Vec<Option<usize>>,
    pub(super) first: bool,
    pub(super) epoch: Option<u32>,
    /// Stream time and arrival of the sample from which on the pace is measured.
    pub(super) paced_us: Option<(i64, i64)>,
    /// It comes much faster than in real time: a playlist of the past.
    pub(super) hurries: bool,
    pub(super) last_idr_us: Option<i64>,
    /// Steps of a single tick in a row: ffmpeg bends timestamps that went back.
    pub(super) bent: u32,
    pub(super) last_dts: Option<i64>,
    pub(super) last_at_us: i64,
    /// The latest duration of each track, in ticks.
    pub(super) durations: Vec<u32>,
    pub(super) told_bent: bool,
}

impl Connection {
    pub(super) fn new(tracks: Vec<Track>) -> Self {
        let length_size = |t: &Track| {
            t.is_h264().then(|| AvcConfig::parse(&t.config).ok()).flatten().map(|config| config.length_size)
        };
        Self {
            length_sizes: tracks.iter().map(length_size).collect(),
            durations: vec![0; tracks.len()],
            tracks,
            first: true,
            epoch: None,
            paced_us: None,
            hurries: false,
            last_idr_us: None,
            bent: 0,
            last_dts: None,
            last_at_us: 0,
            told_bent: false,
        }
    }

    /// A muxer takes the way to the next sample for a duration; before a jump that is nonsense.
    pub(super) fn mend_duration(&mut self, track: &Track, sample: &mut Sample) {
        let usual = &mut self.durations[sample.track];
        if track.micros(i64::from(sample.duration)) > JUMP_US {
            sample.duration = *usual;
        }
        *usual = sample.duration;
    }

    pub(super) fn note_pace(&mut self, at_us: i64, arrival_us: i64) {
        let (at, arrival) = *self.paced_us.get_or_insert((at_us, arrival_us));
        let media = at_us.saturating_sub(at);
        // Sound and pictures do not come in step.
        if !(-PACE_US..PACE_US).contains(&media) {
            self.hurries = media > arrival_us.saturating_sub(arrival).saturating_mul(2);
            self.paced_us = Some((at_us, arrival_us));
        }
    }

    pub(super) fn note_bent(&mut self, track: &Track, sample: &Sample) {
        if track.kind != TrackKind::Video && self.tracks.len() > 1 {
            return;
        }
        // The muxer scales ticks up to at least 10 kHz, so one tick of the input may be a few of ours.
        let one_tick = i64::from(track.timescale / 1000).max(1);
        match self.last_dts.replace(sample.dts) {
            Some(last) if (1..=one_tick).contains(&(sample.dts - last)) => self.bent += 1,
            _ => self.bent = 0,
        }
    }

    /// ffmpeg calls recovery points keyframes too; copying can begin at an IDR only.
    pub(super) fn mark_sync(&mut self, track: &Track, sample: &mut Sample, at_us: i64) {
        let Some(length_size) = self.length_sizes[sample.track].filter(|_| track.is_h264()) else { return };
        if !sample.sync {
            return;
        }
        if h264::is_idr(&sample.data, length_size) {
            self.last_idr_us = Some(at_us);
        } else {
            sample.sync = self.last_idr_us.is_none_or(|last| at_us - last > IDR_PATIENCE_US);
        }
    }
}
