use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::k_weighting::{KWeighting, MIN_RATE, Memory, channel_weight};
use super::level::{LevelScore, LevelScoreState};
use super::state::{load, save};
use super::{Detector, DetectorInfo, NormalizerConfig, Output};
use crate::event::Stamped;
use crate::event::media::AudioWindow;
use crate::{Error, Result, Timestamp};

/// The step of the grid on which loudness is measured.
const HOP: Duration = Duration::from_millis(100);
/// Momentary loudness covers this many hops (400 ms).
const HOPS: usize = 4;
/// Timestamps may be this far off the count of samples before sound counts as interrupted.
const TOLERANCE_US: i64 = 20_000;

/// How [`Loudness`] and [`AudioLevelDetector`](super::AudioLevelDetector) are set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoudnessConfig {
    /// How the level is normalised.
    pub normalizer: NormalizerConfig,
    /// Signals below this z-score are not emitted.
    pub min_z: f64,
    /// Sound below this level is silence: it is neither learned nor judged.
    pub gate_lufs: f64,
}

impl Default for LoudnessConfig {
    fn default() -> Self {
        Self {
            normalizer: NormalizerConfig {
                tau_fast: Duration::from_millis(800),
                tau_slow: Duration::from_secs(60),
                warm_up: Duration::from_secs(10),
                winsor: 3.0,
                floor: 1.5,
                counts: false,
                // Windows of 400 ms every 100 ms.
                overlap: HOPS as f64,
                step_after: Duration::from_secs(20),
            },
            min_z: 1.0,
            gate_lufs: -60.0,
        }
    }
}

impl LoudnessConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.normalizer.validate()?;
        if !(self.min_z.is_finite() && self.min_z >= 0.0) {
            return Err(Error::config(format!("min_z of loudness is {}; it must be 0 or more", self.min_z)));
        }
        if !(-120.0..=0.0).contains(&self.gate_lufs) {
            return Err(Error::config(format!(
                "gate_lufs of loudness is {}; it must be from -120 to 0",
                self.gate_lufs
            )));
        }
        Ok(())
    }
}

/// Finds sound that is louder than usual.
///
/// Momentary loudness (EBU R128 / ITU-R BS.1770: K-weighted, 400 ms) every 100 ms of stream time, through a
/// [`Normalizer`](super::Normalizer) with time constants of 0.8 s and 60 s. While its z-score is at least
/// `min_z`, each hop gives a signal `loud` with that score, whose onset is where the loud run began.
///
/// It takes sound of any rate from 4 kHz and any number of channels, cut into windows of any length: only the
/// samples matter. A hole of more than 20 ms, or another rate or number of channels, starts the measurement
/// anew without forgetting the usual level; overlapping sound is heard once. Samples that are not numbers
/// count as silence. A signal comes out once time has been advanced to its instant, so after the last window
/// the caller advances to that window's end.
#[derive(Debug, Clone)]
pub struct Loudness {
    score: LevelScore,
    filter: Option<KWeighting>,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    score: LevelScoreState,
    run: Option<Run>,
    /// Energy and number of samples of the last whole hops.
    hops: VecDeque<(f64, u64)>,
    /// Scores, with instant and onset, that time has not reached yet.
    pending: VecDeque<(Timestamp, f64, Timestamp)>,
}

/// Uninterrupted sound.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    rate: u32,
    channels: u16,
    since: Timestamp,
    /// Samples per channel since then.
    samples: u64,
    filters: Vec<Memory>,
    /// The end of the open hop, in stream time and in samples, and what it has so far.
    hop_ends: Timestamp,
    hop_ends_sample: u64,
    energy: f64,
    in_hop: u64,
    /// The open hop began with its first sample.
    whole: bool,
}

impl Default for Loudness {
    fn default() -> Self {
        Self::with_valid(&LoudnessConfig::default())
    }
}

impl Loudness {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: LoudnessConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::with_valid(&config))
    }

    fn with_valid(config: &LoudnessConfig) -> Self {
        Self { score: LevelScore::with_valid(config, HOP), filter: None, state: State::default() }
    }

    /// Continues the sound, or begins anew where it is interrupted; gives how many frames were heard before.
    fn locate(&mut self, window: &AudioWindow, at: Timestamp) -> usize {
        if let Some(run) = &self.state.run
            && run.rate == window.rate
            && run.channels == window.channels
        {
            let off = at.micros_since(run.now());
            if off.abs() <= TOLERANCE_US {
                return 0;
            }
            if off < 0 {
                return (off.unsigned_abs() as u128 * u128::from(run.rate) / 1_000_000) as usize;
            }
        }
        let known = self.state.run.take();
        let overlap = known.map_or(0, |run| run.now().micros_since(at).max(0));
        let skip = (overlap as u128 * u128::from(window.rate)).div_ceil(1_000_000) as usize;
        let since = at.offset_micros(overlap);
        self.state.hops.clear();
        self.filter = Some(KWeighting::new(window.rate));
        let hop_ends = since.next_multiple(HOP);
        self.state.run = Some(Run {
            rate: window.rate,
            channels: window.channels,
            since,
            samples: 0,
            filters: vec![Memory::default(); usize::from(window.channels)],
            hop_ends,
            hop_ends_sample: samples_before(hop_ends, since, window.rate),
            energy: 0.0,
            in_hop: 0,
            whole: since.floor_to(HOP) == since,
        });
        skip
    }

    fn listen(&mut self, samples: &[f32]) {
        let (Some(run), Some(filter)) = (&mut self.state.run, &self.filter) else { return };
        let channels = usize::from(run.channels);
        let mut rest = samples;
        while !rest.is_empty() {
            let left = (run.hop_ends_sample - run.samples) as usize;
            let (now, later) = rest.split_at(rest.len().min(left * channels));
            for (channel, memory) in run.filters.iter_mut().enumerate() {
                let weight = channel_weight(channel, channels);
                if weight == 0.0 {
                    continue;
                }
                let mut energy = 0.0;
                for x in now.iter().skip(channel).step_by(channels) {
                    let x = if x.is_finite() { f64::from(x.clamp(-8.0, 8.0)) } else { 0.0 };
                    let y = filter.run(memory, x);
                    energy += y * y;
                }
                run.energy += weight * energy;
            }
            let frames = (now.len() / channels) as u64;
            run.samples += frames;
            run.in_hop += frames;
            rest = later;
            if run.samples == run.hop_ends_sample {
                let level = run.close_hop(&mut self.state.hops);
                if let Some((at, level)) = level
                    && let Some((z, onset)) = self.score.update(at, level)
                {
                    self.state.pending.push_back((at, z, onset));
                }
            }
        }
    }
}

/// How many samples of sound that starts at `since` lie before `end`.
fn samples_before(end: Timestamp, since: Timestamp, rate: u32) -> u64 {
    (u128::from(end.micros_since(since).unsigned_abs()) * u128::from(rate)).div_ceil(1_000_000) as u64
}

impl Run {
    /// The instant just after the last sample.
    fn now(&self) -> Timestamp {
        let heard = u128::from(self.samples) * 1_000_000 / u128::from(self.rate);
        self.since.offset_micros(i64::try_from(heard).unwrap_or(i64::MAX))
    }

    /// Ends the open hop; gives the momentary loudness in LUFS where there is enough sound for one.
    fn close_hop(&mut self, hops: &mut VecDeque<(f64, u64)>) -> Option<(Timestamp, f64)> {
        let at = self.hop_ends;
        if self.whole {
            hops.push_back((self.energy, self.in_hop));
        }
        if hops.len() > HOPS {
            hops.pop_front();
        }
        self.filters.iter_mut().for_each(Memory::flush);
        (self.energy, self.in_hop, self.whole) = (0.0, 0, true);
        self.hop_ends += HOP;
        self.hop_ends_sample = samples_before(self.hop_ends, self.since, self.rate);
        let (energy, samples) = hops.iter().fold((0.0, 0), |(e, n), hop| (e + hop.0, n + hop.1));
        (hops.len() == HOPS).then(|| (at, -0.691 + 10.0 * (energy / samples as f64).log10()))
    }
}

impl Detector for Loudness {
    type Input = AudioWindow;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("loudness", &["loud"])
    }

    fn detect(&mut self, event: &Stamped<AudioWindow>, _out: &mut Output) {
        let window = &event.data;
        if window.rate < MIN_RATE || window.channels == 0 {
            return;
        }
        let channels = usize::from(window.channels);
        let heard = self.locate(window, event.at).min(window.frames());
        self.listen(&window.samples[heard * channels..window.frames() * channels]);
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        while self.state.pending.front().is_some_and(|(at, ..)| *at <= to) {
            if let Some((at, z, onset)) = self.state.pending.pop_front() {
                out.signal("loud", at, onset, z);
            }
        }
    }

    fn reset(&mut self) {
        self.score.reset();
        self.filter = None;
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        save(&State { score: self.score.state(), ..self.state.clone() })
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state: State = load(state, "loudness")?;
        self.filter = state.run.as_ref().map(|run| KWeighting::new(run.rate));
        self.score.restore(state.score.clone());
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
