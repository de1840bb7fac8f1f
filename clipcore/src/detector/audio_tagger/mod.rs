use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::{load, save};
use super::tape::Tape;
use super::{Detector, DetectorInfo, Output};
use crate::event::Stamped;
use crate::event::media::Audio16k;
use crate::model::Response;
use crate::model::card::Card;
use crate::{Error, Result, Timestamp};

mod tagger;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod track;

pub use tagger::Tagger;
pub(super) use tagger::log_odds;
use track::Track;

/// Steps that may wait for an answer or for their time.
const MAX_STEPS: usize = 1024;

/// How [`AudioTagger`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioTaggerConfig {
    /// From one question to the next; instants are multiples of it.
    #[serde(with = "crate::config::secs")]
    pub hop: Duration,
    /// How much sound a score is about: the model's patches within it are averaged.
    #[serde(with = "crate::config::secs")]
    pub window: Duration,
    /// How long a score must have been high enough.
    #[serde(with = "crate::config::secs")]
    pub hold: Duration,
    /// How far back the usual level looks.
    #[serde(with = "crate::config::secs")]
    pub baseline: Duration,
    /// The usual level counts as at least this, in log-odds: what is never heard does not make a faint trace of it news.
    pub baseline_floor: f64,
    /// Signals with a score below this are not emitted.
    pub min_score: f64,
    /// Patches whose level is below this, in decibels of full scale, are silence: the model is not asked.
    pub gate_db: f64,
    /// Whether labels that are no evidence (speech, music) are emitted too.
    pub context: bool,
}

impl Default for AudioTaggerConfig {
    fn default() -> Self {
        Self {
            hop: Duration::from_millis(500),
            window: Duration::from_secs(2),
            hold: Duration::from_secs(1),
            baseline: Duration::from_secs(60),
            baseline_floor: -2.0,
            min_score: 1.0,
            gate_db: -55.0,
            context: false,
        }
    }
}

impl AudioTaggerConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming what is out of range.
    pub fn validate(&self) -> Result<()> {
        track::validate(self).map_err(|why| Error::config(format!("audio_tagger: {why}")))
    }
}

/// Finds laughter, cheers, applause and whatever else a sound model's card names.
///
/// On a grid of stream time (every `hop`), the patch of sound before each instant goes to the model; the answer becomes one
/// log-odds per group of the card. A label's score is the mean of these over `window`, less the median of that mean
/// over the last `baseline`, where the latter counts at least as `baseline_floor`. While the score has been at least
/// `min_score` for `hold`, each hop gives a signal. Holding is what keeps short sounds that resemble laughter out (measured on
/// Gillick et al. 2021: 0.2 s gives 364 false alarms an hour, 1 s 109, 2 s 38).
///
/// Silence costs nothing: a patch below `gate_db` is not asked about. A hole of more than 20 ms begins anew without
/// forgetting what is usual. A signal comes out once time has been advanced to its instant.
///
/// Its snapshot holds the last patch of sound; nothing in clipcore writes the state of a media detector to disk.
#[derive(Debug, Clone)]
pub struct AudioTagger {
    config: AudioTaggerConfig,
    tagger: Tagger,
    /// Patches that are averaged.
    patches: usize,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    tape: Tape,
    /// The next instant of the grid.
    next: Option<Timestamp>,
    steps: VecDeque<Step>,
    tracks: Vec<Track>,
    /// The latest instant that was judged.
    judged: Option<Timestamp>,
}

/// An instant of the grid, and what the model said of the patch before it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Step {
    at: Timestamp,
    heard: Heard,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Heard {
    Silence,
    /// The model has been asked.
    Asked,
    Logits(Vec<f64>),
}

impl AudioTagger {
    /// A detector of what `card` names, that asks the model of the card's name.
    ///
    /// # Errors
    /// `Config` for settings out of range, or a card that is not of an audio tagger at 16 kHz.
    pub fn try_new(card: &Card, config: AudioTaggerConfig) -> Result<Self> {
        config.validate()?;
        let rate = u128::from(Audio16k::RATE);
        let samples = |d: Duration| (d.as_micros() * rate / 1_000_000) as usize;
        let tagger = Tagger::try_new(card, samples(config.window))?;
        let patches = 1 + samples(config.window).saturating_sub(tagger.patch) / samples(config.hop);
        let mut this = Self { config, tagger, patches, state: State::default() };
        this.reset();
        Ok(this)
    }

    /// The name of the model that it asks.
    pub fn model(&self) -> &str {
        &self.tagger.model
    }

    /// Asks about every patch that is complete.
    fn ask(&mut self, out: &mut Output) {
        let (Some(now), Some(mut at)) = (self.state.tape.now(), self.state.next) else { return };
        while at <= now && self.state.steps.len() < MAX_STEPS {
            if let Some((place, samples)) = self.state.tape.before(at, self.tagger.patch) {
                let heard = if level_db(samples) < self.config.gate_db {
                    Heard::Silence
                } else {
                    if let Some(input) = self.tagger.input(place, samples) {
                        out.request(&self.tagger.model, at.as_micros() as u64, at, input);
                    }
                    Heard::Asked
                };
                self.state.steps.push_back(Step { at, heard });
            }
            at += self.config.hop;
        }
        self.state.next = Some(at);
    }

    fn judge(&mut self, step: Step, out: &mut Output) {
        let (at, config) = (step.at, &self.config);
        let interrupted = self.state.judged.replace(at).is_some_and(|last| at > last + config.hop);
        let logits = match &step.heard {
            Heard::Logits(logits) => Some(logits),
            Heard::Silence => None,
            // The model failed: as if nothing had been heard.
            Heard::Asked => {
                self.state.tracks.iter_mut().for_each(Track::gap);
                return;
            }
        };
        for (i, (group, track)) in self.tagger.groups.iter().zip(&mut self.state.tracks).enumerate() {
            if interrupted {
                track.gap();
            }
            let logit = logits.and_then(|l| l.get(i)).copied();
            let Some((score, since)) = track.step(at, logit, self.patches, config) else { continue };
            if group.evidence || config.context {
                let patch =
                    Duration::from_micros(self.tagger.patch as u64 * 1_000_000 / u64::from(Audio16k::RATE));
                out.signal(&group.label, at, since - patch, score);
            }
        }
    }
}

/// Level in decibels of full scale.
fn level_db(samples: &[f32]) -> f64 {
    // In lanes, since one after another each addition would wait for the last.
    let mut lanes = [0.0f64; 8];
    for chunk in samples.chunks(8) {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += f64::from(*x) * f64::from(*x));
    }
    let energy: f64 = lanes.iter().sum();
    10.0 * (energy / samples.len().max(1) as f64).max(1e-20).log10()
}

impl Detector for AudioTagger {
    type Input = Audio16k;

    fn info(&self) -> DetectorInfo {
        let shown = self.tagger.groups.iter().filter(|g| g.evidence || self.config.context);
        let labels = shown.map(|g| Cow::Owned(g.label.clone())).collect();
        DetectorInfo { labels, ..DetectorInfo::new("audio_tagger", &[]) }
    }

    fn detect(&mut self, event: &Stamped<Audio16k>, out: &mut Output) {
        let hop = self.config.hop.as_micros() as usize * Audio16k::RATE as usize / 1_000_000;
        // Windows longer than the tape would run out of it before they are asked about.
        let mut at = event.at;
        for block in event.data.samples.chunks(hop.max(1)) {
            if self.state.tape.push(at, block, self.tagger.patch + hop) {
                self.state.next = Some(at.next_multiple(self.config.hop));
            }
            self.ask(out);
            at = at.offset_micros(block.len() as i64 * 1_000_000 / i64::from(Audio16k::RATE));
        }
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        while self.state.steps.front().is_some_and(|step| step.at <= to) {
            if let Some(step) = self.state.steps.pop_front() {
                self.judge(step, out);
            }
        }
    }

    fn resolve(&mut self, response: Response, _out: &mut Output) {
        let step = self.state.steps.iter_mut().find(|step| step.at == response.at);
        if let (Some(step), Some(logits)) = (step, self.tagger.logits(&response.output)) {
            step.heard = Heard::Logits(logits);
        }
    }

    fn reset(&mut self) {
        self.tagger.forget();
        self.state = State { tracks: vec![Track::default(); self.tagger.groups.len()], ..State::default() };
    }

    fn snapshot(&self) -> Result<Value> {
        save(&self.state)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state: State = load(state, "audio_tagger")?;
        if state.tracks.len() != self.tagger.groups.len() {
            return Err(Error::invalid("this state of audio_tagger belongs to a model of other groups"));
        }
        self.tagger.forget();
        self.state = state;
        Ok(())
    }
}
