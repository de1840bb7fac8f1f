use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, ErrorKind, Result};

/// What a stream's people agreed to have processed. The default is nothing.
///
/// Counting pseudonymous messages needs no consent; reading chat *text* and looking at *faces* do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Consent {
    /// The words of chat messages may be read.
    pub chat_text: bool,
    /// Faces in frames may be looked at.
    pub face: bool,
}

impl Consent {
    /// Nothing may be processed beyond counts.
    pub const NONE: Self = Self { chat_text: false, face: false };
    /// Everything may be processed.
    pub const ALL: Self = Self { chat_text: true, face: true };

    /// Whether everything that `need` names is granted.
    pub fn covers(self, need: Self) -> bool {
        (self.chat_text || !need.chat_text) && (self.face || !need.face)
    }

    /// What `need` names and is not granted.
    #[must_use]
    pub fn missing(self, need: Self) -> Self {
        Self { chat_text: need.chat_text && !self.chat_text, face: need.face && !self.face }
    }

    /// Fails closed.
    ///
    /// # Errors
    /// `ConsentRequired`, naming `who` needs what.
    pub fn require(self, need: Self, who: &str) -> Result<()> {
        if self.covers(need) {
            return Ok(());
        }
        let missing = self.missing(need);
        Err(Error::new(ErrorKind::ConsentRequired, format!("{who} needs consent for {missing}"))
            .with_hint(format!("where the people concerned agreed, add --consent {missing}")))
    }
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.chat_text, self.face) {
            (true, true) => f.write_str("chat_text,face"),
            (true, false) => f.write_str("chat_text"),
            (false, true) => f.write_str("face"),
            (false, false) => f.write_str("none"),
        }
    }
}

impl FromStr for Consent {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let mut consent = Self::NONE;
        for item in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            match item {
                "chat_text" => consent.chat_text = true,
                "face" => consent.face = true,
                "none" => {}
                other => {
                    return Err(Error::config(format!("unknown consent {other:?}"))
                        .with_hint("known are chat_text, face and none, separated by commas"));
                }
            }
        }
        Ok(consent)
    }
}

impl Serialize for Consent {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Consent {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}
