//! Keeps out of the log what a stream's people did not agree to (keyed pseudonyms, redaction at the edge), and takes out of it
//! what may not stay.
//!
//! # Erasure in an append-only log
//! Two ways, which [`DataFolder`] goes together. Who is who stands nowhere but in the keys of pseudonyms, one for
//! each stream and day ([`KeyRing`]): destroying a key makes everything written under it anonymous at once,
//! copies and backups of the log included (crypto-erase). What a record itself says (words, names where no pseudonyms were
//! used) goes by rewriting the segments it lies in: each is replaced whole by one in which the record keeps its place and
//! offset, so that checkpoints and later records still fit. Blocks that the file system has freed, and copies that
//! sinks took elsewhere, are out of reach.
//!
//! A replay of a log out of which words were taken finds what can be found without them.

#[cfg(feature = "runtime")]
mod audit;
#[cfg(feature = "runtime")]
mod data;
#[cfg(feature = "runtime")]
mod expiry;
#[cfg(feature = "runtime")]
mod expiry_shared;
#[cfg(feature = "runtime")]
mod keys;
#[cfg(feature = "runtime")]
mod live;
#[cfg(feature = "runtime")]
mod scrub;

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "runtime")]
pub use audit::{AuditEntry, AuditNote, audit, audit_verify};
#[cfg(feature = "runtime")]
pub use data::{DataFolder, Erased, Holding};
#[cfg(feature = "runtime")]
pub use expiry::{Expiry, ExpiryConfig};
#[cfg(feature = "runtime")]
pub use expiry_shared::SharedExpiry;
#[cfg(feature = "runtime")]
pub use keys::{KeyRing, Rotation};
#[cfg(feature = "runtime")]
pub use live::LiveFolder;
#[cfg(feature = "runtime")]
pub(crate) use live::{Viewer, rewrites_of_stream, rewrites_of_viewer};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::event::{AnyEvent, ChatDelete, ChatMessage, Event};
use crate::ids::hex;
use crate::{Consent, StreamId, WallTime};

/// Turns a platform's user into a pseudonym: equal for the same person, and not to be traced back without the key.
///
/// The pseudonym is the first 64 bits of HMAC-SHA-256 (RFC 2104) over platform and user, as 16 hex digits.
/// Destroying the key makes all its pseudonyms anonymous.
#[derive(Clone)]
pub struct Pseudonymizer {
    key: [u8; 32],
    #[cfg(feature = "runtime")]
    ring: Option<Arc<KeyRing>>,
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymizer(…)")
    }
}

impl Pseudonymizer {
    /// Uses a key that is kept elsewhere.
    pub fn from_key(key: [u8; 32]) -> Self {
        Self {
            key,
            #[cfg(feature = "runtime")]
            ring: None,
        }
    }

    /// Uses the keys of `ring`, each for its stream and day: [`redact`] picks the one of an event.
    #[cfg(feature = "runtime")]
    pub fn rotating(ring: Arc<KeyRing>) -> Self {
        Self { key: [0; 32], ring: Some(ring) }
    }

    /// The one that an event of `stream` at `time` gets: itself, unless keys rotate. `None` where its key was destroyed
    /// or cannot be had.
    pub fn of(&self, stream: &StreamId, time: Option<WallTime>) -> Option<Self> {
        #[cfg(feature = "runtime")]
        if let Some(ring) = &self.ring {
            return ring.key(stream, time);
        }
        let _ = (stream, time);
        Some(self.clone())
    }

    /// Destroys the keys of a stream, where they are its own; gives how many.
    ///
    /// # Errors
    /// `Io`; doing it again goes on.
    #[cfg(feature = "runtime")]
    pub fn erase(&self, stream: &StreamId) -> crate::Result<usize> {
        self.ring.as_ref().map_or(Ok(0), |ring| ring.erase(stream))
    }

    /// What tells these keys from those of others, and nothing of what they are. Made where it is missing, as keys are.
    ///
    /// # Errors
    /// As [`load_or_create`](Self::load_or_create).
    #[cfg(feature = "runtime")]
    pub(crate) fn identity(&self) -> crate::Result<String> {
        let of = match &self.ring {
            Some(ring) => ring.identity()?,
            None => self.clone(),
        };
        Ok(of.pseudonym("clipcore", "keys"))
    }

    /// The keys of all streams that are there, and this one's own where keys do not rotate.
    #[cfg(feature = "runtime")]
    pub(crate) fn all(&self) -> crate::Result<Vec<Self>> {
        match &self.ring {
            Some(ring) => ring.all(),
            None => Ok(vec![self.clone()]),
        }
    }

    /// The pseudonym of `user` on `platform`; where keys rotate, of what [`of`](Self::of) gives.
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
    let pseudonyms = pseudonyms.of(event.stream(), event.header().time)?;
    let source = &event.header().source;
    let platform = source.split_once(':').map_or(&**source, |(platform, _)| platform);
    let pseudonym = |user: &Arc<str>| Arc::from(pseudonyms.pseudonym(platform, user));
    match event.kind() {
        // A payload of these kinds but of another type could hide a name anywhere.
        ChatMessage::KIND => {
            let message = event.payload::<ChatMessage>()?;
            let data = ChatMessage { user: pseudonym(&message.user), ..message.clone() };
            Some(event.with_data(data))
        }
        ChatDelete::KIND => {
            let delete = event.payload::<ChatDelete>()?;
            let data = ChatDelete { user: delete.user.as_ref().map(pseudonym), ..delete.clone() };
            Some(event.with_data(data))
        }
        _ => Some(event),
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
}
