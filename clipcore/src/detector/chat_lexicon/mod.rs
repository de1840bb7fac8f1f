mod table;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use table::{Mood, TABLE};

use super::chatters::{Chatters, fnv1a};
use super::state::{Due, Seconds, load, save};
use super::{Detector, DetectorInfo, Normalizer, NormalizerConfig, NormalizerState, Output};
use crate::consent::Consent;
use crate::event::{ChatMessage, Stamped};
use crate::{Error, Result, Timestamp};

/// How a [`ChatLexicon`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatLexiconConfig {
    /// How the number of messages of a mood in a second is normalised.
    pub normalizer: NormalizerConfig,
    /// Moods below this z-score are not emitted.
    pub min_z: f64,
    /// How many different people must show a mood within `repeat_window`.
    pub min_people: usize,
    /// Of one person, one message of a mood in this time is counted.
    #[serde(with = "crate::config::secs")]
    pub repeat_window: Duration,
    /// A change of sentiment below this z-score is not emitted.
    pub min_sentiment_z: f64,
}

impl Default for ChatLexiconConfig {
    fn default() -> Self {
        Self {
            normalizer: NormalizerConfig { floor: 0.3, ..NormalizerConfig::default() },
            min_z: 1.0,
            min_people: 2,
            repeat_window: Duration::from_secs(5),
            min_sentiment_z: 2.0,
        }
    }
}

impl ChatLexiconConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.normalizer.validate()?;
        for (key, value) in [("min_z", self.min_z), ("min_sentiment_z", self.min_sentiment_z)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(format!("{key} of chat_lexicon is {value}; it must be 0 or more")));
            }
        }
        if self.repeat_window.is_zero() || self.repeat_window > Duration::from_secs(60) {
            return Err(Error::config("repeat_window of chat_lexicon must be above 0 and at most 60 s"));
        }
        Ok(())
    }
}

/// Says what kind of moment chat sees: `funny`, `hype`, `sad` or `shock`, and how its `sentiment` turns.
///
/// A message has the mood of its first token (word or emote) that the table knows. Messages of a mood are
/// counted in one-second bins, one a person in `repeat_window`, and each count goes through a
/// [`Normalizer`] of its own; while a mood's z-score is at least `min_z`, each second gives a signal with
/// that score. `sentiment` is the normalised mean pleasantness of the messages that have any; its score is
/// negative where chat turns sour.
///
/// It reads the words of chat and so needs consent for `chat_text`; messages without text count by their
/// emotes.
#[derive(Debug, Clone)]
pub struct ChatLexicon {
    config: ChatLexiconConfig,
    moods: [Normalizer; 4],
    sentiment: Normalizer,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    seconds: Seconds,
    moods: [MoodState; 4],
    sentiment: NormalizerState,
    /// Sum and number of the pleasantness of the open second's messages.
    valence: (f64, u32),
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct MoodState {
    rate: NormalizerState,
    people: Chatters,
    count: u32,
    /// When the mood rose above `min_z`.
    since: Option<Timestamp>,
}

impl Default for ChatLexicon {
    fn default() -> Self {
        Self::with_valid(ChatLexiconConfig::default())
    }
}

impl ChatLexicon {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: ChatLexiconConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::with_valid(config))
    }

    fn with_valid(config: ChatLexiconConfig) -> Self {
        let step = Duration::from_secs(1);
        let valence = NormalizerConfig { counts: false, floor: 0.3, ..config.normalizer.clone() };
        Self {
            moods: std::array::from_fn(|_| Normalizer::with_valid(&config.normalizer, step)),
            sentiment: Normalizer::with_valid(&valence, step),
            state: State::default(),
            config,
        }
    }

    /// The mood of a message, and its mean pleasantness where it has any.
    fn read(&self, message: &ChatMessage) -> (Option<Mood>, Option<f64>) {
        let (mut mood, mut sum, mut known) = (None, 0.0, 0u32);
        let text = message.text.as_deref().unwrap_or_default();
        let tokens = text.split_whitespace().chain(message.emotes.iter().map(|e| &**e));
        let mut lower = String::new();
        for token in tokens.take(64) {
            lower.clear();
            lower.extend(token.chars().take(32).flat_map(char::to_lowercase));
            if let Some(meaning) = TABLE.meaning(&lower) {
                mood = mood.or(meaning.mood);
                sum += meaning.valence;
                known += 1;
            }
        }
        (mood, (known > 0).then(|| sum / f64::from(known)))
    }

    fn tick(&mut self, at: Timestamp, out: &mut Output) {
        for (mood, (normalizer, state)) in
            Mood::ALL.iter().zip(self.moods.iter_mut().zip(&mut self.state.moods))
        {
            state.people.forget(at, self.config.repeat_window);
            let z = normalizer.update(f64::from(std::mem::take(&mut state.count)));
            if z < self.config.min_z {
                state.since = None;
                continue;
            }
            let onset = *state.since.get_or_insert(at - Duration::from_secs(1));
            if state.people.len() >= self.config.min_people {
                out.signal(mood.label(), at, onset, z);
            }
        }
        let (sum, messages) = std::mem::take(&mut self.state.valence);
        if messages > 0 {
            let z = self.sentiment.update(sum / f64::from(messages));
            if z.abs() >= self.config.min_sentiment_z {
                out.signal("sentiment", at, at - Duration::from_secs(1), z);
            }
        }
    }
}

impl Detector for ChatLexicon {
    type Input = ChatMessage;

    fn info(&self) -> DetectorInfo {
        let needs = Consent { chat_text: true, ..Consent::NONE };
        let info = DetectorInfo::new("chat_lexicon", &["funny", "hype", "sad", "shock", "sentiment"]);
        DetectorInfo { needs, ..info }
    }

    fn detect(&mut self, event: &Stamped<ChatMessage>, _out: &mut Output) {
        self.state.seconds.saw(event.at);
        let (mood, valence) = self.read(&event.data);
        if let Some(mood) = mood {
            let state = &mut self.state.moods[mood as usize];
            let who = fnv1a(event.data.user.as_bytes());
            state.count += u32::from(state.people.count(who, event.at, self.config.repeat_window));
        }
        if let Some(valence) = valence {
            self.state.valence.0 += valence;
            self.state.valence.1 += 1;
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
        self.moods.iter_mut().for_each(Normalizer::reset);
        self.sentiment.reset();
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        let mut state = self.state.clone();
        for (state, normalizer) in state.moods.iter_mut().zip(&self.moods) {
            state.rate = normalizer.state().clone();
        }
        state.sentiment = self.sentiment.state().clone();
        save(&state)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        let state: State = load(state, "chat_lexicon")?;
        for (normalizer, state) in self.moods.iter_mut().zip(&state.moods) {
            normalizer.restore(state.rate.clone());
        }
        self.sentiment.restore(state.sentiment.clone());
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{crowd, run};
    use super::*;

    fn loudest(text: &str) -> Option<(String, f64)> {
        let chat = [crowd(0.0, 600.0, 1.0, "talk about things"), crowd(400.0, 410.0, 5.0, text)].concat();
        run(&mut ChatLexicon::default(), &chat, 600.0)
            .into_iter()
            .filter(|s| &*s.label != "sentiment")
            .max_by(|a, b| a.score.total_cmp(&b.score))
            .map(|s| (s.label.to_string(), s.at.as_secs_f64()))
    }

    #[test]
    fn a_crowd_names_its_mood() {
        for (text, mood) in [
            ("LUL LUL", "funny"),
            ("jajajaja", "funny"),
            ("PogChamp", "hype"),
            ("BibleThump", "sad"),
            ("WTF?", "shock"),
        ] {
            let (label, at) = loudest(text).unwrap_or_else(|| panic!("{text} is nothing"));
            assert_eq!(label, mood, "{text}");
            assert!((400.0..415.0).contains(&at), "{text} at {at}");
        }
        assert_eq!(loudest("so where do you come from"), None);
    }

    #[test]
    fn emotes_that_the_platform_marks_count_without_text() {
        let mut chat = crowd(0.0, 600.0, 1.0, "talk");
        for i in 0..40u8 {
            let emotes = ["KEKW".into()].into();
            let message = ChatMessage { user: format!("e{i}").into(), text: None, emotes, badges: [].into() };
            chat.push(super::super::testing::at(400.0 + f64::from(i) / 5.0, message));
        }
        assert!(run(&mut ChatLexicon::default(), &chat, 600.0).iter().any(|s| &*s.label == "funny"));
    }

    #[test]
    fn sentiment_turns_both_ways() {
        for (text, sign) in [("awful trash", -1.0), ("great, love this", 1.0)] {
            let usual = [crowd(0.0, 600.0, 1.0, "good"), crowd(0.3, 600.0, 1.0, "bad")].concat();
            let chat = [usual, crowd(400.0, 412.0, 6.0, text)].concat();
            let signals = run(&mut ChatLexicon::default(), &chat, 600.0);
            let turn = signals.iter().find(|s| &*s.label == "sentiment").expect(text);
            assert!(turn.score * sign > 0.0 && (400.0..415.0).contains(&turn.at.as_secs_f64()), "{turn:?}");
        }
    }
}
