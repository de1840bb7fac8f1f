//! What clips are called in a store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::cutter::Clip;
use crate::{Error, Result, WallTime};

const KNOWN: [&str; 5] = ["stream", "camera", "moment", "clip", "date"];

/// Makes a clip's key: a path with `{stream}`, `{camera}`, `{moment}`, `{clip}` (ids) and `{date}` (the UTC day on which
/// the clip's file was finished, `2026-11-23`). `{clip}` must be in it, so that two clips never meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate(String);

impl Default for KeyTemplate {
    fn default() -> Self {
        Self("{stream}/{date}/{clip}.mp4".to_owned())
    }
}

impl KeyTemplate {
    pub(super) fn key(&self, clip: &Clip, finished: WallTime) -> String {
        let date = finished.to_string();
        let values = [
            clip.stream.as_str(),
            clip.camera.as_str(),
            &*clip.moment,
            &*clip.id,
            &date[..10.min(date.len())],
        ];
        KNOWN
            .iter()
            .zip(values)
            .fold(self.0.clone(), |key, (name, value)| key.replace(&format!("{{{name}}}"), value))
    }
}

impl FromStr for KeyTemplate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: String| {
            Err(Error::config(format!("this cannot be the key of clips: {why}"))
                .with_hint("it looks like {stream}/{date}/{clip}.mp4; known are {stream} {camera} {moment} {clip} {date}"))
        };
        if !text.contains("{clip}") {
            return wrong("{clip} is not in it".to_owned());
        }
        let rest = KNOWN.iter().fold(text.to_owned(), |rest, name| rest.replace(&format!("{{{name}}}"), "x"));
        if rest.contains(['{', '}']) {
            return wrong(format!("{:?} has a name in braces that is not known", crate::ids::shorten(text)));
        }
        let plain = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=' | b'+'))
        };
        if !rest.split('/').all(plain) || rest.len() > 500 {
            return wrong(format!("{:?} is not made of folders and names", crate::ids::shorten(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for KeyTemplate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyTemplate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sink as kit;
    use crate::cutter::ClipState;
    use crate::sink::Delivery;

    #[test]
    fn keys_follow_the_template() {
        let Delivery::Clip { clip, .. } = kit::clip("s1", "c1", ClipState::Ready, None) else {
            unreachable!()
        };
        let at = WallTime::parse("2026-11-23T23:59:59.5Z").unwrap();
        for (template, key) in [
            ("{stream}/{date}/{clip}.mp4", "s1/2026-11-23/c1.mp4"),
            ("clips/{camera}-{moment}-{clip}", "clips/main-m-c1"),
        ] {
            assert_eq!(template.parse::<KeyTemplate>().unwrap().key(&clip, at), key);
        }
    }

    #[test]
    fn templates_that_lose_clips_or_leave_their_folder_are_refused() {
        for template in [
            "",
            "{stream}.mp4",
            "{clip}/../x",
            "/{clip}",
            "{clip}//x",
            "{clip}{day}",
            "{clip} x",
            "{clip}\\x",
        ] {
            let error = template.parse::<KeyTemplate>().unwrap_err().to_string();
            assert!(error.contains("{stream}/{date}/{clip}.mp4"), "{template}: {error}");
        }
    }
}
