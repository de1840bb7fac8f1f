use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audio_tagger::log_odds;
use super::state::{load, save};
use super::tape::{Tape, digits};
use super::{Detector, DetectorInfo, Output};
use crate::event::Stamped;
use crate::event::media::Audio16k;
use crate::model::card::{Activation, Card, Constant, State as CardState, Task, WaveformInput};
use crate::model::{Response, Tensor, Tensors};
use crate::{Error, Result, Timestamp};

/// Signals that may wait for their time.
const MAX_SIGNALS: usize = 1024;

/// How [`VoiceActivity`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceActivityConfig {
    /// From one signal to the next while somebody speaks; instants are multiples of it.
    #[serde(with = "crate::config::secs")]
    pub hop: Duration,
    /// Probability from which somebody speaks. They have stopped when it has been 0.15 lower for `pause`.
    pub threshold: f64,
    /// What is shorter is no speech.
    #[serde(with = "crate::config::secs")]
    pub shortest: Duration,
    /// A pause that ends speech.
    #[serde(with = "crate::config::secs")]
    pub pause: Duration,
}

impl Default for VoiceActivityConfig {
    /// The thresholds and times are those of Silero's own iterator.
    fn default() -> Self {
        Self {
            hop: Duration::from_millis(500),
            threshold: 0.5,
            shortest: Duration::from_millis(250),
            pause: Duration::from_millis(100),
        }
    }
}

impl VoiceActivityConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming what is out of range.
    pub fn validate(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::config(format!("voice_activity: {what}")));
        if !(100..=10_000).contains(&self.hop.as_millis()) {
            return wrong("hop must be from 0.1 to 10 s");
        }
        if !(self.threshold > HYSTERESIS && self.threshold < 1.0) {
            return wrong("threshold must be above 0.15 and below 1");
        }
        if self.shortest > Duration::from_secs(60) || self.pause > Duration::from_secs(60) {
            return wrong("shortest and pause must be at most 60 s");
        }
        Ok(())
    }
}

const HYSTERESIS: f64 = 0.15;

/// Hears whether somebody speaks, with a recurrent model such as Silero's: context for people and for detectors of one's
/// own, no evidence of a moment (the shipped weights give it none).
///
/// The model hears uninterrupted sound piece by piece, each with the state that the last one left. While somebody speaks, each
/// `hop` gives a signal under the card's label: its score is the mean log-odds since the last one, its onset when they
/// began. A hole in the sound, or a piece that the model fails on, begins anew.
///
/// Its snapshot holds the last piece of sound; nothing in clipcore writes the state of a media detector to disk.
#[derive(Debug, Clone)]
pub struct VoiceActivity {
    config: VoiceActivityConfig,
    model: String,
    label: String,
    input: String,
    output: String,
    activation: Activation,
    waveform: WaveformInput,
    states: Vec<CardState>,
    constants: Vec<Constant>,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    tape: Tape,
    /// Where the uninterrupted sound began, and how many pieces of it have been heard.
    since: Option<Timestamp>,
    pieces: u64,
    /// The end of the piece that the model has been asked about.
    asked: Option<Timestamp>,
    /// What the model remembers, one tensor after another.
    #[serde(with = "digits")]
    memory: Vec<f32>,
    speech: Option<Speech>,
    signals: VecDeque<(Timestamp, Timestamp, f64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Speech {
    began: Timestamp,
    /// When the last piece ended that was not clearly without speech.
    heard: Timestamp,
    /// Sum and number of the log-odds since the last signal.
    sum: f64,
    count: u32,
    next: Timestamp,
}

impl VoiceActivity {
    /// A detector that asks the model of the card's name.
    ///
    /// # Errors
    /// `Config` for settings out of range, or a card that is not of a voice activity model at 16 kHz.
    pub fn try_new(card: &Card, config: VoiceActivityConfig) -> Result<Self> {
        card.validate()?;
        config.validate()?;
        let wrong = |what: String| {
            Err(Error::config(format!("the model {:?} cannot hear voices here: {what}", card.name))
                .with_hint("see clipcore::model::card for what a card of voice activity says"))
        };
        if card.task != Task::VoiceActivity {
            return wrong(format!("its card says task {:?}, not voice_activity", card.task));
        }
        let Some(waveform) = card.input.waveform.clone() else {
            return wrong("its input is not a waveform".to_owned());
        };
        if waveform.rate != Audio16k::RATE {
            let rate = waveform.rate;
            return wrong(format!("it takes sound of {rate} Hz; clipcore gives {} Hz", Audio16k::RATE));
        }
        let second = Audio16k::RATE as usize;
        if !(second / 1000..=second).contains(&waveform.samples) || waveform.context > second {
            return wrong(
                "a piece must have from 16 to 16000 samples, and at most 16000 of context".to_owned(),
            );
        }
        let [label] = &card.labels[..] else {
            return wrong(format!("it has {} labels instead of one", card.labels.len()));
        };
        let mut this = Self {
            config,
            model: card.name.clone(),
            label: label.clone(),
            input: card.input.name.clone(),
            output: card.output[0].name.clone(),
            activation: card.output[0].activation,
            waveform,
            states: card.state.clone(),
            constants: card.constant.clone(),
            state: State::default(),
        };
        this.reset();
        Ok(this)
    }

    /// How many numbers the model remembers.
    fn remembers(&self) -> usize {
        self.states.iter().map(|state| state.shape.iter().product::<usize>()).sum()
    }

    /// Nothing is known of what was heard just now.
    fn begin(&mut self, since: Option<Timestamp>) {
        self.state.since = since;
        self.state.pieces = 0;
        self.state.asked = None;
        self.state.memory = vec![0.0; self.remembers()];
        self.state.speech = None;
    }

    /// Asks about the next piece, if it is there and no answer is awaited.
    fn ask(&mut self, out: &mut Output) {
        let Some(since) = self.state.since.filter(|_| self.state.asked.is_none()) else { return };
        let WaveformInput { samples, context, rate } = self.waveform;
        let us = (self.state.pieces + 1) as f64 * samples as f64 * 1e6 / f64::from(rate);
        let end = since.offset_micros(us as i64);
        let Some((_, sound)) = self.state.tape.before(end, samples) else { return };
        // The first piece has silence before it.
        let before = match self.state.tape.before(end, samples + context) {
            Some((_, whole)) => whole[..context].to_vec(),
            None => vec![0.0; context],
        };
        let whole = [&before, sound].concat();
        let mut item = Tensors::new().with(self.input.as_str(), ndarray::Array1::from(whole).into_dyn());
        let mut memory = self.state.memory.as_slice();
        for state in &self.states {
            let (own, rest) = memory.split_at(state.shape.iter().product());
            memory = rest;
            let Ok(tensor) = Tensor::from_shape_vec(state.shape.clone(), own.to_vec()) else { return };
            item = item.with(state.input.as_str(), tensor);
        }
        for constant in &self.constants {
            item = item.with(constant.input.as_str(), ndarray::arr0(constant.value).into_dyn());
        }
        self.state.asked = Some(end);
        out.request(&self.model, end.as_micros() as u64, end, item);
    }

    /// Takes the model's answer in: what it remembers, and how likely it was speech.
    fn hear(&mut self, answer: &Tensors) -> Option<f64> {
        let mut memory = Vec::with_capacity(self.state.memory.len());
        for state in &self.states {
            memory.extend(answer.get(&state.output)?.iter());
        }
        let number = f64::from(*answer.get(&self.output)?.iter().next()?);
        (memory.len() == self.state.memory.len()).then(|| self.state.memory = memory)?;
        Some(if self.activation == Activation::None { log_odds(number) } else { number })
    }

    fn judge(&mut self, end: Timestamp, logit: f64) {
        let piece =
            Duration::from_micros(self.waveform.samples as u64 * 1_000_000 / u64::from(self.waveform.rate));
        let (on, off) = (log_odds(self.config.threshold), log_odds(self.config.threshold - HYSTERESIS));
        if self.state.speech.is_none() && logit >= on {
            let began = end - piece;
            let next = began + self.config.shortest;
            self.state.speech = Some(Speech { began, heard: end, sum: 0.0, count: 0, next });
        }
        let Some(speech) = &mut self.state.speech else { return };
        if logit >= off {
            speech.heard = end;
        } else if end - self.config.pause >= speech.heard {
            self.state.speech = None;
            return;
        }
        speech.sum += logit;
        speech.count += 1;
        if end >= speech.next && speech.heard == end {
            let score = speech.sum / f64::from(speech.count);
            (speech.sum, speech.count) = (0.0, 0);
            speech.next = end.next_multiple(self.config.hop);
            if self.state.signals.len() < MAX_SIGNALS {
                self.state.signals.push_back((end, speech.began, score));
            }
        }
    }
}

impl Detector for VoiceActivity {
    type Input = Audio16k;

    fn info(&self) -> DetectorInfo {
        DetectorInfo {
            labels: vec![Cow::Owned(self.label.clone())],
            ..DetectorInfo::new("voice_activity", &[])
        }
    }

    fn detect(&mut self, event: &Stamped<Audio16k>, out: &mut Output) {
        let WaveformInput { samples, context, .. } = self.waveform;
        // The answer to what was asked before would have come by now.
        if self.state.asked.is_some() {
            self.state.tape = Tape::default();
        }
        if self.state.tape.push(
            event.at,
            &event.data.samples,
            2 * samples + context + event.data.samples.len(),
        ) {
            self.begin(Some(event.at));
        }
        self.ask(out);
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        let due = self.state.signals.partition_point(|(at, ..)| *at <= to);
        for (at, onset, score) in self.state.signals.drain(..due) {
            out.signal(&self.label, at, onset, score);
        }
    }

    fn resolve(&mut self, response: Response, out: &mut Output) {
        if self.state.asked != Some(response.at) {
            return;
        }
        self.state.asked = None;
        self.state.pieces += 1;
        match self.hear(&response.output) {
            Some(logit) => self.judge(response.at, logit),
            None => out.reject(),
        }
        self.ask(out);
    }

    fn reset(&mut self) {
        self.state = State::default();
        self.begin(None);
    }

    fn snapshot(&self) -> Result<Value> {
        save(&self.state)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state: State = load(state, "voice_activity")?;
        if state.memory.len() != self.remembers() {
            return Err(Error::invalid("this state of voice_activity belongs to another model"));
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
