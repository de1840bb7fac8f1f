//! Who may do what: bearer tokens that are stored as hashes, and short-lived tickets for browsers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::TimeSource;
use crate::ids::{hex, random, unhex};
use crate::{Error, ErrorKind, Result};

/// What a token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "ccore_";
/// How long a ticket is good for; what was begun with it goes on.
pub(super) const TICKET: Duration = Duration::from_secs(60);
/// So many tickets are remembered.
const MAX_TICKETS: usize = 10_000;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send events, markers and frames.
    Ingest,
    /// Read what was found, and judge it.
    Read,
    /// Start, change and end streams.
    Admin,
}

/// A token as it is stored: without the secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What people call it; metrics and logs do, too.
    pub name: String,
    /// SHA-256 of the secret, in hex.
    pub sha256: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

impl Token {
    /// A new secret, and the token to store for it. The secret is told once and kept nowhere.
    ///
    /// # Errors
    /// `Io` where the operating system gives no random bytes.
    pub fn generate(name: &str, scopes: Vec<Scope>) -> Result<(String, Self)> {
        let secret = format!("{PREFIX}{}", hex(&random::<32>()?));
        let token = Self { name: name.to_owned(), sha256: digest(&secret), scopes };
        Ok((secret, token))
    }
}

/// The tokens that are let in. Without any, everybody is: for servers that only this machine can reach.
#[derive(Debug, Default)]
pub struct Tokens {
    all: Vec<([u8; 32], Arc<Caller>)>,
}

/// Somebody who was let in.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
}

impl Tokens {
    /// Lets these tokens in.
    ///
    /// # Errors
    /// `Config` where a hash is none.
    pub fn new(tokens: impl IntoIterator<Item = Token>) -> Result<Self> {
        let all = tokens.into_iter().map(|token| {
            let hash = unhex(&token.sha256).ok_or_else(|| {
                Error::config(format!("the hash of the token {:?} is not 64 hex digits", token.name))
            })?;
            Ok((hash, Arc::new(Caller { name: token.name, scopes: token.scopes })))
        });
        Ok(Self { all: all.collect::<Result<_>>()? })
    }

    /// Reads a file of tokens, one JSON object a line; where there is none, there are no tokens.
    ///
    /// # Errors
    /// `Config` that names the line; `Io`.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::io(e, path)),
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let tokens = lines.map(|(index, line)| {
            serde_json::from_str::<Token>(line).map_err(|e| {
                Error::config("this is no token")
                    .with_source(e)
                    .with_context("path", path.display())
                    .with_context("line", index + 1)
                    .with_hint("make one with: clipcore serve token NAME --scope ingest,read")
            })
        });
        Self::new(tokens.collect::<Result<Vec<_>>>()?)
    }

    /// Whether anybody is let in.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whose secret this is. Every token is compared, and whole, so that the time taken says nothing.
    pub(super) fn find(&self, secret: &str) -> Option<Arc<Caller>> {
        let given: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut found = None;
        for (hash, caller) in &self.all {
            if same(hash, &given) {
                found = Some(caller.clone());
            }
        }
        found
    }
}

/// Whether two hashes are the same; they are compared whole, so that the time taken says nothing.
pub(super) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    std::hint::black_box(one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

/// Tickets: what a page puts into a URL, since it cannot set headers on event streams, sockets and videos.
#[derive(Default)]
pub(super) struct Tickets {
    all: Mutex<Issued>,
}

/// By hash: until when, and for whom.
type Issued = HashMap<[u8; 32], (Duration, Arc<Caller>)>;

impl Tickets {
    fn valid(&self, now: Duration) -> MutexGuard<'_, Issued> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (until, _)| *until > now);
        all
    }

    /// A ticket that lets `caller` read.
    ///
    /// # Errors
    /// `Unavailable` where too many are out.
    pub(super) fn issue(&self, caller: &Caller, time: &dyn TimeSource) -> Result<String> {
        let now = time.elapsed();
        let ticket = hex(&random::<16>()?);
        let mut all = self.valid(now);
        if all.len() >= MAX_TICKETS {
            return Err(Error::new(ErrorKind::Unavailable, "too many tickets are out"));
        }
        let reader = Caller { name: caller.name.clone(), scopes: vec![Scope::Read] };
        all.insert(Sha256::digest(ticket.as_bytes()).into(), (now + TICKET, Arc::new(reader)));
        Ok(ticket)
    }

    pub(super) fn find(&self, ticket: &str, time: &dyn TimeSource) -> Option<Arc<Caller>> {
        let hash: [u8; 32] = Sha256::digest(ticket.as_bytes()).into();
        self.valid(time.elapsed()).get(&hash).map(|(_, caller)| caller.clone())
    }
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WallTime;
    use crate::clock::ManualTimeSource;

    #[test]
    fn a_token_is_found_by_its_secret_alone() {
        let (secret, token) = Token::generate("bot", vec![Scope::Ingest]).unwrap();
        assert!(!serde_json::to_string(&token).unwrap().contains(&secret));
        let (other, _) = Token::generate("bot", vec![Scope::Admin]).unwrap();
        let tokens = Tokens::new([token.clone()]).unwrap();
        assert_eq!(tokens.find(&secret).unwrap().name, "bot");
        for wrong in [other.as_str(), "", &secret[..secret.len() - 1], &token.sha256] {
            assert!(tokens.find(wrong).is_none());
        }
        assert!(Tokens::new([Token { sha256: "zz".into(), ..token }]).is_err());
    }

    #[test]
    fn a_ticket_reads_for_a_minute() {
        let time = ManualTimeSource::new(WallTime::from_unix_micros(0));
        let (tickets, caller) = (Tickets::default(), Caller { name: "a".into(), scopes: vec![Scope::Admin] });
        let ticket = tickets.issue(&caller, &time).unwrap();
        assert_eq!(tickets.find(&ticket, &time).unwrap().scopes, [Scope::Read]);
        assert!(tickets.find("another", &time).is_none());
        time.advance(TICKET);
        assert!(tickets.find(&ticket, &time).is_none());
    }
}
