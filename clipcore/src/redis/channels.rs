use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, StreamId};

const PLACE: &str = "{stream_id}";

/// Names of pub/sub channels, one a stream: a text with `{stream_id}` in it, `live:{stream_id}` unless said otherwise.
///
/// ```
/// use clipcore::StreamId;
/// use clipcore::redis::Channels;
///
/// let channels: Channels = "live:{stream_id}:events".parse()?;
/// assert_eq!(channels.of(&StreamId::new("s1")?), "live:s1:events");
/// assert_eq!(channels.stream("live:s1:events"), Some(StreamId::new("s1")?));
/// assert_eq!(channels.pattern(), "live:*:events");
/// # Ok::<(), clipcore::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Channels {
    before: String,
    after: String,
}

impl Channels {
    /// A stream's channel.
    pub fn of(&self, stream: &StreamId) -> String {
        format!("{}{stream}{}", self.before, self.after)
    }

    /// The stream whose channel this is.
    pub fn stream(&self, channel: &str) -> Option<StreamId> {
        let name = channel.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        StreamId::new(name).ok()
    }

    /// What all channels match, as `PSUBSCRIBE` takes it.
    pub fn pattern(&self) -> String {
        let escaped = |text: &str| {
            text.chars().fold(String::new(), |mut escaped, c| {
                if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
                    escaped.push('\\');
                }
                escaped.push(c);
                escaped
            })
        };
        format!("{}*{}", escaped(&self.before), escaped(&self.after))
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self { before: "live:".to_owned(), after: String::new() }
    }
}

impl FromStr for Channels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(PLACE) {
            Some((before, after)) if !after.contains(PLACE) && text.len() <= 256 => {
                Ok(Self { before: before.to_owned(), after: after.to_owned() })
            }
            _ => Err(Error::config(format!("{:?} does not name channels", crate::ids::shorten(text)))
                .with_hint("write {stream_id} once, where a stream's id is to stand: live:{stream_id}")),
        }
    }
}

impl TryFrom<String> for Channels {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Channels> for String {
    fn from(channels: Channels) -> Self {
        channels.to_string()
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACE}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_streams_are_nobodys_channel() {
        let channels = Channels::default();
        for channel in ["live:", "live:../x", "other:s1", "live:a b"] {
            assert_eq!(channels.stream(channel), None, "{channel}");
        }
        assert_eq!("a[b]{stream_id}".parse::<Channels>().unwrap().pattern(), "a\\[b\\]*");
    }

    #[test]
    fn the_place_of_the_stream_stands_once() {
        for wrong in ["live:", "{stream_id}{stream_id}", "live:{stream}"] {
            let err = wrong.parse::<Channels>().unwrap_err().to_string();
            assert!(err.contains("{stream_id}"), "{err}");
        }
    }
}
