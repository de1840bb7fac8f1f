//! Signing and verifying webhooks, as Standard Webhooks 1.0 says:
//! `webhook-signature` holds `v1,BASE64(HMAC-SHA256(secret, id.timestamp.body))`, several where secrets are being changed.
//!
//! The gateway verifies what comes in, [`WebhookSink`](crate::sink::WebhookSink) signs what goes out, and who receives
//! that in Rust verifies it so:
//!
//! ```
//! use clipcore::WallTime;
//! use clipcore::webhook::{HookSecret, verify_hook};
//!
//! # fn main() -> clipcore::Result<()> {
//! let secret = HookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let (id, body) = ("5f3a09c2-3", br#"{"type":"clipcore.moment"}"#);
//! let (now, timestamp) = (WallTime::from_unix_micros(1_764_000_000_000_000), "1764000000");
//! let signature = secret.sign(id, timestamp, body);
//! verify_hook(&[secret], id, timestamp, &signature, body, now)
//! # }
//! ```

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::{Error, Result, WallTime};

/// A message is good for so long before and after its timestamp.
const WINDOW: Duration = Duration::from_secs(300);
/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// A header of more signatures than this is refused.
const MAX_SIGNATURES: usize = 16;

/// A secret shared with whoever sends webhooks: `whsec_` and 24 to 64 bytes as base64.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSecret(Vec<u8>);

impl std::fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookSecret(…)")
    }
}

impl HookSecret {
    /// Reads a secret.
    ///
    /// # Errors
    /// `Config` where it is none.
    pub fn new(text: &str) -> Result<Self> {
        let bytes = text.strip_prefix(PREFIX).and_then(unbase64).filter(|b| (24..=64).contains(&b.len()));
        bytes.map(Self).ok_or_else(|| {
            Error::config("this is no secret for webhooks")
                .with_hint("it begins with whsec_ and goes on with 24 to 64 bytes as base64")
        })
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }

    /// The signature of a message, as `webhook-signature` holds it.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mac = self.mac(id, timestamp, body).map(|mac| mac.finalize().into_bytes());
        format!("v1,{}", base64(mac.as_deref().unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for HookSecret {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for HookSecret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        // What is printed of a configuration is not to hold secrets; it cannot be read back.
        s.serialize_str("whsec_(hidden)")
    }
}

/// Checks what the three headers of a message say; its id is then to be taken once.
///
/// # Errors
/// `InvalidInput` that says which header is wrong, never what would be right.
pub fn verify_hook(
    secrets: &[HookSecret],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: WallTime,
) -> Result<()> {
    if id.is_empty() || id.len() > 256 {
        return Err(Error::invalid("webhook-id is empty or longer than 256 bytes"));
    }
    let seconds: i64 = timestamp
        .parse()
        .map_err(|_| Error::invalid("webhook-timestamp is not a number of seconds since 1970"))?;
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|one| one.strip_prefix("v1,").and_then(unbase64))
        .collect();
    if given.is_empty() {
        return Err(Error::invalid("webhook-signature holds no signature of version v1"));
    }
    let signed = secrets.iter().any(|secret| {
        // `verify_slice` takes the same time whatever differs.
        given
            .iter()
            .any(|one| secret.mac(id, timestamp, body).is_some_and(|mac| mac.verify_slice(one).is_ok()))
    });
    if !signed {
        return Err(Error::invalid("webhook-signature does not fit the message"));
    }
    let age = i128::from(now.as_unix_micros()) - i128::from(seconds) * 1_000_000;
    if age.unsigned_abs() > WINDOW.as_micros() {
        return Err(Error::invalid("webhook-timestamp is more than five minutes off").with_hint(
            "check the clocks; a message that is sent again needs a new timestamp and signature",
        ));
    }
    Ok(())
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

/// Standard base64 with its padding; nothing for any other text.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.as_bytes().chunks(4) {
        let mut n = 0_u32;
        for digit in chunk {
            n = n << 6 | DIGITS.iter().position(|d| d == digit)? as u32;
        }
        n <<= 6 * (4 - chunk.len());
        // Bits that stand for nothing would make two texts of one signature.
        if n & ((1 << (8 * (4 - chunk.len()))) - 1) != 0 {
            return None;
        }
        bytes.extend_from_slice(&n.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_614_265_330;

    fn check(secret: &str, id: &str, at: &str, signatures: &str, body: &[u8]) -> Result<()> {
        let secrets = [HookSecret::new(secret)?];
        verify_hook(&secrets, id, at, signatures, body, WallTime::from_unix_micros(NOW * 1_000_000))
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
            assert_eq!(unbase64(coded).unwrap(), plain.as_bytes());
        }
        for wrong in ["Z", "Zg", "Zg=", "Z===", "Zm9v!mFy", "=", "====", "Zh=="] {
            assert_eq!(unbase64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_example_of_the_standard_verifies() {
        // https://github.com/standard-webhooks/standard-webhooks, libraries/*/test: the vector that all of them share.
        let (secret, id) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek");
        let (at, body) = ("1614265330", br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(HookSecret::new(secret).unwrap().sign(id, at, body), signature);
        check(secret, id, at, &format!("v1,AAAA v2,x {signature}"), body).unwrap();
        for (id, at, signature, body, says) in [
            (id, at, signature, &b"{}"[..], "does not fit"),
            ("msg_x", at, signature, body, "does not fit"),
            (id, "1614265331", signature, body, "does not fit"),
            (id, "soon", signature, body, "webhook-timestamp"),
            (id, at, "v1a,xx", body, "no signature"),
            ("", at, signature, body, "webhook-id"),
        ] {
            let error = check(secret, id, at, signature, body).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_is_old_or_from_the_future_is_refused() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = HookSecret::new(text).unwrap();
        for (offset, good) in
            [(-299, true), (299, true), (-301, false), (301, false), (i64::MAX - NOW, false)]
        {
            let at = (NOW + offset).to_string();
            let checked = check(text, "id", &at, &secret.sign("id", &at, b"x"), b"x");
            assert_eq!(checked.is_ok(), good, "{offset}: {checked:?}");
        }
        for wrong in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(HookSecret::new(wrong).is_err());
        }
    }
}
