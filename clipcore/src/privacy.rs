//! Keeps out of the log what a stream's people did not agree to: keyed pseudonyms, and redaction at the edge.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Consent;
use crate::event::{AnyEvent, ChatDelete, ChatMessage, Event, Stamped};
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

/// The event as it may be logged and processed: what [`Consent::redact`] leaves of it, under pseudonyms where a
/// key is given. `None` where nothing of it may be.
///
/// The `user` of `chat.message` and `chat.delete` is replaced, in both alike, so that they still fit; the platform is the
/// part of the event's `source` before its first `:`. Call it once, at the edge: a pseudonym has a pseudonym too.
///
/// # Limits
/// Everything else is kept: badges, the `label` and `by` of a marker (which its author sends on purpose), kinds that
/// nobody registered (what they mean is not known), and ids, which `chat.delete` and deduplication need. A
/// platform's message id can be looked up there, and an id that was derived from content allows a guess at a short
/// text to be checked.
pub fn redact(event: &AnyEvent, consent: Consent, pseudonyms: Option<&Pseudonymizer>) -> Option<AnyEvent> {
    let event = consent.redact(event.clone())?;
    let Some(pseudonyms) = pseudonyms else { return Some(event) };
    let source = &event.header().source;
    let platform = source.split_once(':').map_or(&**source, |(platform, _)| platform);
    let pseudonym = |user: &Arc<str>| Arc::from(pseudonyms.pseudonym(platform, user));
    let header = event.shared_header();
    match event.kind() {
        // A payload of these kinds but of another type could hide a name anywhere.
        ChatMessage::KIND => {
            let message = event.payload::<ChatMessage>()?;
            let data = ChatMessage { user: pseudonym(&message.user), ..message.clone() };
            Some(AnyEvent::wire(Stamped { header, data }))
        }
        ChatDelete::KIND => {
            let delete = event.payload::<ChatDelete>()?;
            let data = ChatDelete { user: delete.user.as_ref().map(pseudonym), ..delete.clone() };
            Some(AnyEvent::wire(Stamped { header, data }))
        }
        _ => Some(event),
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
    fn words_and_names_leave_no_trace() {
        let event = parse(&Kinds::builtin(), MESSAGE);
        let line = redact(&event, Consent::NONE, Some(&pseudonyms())).unwrap().to_json().unwrap();
        for word in ["secret", "Secret", "ann"] {
            assert!(!line.contains(word), "{word} in {line}");
        }
        assert!(line.contains("vip") && line.contains(&pseudonyms().pseudonym("twitch", "ann")), "{line}");
        let line = redact(&event, Consent::ALL, None).unwrap().to_json().unwrap();
        assert!(line.contains("secret words") && line.contains("ann"), "{line}");
    }

    #[test]
    fn a_deletion_fits_the_messages_it_means() {
        let json =
            r#"{"type":"chat.delete","stream":"s","source":"twitch:irc","at":2,"data":{"user":"ann"}}"#;
        let event = redact(&parse(&Kinds::builtin(), json), Consent::NONE, Some(&pseudonyms())).unwrap();
        let user = event.payload::<ChatDelete>().unwrap().user.clone();
        assert_eq!(user.as_deref(), Some(&*pseudonyms().pseudonym("twitch", "ann")));
    }

    #[test]
    fn a_name_that_cannot_be_found_is_not_let_through() {
        // Where the kind is not registered, the payload is kept as it came.
        let event = parse(&Kinds::empty(), MESSAGE);
        assert!(redact(&event, Consent::ALL, Some(&pseudonyms())).is_none());
        assert!(redact(&event, Consent::ALL, None).is_some());
        let other = parse(&Kinds::empty(), r#"{"type":"x.y","stream":"s","at":1,"data":{"text":"kept"}}"#);
        let kept = redact(&other, Consent::NONE, Some(&pseudonyms())).unwrap();
        assert!(kept.to_json().unwrap().contains("kept"));
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
