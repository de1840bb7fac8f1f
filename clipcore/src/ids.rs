use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

#[cfg(feature = "runtime")]
use crate::ErrorKind;
use crate::{Error, Result};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name of 1 to 128 characters from `A–Z a–z 0–9 . _ -` that starts with a letter or a
            /// digit; such a name is safe as a file name, a Redis key part and a URL segment.
            ///
            /// # Errors
            /// `InvalidInput` for any other text.
            pub fn new(name: impl AsRef<str>) -> Result<Self> {
                let name = name.as_ref();
                check_name(name).map_err(|why| {
                    Error::invalid(format!(concat!("{:?} is not a ", $what, " id: {}"), shorten(name), why))
                        .with_hint("use 1 to 128 of A-Z a-z 0-9 . _ - and start with a letter or digit")
                })?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                Self::new(&*text).map_err(de::Error::custom)
            }
        }
    };
}

name_type!(
    /// Names one live stream (a channel, a match, a show); all its cameras share one timeline.
    StreamId,
    "stream"
);
name_type!(
    /// Names one camera of a stream.
    CameraId,
    "camera"
);

impl CameraId {
    /// The camera of a stream that has only one: `main`.
    pub fn main() -> Self {
        Self("main".into())
    }
}

impl Default for CameraId {
    fn default() -> Self {
        Self::main()
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 128 {
        return Err("it is longer than 128 characters");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("it does not start with a letter or digit");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Err("it holds a character that is not allowed");
    }
    if name.contains("..") {
        return Err("it holds '..'");
    }
    Ok(())
}

/// At most 64 characters of `text`, for error messages about hostile input.
pub(crate) fn shorten(text: &str) -> String {
    shorten_to(text, 64)
}

/// At most `max` characters of `text`.
pub(crate) fn shorten_to(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The first 64 bits of SHA-256 over the parts, as 16 hex digits; parts are length-prefixed, so
/// ("ab", "c") and ("a", "bc") differ.
pub fn stable_id(parts: &[&[u8]]) -> String {
    hex(&stable_hash(parts).to_be_bytes())
}

/// The number that [`stable_id`] writes in hex.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char])
        .collect()
}

/// The 32 bytes that 64 hex digits say.
#[cfg(feature = "runtime")]
pub(crate) fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Bytes that nobody can guess.
///
/// # Errors
/// `Io` where the operating system gives none.
#[cfg(feature = "runtime")]
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(ErrorKind::Io, "the operating system gave no random bytes").with_source(e.to_string())
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_escape_a_folder_are_refused() {
        for bad in ["", "../etc", "a/b", "a\\b", ".hidden", "a..b", "näme", "a b", "a\0", &"x".repeat(129)] {
            let err = StreamId::new(bad).unwrap_err();
            assert!(err.to_string().contains("is not a stream id"), "{err}");
        }
        for good in ["s1", "twitch-123", "A.b_c-9", &"x".repeat(128)] {
            assert_eq!(StreamId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn stable_ids_depend_on_where_parts_end() {
        assert_ne!(stable_id(&[b"ab", b"c"]), stable_id(&[b"a", b"bc"]));
        assert_eq!(stable_id(&[b"a"]).len(), 16);
    }
}
