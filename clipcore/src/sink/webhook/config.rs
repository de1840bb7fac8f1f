//! How webhooks go out, and where.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Url};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::guard::is_public;
use crate::webhook::HookSecret;
use crate::{Error, Result, config};

/// How moments and clips go to a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSinkConfig {
    /// The receiver.
    pub url: HookUrl,
    /// What messages are signed with, one `whsec_…` or a list: each signs, so that a receiver can change from one to
    /// another. Never printed.
    #[serde(default, deserialize_with = "one_or_more")]
    pub secrets: Vec<HookSecret>,
    /// A file with further secrets, one a line; lines that begin with `#` are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_file: Option<PathBuf>,
    /// A file of certificates (PEM) of authorities that may have signed the receiver's, beside those that the system knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether transitions of moments are sent.
    #[serde(default = "yes")]
    pub moments: bool,
    /// Whether transitions of clips are sent.
    #[serde(default = "yes")]
    pub clips: bool,
    /// Whether the receiver may lie in a private network or on this machine.
    #[serde(default)]
    pub allow_private: bool,
    /// How long a message may take; in seconds in files.
    #[serde(default = "usual_timeout", with = "config::secs")]
    pub timeout: Duration,
}

fn yes() -> bool {
    true
}

fn usual_timeout() -> Duration {
    Duration::from_secs(15)
}

fn one_or_more<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<HookSecret>, D::Error> {
    struct Secrets;
    impl<'de> de::Visitor<'de> for Secrets {
        type Value = Vec<HookSecret>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a secret that begins with whsec_, or a list of them")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.split(',').map(|one| HookSecret::new(one.trim()).map_err(E::custom)).collect()
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut secrets = Vec::new();
            while let Some(secret) = list.next_element()? {
                secrets.push(secret);
            }
            Ok(secrets)
        }
    }
    d.deserialize_any(Secrets)
}

impl WebhookSinkConfig {
    /// Sends moments and clips to `url`, signed with `secrets`.
    pub fn new(url: HookUrl, secrets: Vec<HookSecret>) -> Self {
        Self {
            url,
            secrets,
            secrets_file: None,
            ca_file: None,
            moments: true,
            clips: true,
            allow_private: false,
            timeout: usual_timeout(),
        }
    }

    /// The certificates of `ca_file`.
    pub(super) fn authorities(&self) -> Result<Vec<Certificate>> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let wrong = |e: &dyn std::error::Error| {
            Error::config("the webhook's file of certificates cannot be used")
                .with_context("ca_file", path.display())
                .with_source(e.to_string())
                .with_hint("it holds PEM: -----BEGIN CERTIFICATE-----")
        };
        let text = std::fs::read(path).map_err(|e| wrong(&e))?;
        match Certificate::from_pem_bundle(&text) {
            Ok(all) if all.is_empty() => Err(wrong(&std::io::Error::other("there is none in it"))),
            all => all.map_err(|e| wrong(&e)),
        }
    }

    /// The secrets of configuration and file.
    pub(super) fn all_secrets(&self) -> Result<Vec<HookSecret>> {
        let mut secrets = self.secrets.clone();
        if let Some(path) = &self.secrets_file {
            let text = std::fs::read_to_string(path).map_err(|e| {
                Error::config("the file of secrets cannot be read")
                    .with_context("secrets_file", path.display())
                    .with_source(e)
            })?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in lines {
                let wrong = |e: Error| e.with_context("secrets_file", path.display());
                secrets.push(HookSecret::new(line).map_err(wrong)?);
            }
        }
        if secrets.is_empty() {
            return Err(Error::config("there is no secret to sign with").with_hint(
                "set secrets or secrets_file; make one with: echo whsec_$(openssl rand -base64 32)",
            ));
        }
        Ok(secrets)
    }
}

/// The address of a receiver: `http://` or `https://`, without user and password.
///
/// Messages and `Debug` name it without its query, and so does its serialised form, since many services put a secret
/// there.
#[derive(Clone, PartialEq, Eq)]
pub struct HookUrl {
    url: Url,
    shown: Arc<str>,
}

impl HookUrl {
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it names an address, rather than a host, that is not public.
    pub(super) fn is_private(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        host.parse::<IpAddr>().is_ok_and(|ip| !is_public(ip))
    }
}

impl FromStr for HookUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Err(Error::config(format!("this is not the address of a webhook: {why}"))
                .with_hint("it looks like https://example.org/hooks/clips"))
        };
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(e) => return wrong(&e.to_string()),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return wrong("it does not begin with https:// or http://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("it holds a user or password; messages are signed instead");
        }
        let mut shown = url.clone();
        shown.set_fragment(None);
        shown.set_query(url.query().map(|_| "hidden"));
        Ok(Self { url, shown: shown.as_str().into() })
    }
}

impl fmt::Display for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookUrl({})", self.shown)
    }
}

impl Serialize for HookUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HookUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn secrets_come_from_text_list_and_file_and_are_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("# new\n{SECRET}\n\n")).unwrap();
        let path = file.path().display();
        for (text, count) in [
            (format!("secrets = '{SECRET}'"), 1),
            (format!("secrets = ['{SECRET}', '{SECRET}']"), 2),
            (format!("secrets = '{SECRET}'\nsecrets_file = '{path}'"), 2),
            (format!("secrets_file = '{path}'"), 1),
        ] {
            let config: WebhookSinkConfig =
                toml::from_str(&format!("url = 'https://x.org/a?token=hush'\n{text}")).unwrap();
            assert_eq!(config.all_secrets().unwrap().len(), count, "{text}");
            let printed = toml::to_string(&config).unwrap() + &format!("{config:?}");
            assert!(!printed.contains("MfKQ") && !printed.contains("hush"), "{printed}");
            assert!(printed.contains("https://x.org/a"), "{printed}");
        }
        let none: WebhookSinkConfig = toml::from_str("url = 'https://x.org'").unwrap();
        assert!(none.all_secrets().unwrap_err().to_string().contains("openssl"));
    }

    #[test]
    fn addresses_are_judged_however_they_are_written() {
        for text in ["ftp://x", "x.org/a", "https://user:pw@x.org", "https://", ""] {
            let error = text.parse::<HookUrl>().unwrap_err().to_string();
            assert!(error.contains("https://example.org") && !error.contains("pw"), "{error}");
        }
        for text in [
            "http://127.0.0.1/",
            "http://2130706433",
            "http://0x7f.1",
            "http://[::1]:80",
            "http://[::ffff:a00:1]/",
        ] {
            assert!(text.parse::<HookUrl>().unwrap().is_private(), "{text}");
        }
        assert!(!"https://1.1.1.1/x".parse::<HookUrl>().unwrap().is_private());
    }
}
