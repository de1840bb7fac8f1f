use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detector::Signal;
use crate::eval::Label;
use crate::rng::Rng;
use crate::{StreamId, Timestamp};

/// How one detector of sound or faces answers to highlights and errs. Times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModalityConfig {
    /// The detector's name in the signals.
    pub detector: String,
    /// The labels it gives; a highlight or an error gets one of them at random.
    pub labels: Vec<String>,
    /// Share of highlights that it hears or sees.
    pub hit_share: f64,
    /// Earliest and latest onset after a highlight's start.
    pub onset: [f64; 2],
    /// Shortest and longest time that it lasts.
    pub hold: [f64; 2],
    /// Time between two signals while it lasts.
    pub hop: f64,
    /// Mean and standard deviation of the score in the middle of a highlight.
    pub score: [f64; 2],
    /// Errors an hour, at random instants.
    pub errors_per_hour: f64,
    /// Mean and standard deviation of the score in the middle of an error.
    pub error_score: [f64; 2],
    /// Scores below this are not emitted.
    pub min_score: f64,
    /// Name of an earlier modality that it depends on: where that one errs, this one errs too with a probability of
    /// one half, as loudness does on what fools an audio tagger; and hits and misses are shared likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<String>,
}

/// Generators of audio and face signals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalsConfig {
    /// One entry a detector.
    pub modalities: Vec<ModalityConfig>,
}

impl Default for SignalsConfig {
    /// An audio tagger, the loudness that depends on it, and a face detector.
    fn default() -> Self {
        let texts = |labels: &[&str]| labels.iter().map(|&l| l.to_owned()).collect();
        let tagger = ModalityConfig {
            detector: "audio_tagger".into(),
            labels: texts(&["laughter", "cheer", "applause", "scream"]),
            hit_share: 0.7,
            onset: [0.5, 5.0],
            hold: [1.5, 5.0],
            hop: 0.5,
            score: [4.0, 1.2],
            errors_per_hour: 10.0,
            error_score: [3.0, 1.0],
            min_score: 1.0,
            follows: None,
        };
        let loudness = ModalityConfig {
            detector: "loudness".into(),
            labels: texts(&["loud"]),
            hit_share: 0.6,
            errors_per_hour: 14.0,
            follows: Some("audio_tagger".into()),
            ..tagger.clone()
        };
        let face = ModalityConfig {
            detector: "face".into(),
            labels: texts(&["happy", "surprise"]),
            hit_share: 0.5,
            onset: [1.0, 6.0],
            hop: 0.2,
            score: [3.5, 1.0],
            errors_per_hour: 8.0,
            error_score: [2.8, 0.8],
            ..tagger.clone()
        };
        Self { modalities: vec![tagger, loudness, face] }
    }
}

impl SignalsConfig {
    /// Signals on `stream` of `length` seconds with these highlights, sorted as fusion sees them.
    ///
    /// Labels of other streams are passed over. The same seed gives the same signals.
    pub fn sample(&self, stream: &StreamId, length: f64, highlights: &[Label], seed: u64) -> Vec<Signal> {
        let highlights: Vec<&Label> = highlights.iter().filter(|l| l.stream == *stream).collect();
        let mut done: BTreeMap<&str, (Vec<bool>, Vec<f64>)> = BTreeMap::new();
        let mut signals = Vec::new();
        for m in &self.modalities {
            let mut rng = Rng::fork(seed, &format!("{stream}/{}", m.detector));
            let leader = m.follows.as_deref().and_then(|name| done.get(name));
            let hits: Vec<bool> = (0..highlights.len())
                .map(|i| match leader {
                    // Half the time the same as the leader, else on its own: correlated, not identical.
                    Some((hits, _)) if rng.chance(0.5) => hits[i] || rng.chance(m.hit_share / 2.0),
                    _ => rng.chance(m.hit_share),
                })
                .collect();
            let mut errors: Vec<f64> = (0..rng.poisson(m.errors_per_hour * length / 3600.0))
                .map(|_| rng.between(0.0, length))
                .collect();
            if let Some((_, shared)) = leader {
                errors.truncate(errors.len().saturating_sub(shared.len() / 2));
                errors.extend(shared.iter().filter(|_| rng.chance(0.5)));
            }
            for (label, _) in highlights.iter().zip(&hits).filter(|(_, hit)| **hit) {
                let onset = label.start.as_secs_f64() + rng.between(m.onset[0], m.onset[1]);
                m.burst(stream, onset, m.score, &mut rng, &mut signals);
            }
            for &onset in &errors {
                m.burst(stream, onset, m.error_score, &mut rng, &mut signals);
            }
            done.insert(&m.detector, (hits, errors));
        }
        signals.retain(|s| s.at.as_secs_f64() < length);
        signals.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        signals.dedup_by(|a, b| a.id == b.id);
        signals
    }
}

impl ModalityConfig {
    fn burst(&self, stream: &StreamId, onset: f64, score: [f64; 2], rng: &mut Rng, out: &mut Vec<Signal>) {
        let Some(label) = self.labels.get(rng.below(self.labels.len())) else { return };
        let hop = (self.hop * 1e6).max(1e4) as i64;
        let tick = |secs: f64| (secs * 1e6) as i64 / hop;
        let hold = rng.between(self.hold[0], self.hold[1]);
        let strength = score[0] + score[1] * rng.normal();
        let mut began = None;
        for k in tick(onset) + 1..=tick(onset + hold) {
            let at = Timestamp::from_micros(k * hop);
            let along = ((at.as_secs_f64() - onset) / hold).clamp(0.0, 1.0);
            // Up, a plateau, and down again, with noise from hop to hop.
            let shape = (std::f64::consts::PI * along).sin().sqrt();
            let now = strength * shape + 0.3 * rng.normal();
            if now < self.min_score {
                continue;
            }
            let began = *began.get_or_insert(at);
            out.push(Signal::new(
                stream.clone(),
                None,
                self.detector.as_str().into(),
                1,
                label,
                at,
                began,
                now,
            ));
        }
    }
}
