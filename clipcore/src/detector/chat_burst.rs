use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chatters::{Chatters, fnv1a};
use super::state::{Due, Seconds, load, save};
use super::{Detector, DetectorInfo, Normalizer, NormalizerConfig, NormalizerState, Output};
use crate::event::{AnyEvent, ChatMessage, ChatSpike, Event, FromEvents, PlatformEvent, Stamped};
use crate::{Error, Result, Timestamp};

/// What [`ChatBurst`] listens to. Of a message it takes the author alone: words are none of its business, and copies
/// of them would be half of its work.
#[derive(Debug, Clone)]
pub enum ChatInput {
    /// Somebody wrote: a hash of who.
    Message(u64),
    /// A relay that counts for itself reports a burst.
    Spike(ChatSpike),
    /// The platform did something that makes chat loud.
    Platform(PlatformEvent),
}

impl FromEvents for ChatInput {
    fn kinds() -> Vec<&'static str> {
        vec![ChatMessage::KIND, ChatSpike::KIND, PlatformEvent::KIND]
    }

    fn from_event(event: &AnyEvent) -> Option<Self> {
        if let Some(message) = event.payload::<ChatMessage>() {
            return Some(Self::Message(fnv1a(message.user.as_bytes())));
        }
        let spike = event.payload().cloned().map(Self::Spike);
        spike.or_else(|| event.payload().cloned().map(Self::Platform))
    }
}

/// How a [`ChatBurst`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatBurstConfig {
    /// How the rate is normalised.
    pub normalizer: NormalizerConfig,
    /// Signals below this z-score are not emitted.
    pub min_z: f64,
    /// Chat below this many messages a second is too empty to burst.
    pub min_rate: f64,
    /// Bursts of fewer different people are talk or spam, not a crowd.
    pub min_chatters: usize,
    /// Of one person, one message in this time is counted.
    #[serde(with = "crate::config::secs")]
    pub repeat_window: Duration,
    /// Platform events after which chat is loud for reasons of its own.
    pub mute_on: Vec<String>,
    /// For how long bursts are not believed after such an event.
    #[serde(with = "crate::config::secs")]
    pub mute: Duration,
    /// The score of a relay's report that names no usual rate, while none is known here.
    pub spike_z: f64,
}

impl Default for ChatBurstConfig {
    fn default() -> Self {
        Self {
            normalizer: NormalizerConfig::default(),
            min_z: 1.0,
            min_rate: 0.3,
            min_chatters: 4,
            repeat_window: Duration::from_secs(5),
            mute_on: ["raid", "gift_sub", "hype_train"].map(str::to_owned).to_vec(),
            mute: Duration::from_secs(30),
            spike_z: 4.0,
        }
    }
}

impl ChatBurstConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.normalizer.validate()?;
        for (key, value) in [("min_z", self.min_z), ("min_rate", self.min_rate), ("spike_z", self.spike_z)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(format!("{key} of chat_burst is {value}; it must be 0 or more")));
            }
        }
        if self.repeat_window.is_zero() || self.repeat_window > Duration::from_secs(60) {
            return Err(Error::config("repeat_window of chat_burst must be above 0 and at most 60 s"));
        }
        Ok(())
    }
}

/// How far back a burst's onset is looked for, in seconds.
const LOOK_BACK: usize = 60;
/// The variance of live chat in 10 s over its mean (Fano factor), as measured: chat is not Poisson.
const DISPERSION: f64 = 5.0;

/// Finds bursts in the rate of chat.
///
/// Messages are counted in one-second bins, one message a person in `repeat_window`, and the count goes
/// through a [`Normalizer`]. While the z-score is at least `min_z`, each second gives a signal `burst`
/// with that score. Its onset is the start of the window (up to 60 s) that maximises the Poisson
/// log-likelihood ratio `a·ln(a/b) − (a − b)` of observed `a` over expected `b`, the change point of
/// FOCuS (Ward et al. 2023).
///
/// It needs no words, only who wrote when. Reports of relays (`chat.spike`) become signals `spike`. Raids,
/// gift trains and hype trains mute it for `mute`.
#[derive(Debug, Clone)]
pub struct ChatBurst {
    config: ChatBurstConfig,
    rate: Normalizer,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    seconds: Seconds,
    rate: NormalizerState,
    /// Counted messages of the bin that is open.
    count: u32,
    /// Counts of the last closed bins, newest last.
    counts: VecDeque<u32>,
    chatters: Chatters,
    muted_until: Option<Timestamp>,
}

impl Default for ChatBurst {
    fn default() -> Self {
        let config = ChatBurstConfig::default();
        let rate = Normalizer::with_valid(&config.normalizer, Duration::from_secs(1));
        Self { config, rate, state: State::default() }
    }
}

impl ChatBurst {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: ChatBurstConfig) -> Result<Self> {
        config.validate()?;
        let rate = Normalizer::try_new(config.normalizer.clone(), Duration::from_secs(1))?;
        Ok(Self { config, rate, state: State::default() })
    }

    fn spike(&mut self, spike: &ChatSpike, at: Timestamp, out: &mut Output) {
        if !spike.rate.is_finite() || spike.rate < self.config.min_rate || self.muted(at) {
            return;
        }
        let own = (self.rate.samples() > 0.0).then(|| self.rate.baseline());
        let usual = spike.baseline.filter(|b| b.is_finite() && *b >= 0.0).or(own);
        let z = usual.map_or(self.config.spike_z, |usual| {
            let floor = self.config.normalizer.floor;
            (spike.rate - usual) / (DISPERSION * usual / 10.0).max(floor * floor).sqrt()
        });
        if z >= self.config.min_z {
            out.signal("spike", at, at, z);
        }
    }

    fn muted(&self, at: Timestamp) -> bool {
        self.state.muted_until.is_some_and(|until| at < until)
    }

    fn tick(&mut self, at: Timestamp, out: &mut Output) {
        let count = std::mem::take(&mut self.state.count);
        if self.state.counts.len() == LOOK_BACK {
            self.state.counts.pop_front();
        }
        self.state.counts.push_back(count);
        let z = self.rate.update(f64::from(count));
        if z >= self.config.min_z
            && self.rate.level() >= self.config.min_rate
            && self.state.chatters.len() >= self.config.min_chatters
            && !self.muted(at)
        {
            let onset = at - Duration::from_secs(self.seconds_since_onset());
            out.signal("burst", at, onset, z);
        }
        self.state.chatters.forget(at, self.config.repeat_window);
    }

    /// The change point: the look-back over which the counts are least like the usual rate.
    fn seconds_since_onset(&self) -> u64 {
        let usual = self.rate.baseline().max(0.05);
        let (mut best, mut back, mut seen) = (0.0, 1, 0.0);
        for (i, count) in self.state.counts.iter().rev().enumerate() {
            seen += f64::from(*count);
            let expected = usual * (i + 1) as f64;
            if seen > expected {
                let llr = seen * (seen / expected).ln() - (seen - expected);
                if llr > best {
                    (best, back) = (llr, i as u64 + 1);
                }
            }
        }
        back
    }
}

impl Detector for ChatBurst {
    type Input = ChatInput;

    fn info(&self) -> DetectorInfo {
        DetectorInfo::new("chat_burst", &["burst", "spike"])
    }

    fn detect(&mut self, event: &Stamped<ChatInput>, out: &mut Output) {
        match &event.data {
            ChatInput::Message(who) => {
                self.state.seconds.saw(event.at);
                let counts = self.state.chatters.count(*who, event.at, self.config.repeat_window);
                self.state.count += u32::from(counts);
            }
            ChatInput::Spike(spike) => self.spike(spike, event.at, out),
            ChatInput::Platform(platform) => {
                if self.config.mute_on.iter().any(|kind| **kind == *platform.kind) {
                    self.state.muted_until = self.state.muted_until.max(Some(event.at + self.config.mute));
                }
            }
        }
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        while let Some(due) = self.state.seconds.due(to) {
            match due {
                Due::Tick(at) => self.tick(at, out),
                Due::Dormant => self.reset(),
            }
        }
    }

    fn reset(&mut self) {
        self.rate.reset();
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        save(&State { rate: self.rate.state().clone(), ..self.state.clone() })
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state: State = load(state, "chat_burst")?;
        self.rate.restore(state.rate.clone());
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Signal;
    use super::super::testing::{at, crowd, run, say};
    use super::*;

    /// Ten minutes of talk at one message a second.
    fn talk() -> Vec<AnyEvent> {
        crowd(0.0, 600.0, 1.0, "hello")
    }

    fn bursts(extra: Vec<AnyEvent>) -> Vec<Signal> {
        let mut signals = run(&mut ChatBurst::default(), &[talk(), extra].concat(), 600.0);
        signals.retain(|s| s.score >= 3.0);
        signals
    }

    #[test]
    fn a_crowd_is_a_burst_with_its_onset() {
        let signals = bursts(crowd(400.0, 410.0, 8.0, "wow"));
        let first = signals.first().expect("a burst");
        assert!((401.0..=404.0).contains(&first.at.as_secs_f64()), "{first:?}");
        let strongest = signals.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
        assert!((399.0..=401.0).contains(&strongest.onset.as_secs_f64()), "{strongest:?}");
        assert!(signals.iter().all(|s| s.at.as_secs_f64() < 440.0), "it ends");
    }

    #[test]
    fn steady_talk_is_none() {
        assert!(bursts(Vec::new()).is_empty());
    }

    #[test]
    fn one_person_cannot_make_a_burst() {
        let spam = (0..300).map(|i| say(400.0 + f64::from(i) / 20.0, 7, "BUY NOW")).collect();
        assert!(bursts(spam).is_empty());
    }

    #[test]
    fn a_few_people_in_an_empty_chat_are_no_crowd() {
        let mut events: Vec<_> = (0..6).map(|i| say(100.0 * f64::from(i), 0, "hi")).collect();
        events.extend((0..30).map(|i| say(400.0 + f64::from(i) / 2.0, i as usize % 3, "talk")));
        assert!(run(&mut ChatBurst::default(), &events, 600.0).is_empty());
    }

    #[test]
    fn raids_mute_it_for_a_while_only() {
        let raid =
            |kind: &str| at(399.0, PlatformEvent { kind: kind.into(), count: Some(500), duration: None });
        let loud = || [crowd(400.0, 410.0, 8.0, "raid!"), crowd(500.0, 510.0, 16.0, "wow")].concat();
        let muted = bursts([loud(), vec![raid("raid")]].concat());
        assert!(!muted.is_empty() && muted.iter().all(|s| s.at.as_secs_f64() > 500.0), "{muted:?}");
        let other = bursts([loud(), vec![raid("poll")]].concat());
        assert!(other[0].at.as_secs_f64() < 410.0);
    }

    #[test]
    fn relays_that_count_for_themselves_are_heard() {
        let spike = |rate, baseline| at(50.0, ChatSpike { rate, baseline });
        let score = |spike| run(&mut ChatBurst::default(), &[spike], 60.0).first().map(|s| s.score);
        assert!(score(spike(9.0, Some(1.0))) > Some(5.0));
        assert_eq!(score(spike(9.0, Some(9.0))), None);
        assert_eq!(score(spike(9.0, None)), Some(4.0));
        assert_eq!(score(spike(f64::NAN, None)), None);
    }

    #[test]
    fn settings_out_of_range_name_their_key() {
        let config = ChatBurstConfig { min_z: f64::NAN, ..ChatBurstConfig::default() };
        assert!(ChatBurst::try_new(config).unwrap_err().to_string().contains("min_z"));
    }
}
