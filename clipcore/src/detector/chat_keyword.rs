use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chatters::{Chatters, fnv1a};
use super::state::{Due, Seconds, load, save};
use super::{Detector, DetectorInfo, Output};
use crate::consent::Consent;
use crate::event::{ChatMessage, Stamped};
use crate::{Error, Result, Timestamp};

/// How a [`ChatKeyword`] is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatKeywordConfig {
    /// Words or phrases, whatever their case. A phrase matches where it stands between word boundaries.
    pub words: Vec<String>,
    /// How many different people must have written one of them within `window`.
    pub min_people: usize,
    /// How long a person's keyword counts.
    #[serde(with = "crate::config::secs")]
    pub window: Duration,
}

impl Default for ChatKeywordConfig {
    fn default() -> Self {
        Self {
            words: ["clip it", "clip that", "clip this", "clipped"].map(str::to_owned).to_vec(),
            min_people: 2,
            window: Duration::from_secs(10),
        }
    }
}

impl ChatKeywordConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config`, naming the key that is out of range.
    pub fn validate(&self) -> Result<()> {
        if let Some(i) = self.words.iter().position(|w| w.trim().is_empty()) {
            return Err(Error::config(format!("words[{i}] of chat_keyword is empty")));
        }
        if self.min_people == 0 {
            return Err(Error::config("min_people of chat_keyword must be at least 1"));
        }
        if self.window.is_zero() || self.window > Duration::from_secs(600) {
            return Err(Error::config("window of chat_keyword must be above 0 and at most 600 s"));
        }
        Ok(())
    }
}

/// Finds people asking for a clip in so many words.
///
/// Once a second, where somebody new wrote a keyword and at least `min_people` different people did within
/// `window`, it gives a signal `keyword` whose score is their number. It reads the words of chat and so
/// needs consent for `chat_text`.
#[derive(Debug, Clone)]
pub struct ChatKeyword {
    config: ChatKeywordConfig,
    words: Vec<String>,
    state: State,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    seconds: Seconds,
    people: Chatters,
    /// The first new keyword of the open second.
    first: Option<Timestamp>,
}

impl Default for ChatKeyword {
    fn default() -> Self {
        Self::with_valid(ChatKeywordConfig::default())
    }
}

impl ChatKeyword {
    /// A detector with these settings.
    ///
    /// # Errors
    /// `Config` for settings out of range.
    pub fn try_new(config: ChatKeywordConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::with_valid(config))
    }

    fn with_valid(mut config: ChatKeywordConfig) -> Self {
        // Kept once: a process may have this detector for thousands of streams.
        let words = std::mem::take(&mut config.words).iter().map(|w| w.trim().to_lowercase()).collect();
        Self { config, words, state: State::default() }
    }

    fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.words.iter().any(|word| {
            text.match_indices(word.as_str()).any(|(start, found)| {
                let before = text[..start].chars().next_back();
                let after = text[start + found.len()..].chars().next();
                !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
            })
        })
    }
}

impl Detector for ChatKeyword {
    type Input = ChatMessage;

    fn info(&self) -> DetectorInfo {
        let needs = Consent { chat_text: true, ..Consent::NONE };
        DetectorInfo { needs, ..DetectorInfo::new("chat_keyword", &["keyword"]) }
    }

    fn detect(&mut self, event: &Stamped<ChatMessage>, _out: &mut Output) {
        let Some(text) = event.data.text.as_deref() else { return };
        if !self.matches(text) {
            return;
        }
        self.state.seconds.saw(event.at);
        if self.state.people.count(fnv1a(event.data.user.as_bytes()), event.at, self.config.window) {
            self.state.first.get_or_insert(event.at);
        }
    }

    fn advance(&mut self, to: Timestamp, out: &mut Output) {
        while let Some(due) = self.state.seconds.due(to) {
            let Due::Tick(at) = due else {
                self.reset();
                return;
            };
            self.state.people.forget(at, self.config.window);
            let people = self.state.people.len();
            if let Some(first) = self.state.first.take()
                && people >= self.config.min_people
            {
                out.signal("keyword", at, first, people as f64);
            }
        }
    }

    fn reset(&mut self) {
        self.state = State::default();
    }

    fn snapshot(&self) -> Result<Value> {
        save(&self.state)
    }

    fn restore(&mut self, state: &Value) -> Result<()> {
        self.state = load(state, "chat_keyword")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, run, say};
    use super::*;

    #[test]
    fn two_people_are_needed_and_whole_words_count() {
        let chat = [
            say(10.2, 1, "CLIP IT!!"),
            say(10.4, 1, "clip it clip it"),
            say(15.5, 2, "someone clip that pls"),
            say(16.5, 3, "eclipse itself"),
            say(90.5, 4, "clip it"),
        ];
        assert_eq!(found(&run(&mut ChatKeyword::default(), &chat, 200.0)), [("keyword", 16.0, 2.0)]);
    }

    #[test]
    fn without_consent_it_does_not_start_and_without_text_it_finds_nothing() {
        use crate::detector::Detector;
        assert!(ChatKeyword::default().info().needs.chat_text);
        let blank = || {
            super::super::testing::at(
                5.0,
                ChatMessage { user: "u".into(), text: None, emotes: [].into(), badges: [].into() },
            )
        };
        assert!(run(&mut ChatKeyword::default(), &[blank()], 20.0).is_empty());
    }

    #[test]
    fn words_can_be_set_and_empty_ones_are_refused() {
        let config = |words: &[&str]| ChatKeywordConfig {
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            min_people: 1,
            ..ChatKeywordConfig::default()
        };
        let mut detector = ChatKeyword::try_new(config(&["Älter"])).unwrap();
        assert_eq!(run(&mut detector, &[say(1.5, 1, "viel ÄLTER.")], 9.0).len(), 1);
        assert!(ChatKeyword::try_new(config(&["a", " "])).unwrap_err().to_string().contains("words[1]"));
    }
}
