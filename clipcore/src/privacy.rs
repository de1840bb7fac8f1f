//! Keeps out of the log what a stream's people did not agree to: keyed pseudonyms, and redaction at the edge.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;

use crate::Consent;
use crate::event::{AnyEvent, ChatDelete, ChatMessage, Event, FaceExpression, Stamped, Transcript, Unknown};
use crate::ids::hex;

/// Turns a platform's user into a pseudonym: equal for the same person, and not to be traced back without the key.
///
/// The pseudonym is the first 64 bits of HMAC-SHA-256 (RFC 2104) over platform and user, as 16 hex digits.
/// Destroying the key makes all its pseudonyms anonymous.
#[derive(Clone)]
pub struct Pseudonymizer {
    key: [u8; 32],
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymizer(…)")
    }
}

impl Pseudonymizer {
    /// Uses a key that is kept elsewhere.
    pub fn from_key(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The pseudonym of `user` on `platform`.
    pub fn pseudonym(&self, platform: &str, user: &str) -> String {
        // HMAC takes keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        mac.update(&(platform.len() as u64).to_be_bytes());
        mac.update(platform.as_bytes());
        mac.update(user.as_bytes());
        hex(&mac.finalize().into_bytes()[..8])
    }
}

/// The event as it may be logged and processed under `consent`.
///
/// | kind | without `chat_text` | without `face` | with a pseudonymizer |
/// |---|---|---|---|
/// | `chat.message` | `text` and `emotes` dropped (emotes are words too) | | `user` replaced |
/// | `chat.delete` | | | `user` replaced, so that it still fits |
/// | `transcript` | `text` emptied | | |
/// | `face.expression` | | `scores` and `person` dropped | |
///
/// The platform of a pseudonym is the part of the event's `source` before its first `:`. Everything else is kept:
/// badges, and the `label` and `by` of a marker, which its author sends on purpose. A payload of one of these kinds
/// that cannot be read as such is dropped whole.
///
/// # Limits
/// Kinds that nobody registered are kept whole: what they mean is not known. Ids are kept, since `chat.delete` and
/// deduplication need them: a platform's message id can be looked up there, and an id that was derived from content
/// allows a guess at a short text to be checked.
pub fn redact(event: &AnyEvent, consent: Consent, pseudonyms: Option<&Pseudonymizer>) -> AnyEvent {
    let source = &event.header().source;
    let platform = source.split_once(':').map_or(&**source, |(platform, _)| platform);
    let user = |user: &Arc<str>| match pseudonyms {
        Some(p) => p.pseudonym(platform, user).into(),
        None => user.clone(),
    };
    match event.kind() {
        ChatMessage::KIND => change(event, |message: &mut ChatMessage| {
            message.user = user(&message.user);
            if !consent.chat_text {
                message.text = None;
                message.emotes = Arc::default();
            }
        }),
        ChatDelete::KIND => change(event, |delete: &mut ChatDelete| {
            delete.user = delete.user.as_ref().map(user);
        }),
        Transcript::KIND => change(event, |transcript: &mut Transcript| {
            if !consent.chat_text {
                transcript.text = Arc::from("");
            }
        }),
        FaceExpression::KIND => change(event, |face: &mut FaceExpression| {
            if !consent.face {
                face.scores.clear();
                face.person = None;
            }
        }),
        _ => event.clone(),
    }
}

/// Changes a payload that is an `E`, or that would be one if its kind were registered.
fn change<E: Event + Serialize + DeserializeOwned>(
    event: &AnyEvent,
    change: impl FnOnce(&mut E),
) -> AnyEvent {
    let data = event.payload::<E>().cloned().or_else(|| {
        let unknown = event.payload::<Unknown>()?;
        serde_json::from_value(unknown.data.clone()).ok()
    });
    match data {
        Some(mut data) => {
            change(&mut data);
            AnyEvent::wire(Stamped { header: event.shared_header(), data })
        }
        None => AnyEvent::unknown(
            event.header().clone(),
            Unknown { kind: event.kind().into(), data: Value::Null },
        ),
    }
}

#[cfg(feature = "runtime")]
mod key_file {
    use std::fs::{File, OpenOptions};
    use std::io::{ErrorKind as Io, Write};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::{Path, PathBuf};

    use super::Pseudonymizer;
    use crate::durable::{create_dir, sync_dir, write_error};
    use crate::ids::hex;
    use crate::{Error, ErrorKind, Result};

    impl Pseudonymizer {
        /// Loads the key from the file `path`, or makes a new one there: 32 random bytes as 64 hex digits, readable
        /// by its owner only.
        ///
        /// Processes that start at once agree on one key, and a crash leaves a whole key or none. Keep the file
        /// apart from the log: whoever has both can check guesses at who is who.
        ///
        /// # Errors
        /// `Corrupt` where the file holds no key; `Io` or `DiskFull`.
        pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
            let path = path.as_ref();
            match load(path) {
                Err(e) if e.kind() == ErrorKind::NotFound => create(path),
                loaded => loaded,
            }
            .map_err(|e| e.with_operation("privacy::load_or_create"))
        }
    }

    fn load(path: &Path) -> Result<Pseudonymizer> {
        let io = |e| Error::io(e, path);
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "other users can read the pseudonym key; chmod 600 it");
        }
        let text = std::io::read_to_string(file).map_err(io)?;
        let digits = text.trim_ascii();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::new(ErrorKind::Corrupt, "this file holds no pseudonym key")
                .with_context("path", path.display())
                .with_hint("restore it (64 hex digits); with a new key everybody gets a new pseudonym"));
        }
        let mut key = [0; 32];
        for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_default();
        }
        Ok(Pseudonymizer { key })
    }

    fn create(path: &Path) -> Result<Pseudonymizer> {
        let dir = path.parent().unwrap_or(Path::new(""));
        create_dir(dir)?;
        let mut random = [0; 40];
        getrandom::fill(&mut random).map_err(|e| {
            Error::new(ErrorKind::Io, "the operating system gave no random bytes").with_source(e.to_string())
        })?;
        let (key, nonce) = random.split_at(32);
        let mut temp = path.as_os_str().to_owned();
        temp.push(format!(".{}.tmp", hex(nonce)));
        let temp = PathBuf::from(temp);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
            writeln!(file, "{}", hex(key))?;
            file.sync_all()?;
            // A link, unlike a rename, does not replace the key of a process that was faster.
            std::fs::hard_link(&temp, path)
        };
        let written = write();
        let _ = std::fs::remove_file(&temp);
        match written {
            Err(e) if e.kind() != Io::AlreadyExists => return Err(write_error(e, path)),
            _ => sync_dir(dir)?,
        }
        load(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kinds;

    const MESSAGE: &str = r#"{"type":"chat.message","stream":"s","id":"1","source":"twitch:irc","at":1,
        "data":{"user":"ann","text":"secret words","emotes":["Secret"],"badges":["vip"]}}"#;

    fn parse(kinds: &Kinds, json: &str) -> AnyEvent {
        kinds.parse(json.as_bytes()).unwrap().resolve(&mut |_| None).unwrap()
    }

    fn pseudonyms() -> Pseudonymizer {
        Pseudonymizer::from_key([7; 32])
    }

    #[test]
    fn pseudonyms_depend_on_key_platform_and_user() {
        let p = pseudonyms();
        let name = p.pseudonym("twitch", "ann");
        assert_eq!(name.len(), 16);
        assert_eq!(name, pseudonyms().pseudonym("twitch", "ann"));
        assert_ne!(name, p.pseudonym("kick", "ann"));
        assert_ne!(name, p.pseudonym("twitcha", "nn"));
        assert_ne!(name, Pseudonymizer::from_key([8; 32]).pseudonym("twitch", "ann"));
        assert!(!format!("{p:?}").contains('7'), "the key must not be printed");
    }

    #[test]
    fn words_leave_no_trace_without_consent() {
        for kinds in [Kinds::builtin(), Kinds::empty()] {
            let event = parse(&kinds, MESSAGE);
            let line = redact(&event, Consent::NONE, Some(&pseudonyms())).to_json().unwrap();
            for word in ["secret", "Secret", "ann"] {
                assert!(!line.contains(word), "{word} in {line}");
            }
            assert!(
                line.contains("vip") && line.contains(&pseudonyms().pseudonym("twitch", "ann")),
                "{line}"
            );
            let line = redact(&event, Consent { chat_text: true, face: false }, None).to_json().unwrap();
            assert!(line.contains("secret words") && line.contains("ann"), "{line}");
        }
    }

    #[test]
    fn each_kind_loses_what_the_table_says() {
        let p = pseudonyms();
        let name = p.pseudonym("twitch", "ann");
        for (kind, data, want) in [
            ("chat.delete", r#"{"user":"ann"}"#.to_owned(), format!(r#"{{"user":"{name}"}}"#)),
            ("chat.message", r#"{"user":7}"#.to_owned(), "null".to_owned()),
            (
                "transcript",
                r#"{"text":"hi","start":1.0,"end":2.0}"#.to_owned(),
                r#"{"end":2.0,"start":1.0,"text":""}"#.to_owned(),
            ),
            (
                "face.expression",
                r#"{"scores":{"joy":0.9},"person":"p"}"#.to_owned(),
                r#"{"scores":{}}"#.to_owned(),
            ),
            ("marker", r#"{"by":"ann","label":"l"}"#.to_owned(), r#"{"by":"ann","label":"l"}"#.to_owned()),
            ("x.y", r#"{"text":"kept"}"#.to_owned(), r#"{"text":"kept"}"#.to_owned()),
        ] {
            // Unregistered, so that a payload of the wrong form gets as far as this too.
            let json = format!(
                r#"{{"type":"{kind}","stream":"s","source":"twitch:irc","id":"1","at":1,"data":{data}}}"#
            );
            let event = redact(&parse(&Kinds::empty(), &json), Consent::NONE, Some(&p));
            assert_eq!(event.data_json().unwrap().unwrap().to_string(), want, "{kind}");
            assert_eq!(event.kind(), kind);
        }
    }

    #[cfg(feature = "runtime")]
    #[test]
    fn the_key_file_is_private_and_comes_back() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/pseudonyms.key");
        let names: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
            let load = || Pseudonymizer::load_or_create(&path).unwrap().pseudonym("t", "u");
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(names.len(), 1, "processes that start at once must agree");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "temporaries were left");

        for broken in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65)] {
            std::fs::write(&path, broken).unwrap();
            let err = Pseudonymizer::load_or_create(&path).unwrap_err();
            assert_eq!(err.kind(), crate::ErrorKind::Corrupt, "{broken:?}: {err}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken, "a broken key must not be replaced");
        }
    }
}
