use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo};
use serde::{Deserialize, Serialize};

use super::explain;
use crate::{Error, Result};

const TLS: &str = "rediss:";

/// Where a Redis server is: `redis://[[user]:password@]host[:port][/database]` or `redis+unix:///path?db=0`; with TLS (feature
/// `redis-tls`) `rediss://`.
///
/// With TLS the server's certificate must be signed by an authority that the system knows, or by one in the file that
/// `?ssl_ca_certs=FILE` names; a server that asks for a certificate gets the one of `&ssl_certfile=FILE&ssl_keyfile=FILE`. All
/// are PEM. These are redis-py's names, so that RQ's workers can have the same URL. Where the process has no default provider of
/// rustls, connecting sets one (ring).
///
/// Its password is shown neither in messages nor by `Debug`; it is written when the URL is serialised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedisUrl {
    url: String,
    shown: Arc<str>,
}

impl RedisUrl {
    /// The server without user and password, as messages name it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// A client that sends small commands at once instead of collecting them (Nagle's algorithm, on by default in
    /// redis-rs 1), and that notices within `limit` when the other side does not acknowledge what was sent.
    pub(crate) fn client(&self, limit: Duration) -> Result<Client> {
        let tcp = TcpSettings::default().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(limit);
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
        let info = self.url.as_str().into_connection_info().map_err(|e| explain(&e, &self.shown))?;
        let info = info.set_tcp_settings(tcp);
        #[cfg(feature = "redis-tls")]
        if self.url.starts_with(TLS) {
            return super::tls::client(info, &self.url, &self.shown);
        }
        Client::open(info).map_err(|e| explain(&e, &self.shown))
    }
}

impl FromStr for RedisUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::config(format!("this is not the address of a Redis server: {why}")).with_hint(
                "it looks like redis://localhost:6379/0, with a password redis://:secret@localhost",
            )
        };
        let tls = url.starts_with(TLS);
        if tls && cfg!(not(feature = "redis-tls")) {
            return Err(wrong("TLS is not built in".to_owned()).with_hint(
                "build clipcore with the feature redis-tls, or use redis:// in a private network",
            ));
        }
        if tls && (url.contains("#insecure") || url.contains("ssl_cert_reqs=")) {
            return Err(wrong("certificates are always checked".to_owned()).with_hint(
                "name the authority that signed the server's: rediss://HOST?ssl_ca_certs=FILE, not redis://",
            ));
        }
        let info = url.into_connection_info().map_err(|e| wrong(e.to_string()))?;
        let scheme = if tls { "rediss" } else { "redis" };
        let database = info.redis_settings().db();
        let shown = match database {
            0 => format!("{scheme}://{}", info.addr()),
            _ => format!("{scheme}://{}/{database}", info.addr()),
        };
        Ok(Self { url: url.to_owned(), shown: shown.into() })
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = Error;

    fn try_from(url: String) -> Result<Self> {
        url.parse()
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.url
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.shown).finish()
    }
}

/// A server at its usual place on this machine.
impl Default for RedisUrl {
    fn default() -> Self {
        Self { url: "redis://127.0.0.1:6379".to_owned(), shown: "redis://127.0.0.1:6379".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn passwords_are_not_shown() {
        let url: RedisUrl = "redis://bob:hush@example.org:7000/3".parse().unwrap();
        assert_eq!(url.to_string(), "redis://example.org:7000/3");
        assert!(!format!("{url:?}").contains("hush"));
        assert_eq!(String::from(url), "redis://bob:hush@example.org:7000/3");
    }

    #[test]
    fn wrong_addresses_say_what_a_right_one_looks_like() {
        let untold = "rediss://localhost?ssl_cert_reqs=none";
        for wrong in ["", "localhost", "http://localhost", "redis://:x", untold, "redis://h:99999"] {
            let err = wrong.parse::<RedisUrl>().unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Config, "{wrong}");
            assert!(err.to_string().contains("redis://"), "{err}");
        }
    }
}
