use std::fmt;
use std::str::FromStr;

use clipcore::redis::RedisUrl;
use clipcore::{Error, Result};
use serde::{Deserialize, Serialize};

/// Where the logs are that processes share: `redis://HOST:PORT` or `kafka://HOST:PORT,HOST:PORT…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SharedUrl {
    /// A Redis server.
    Redis(RedisUrl),
    /// Some of the brokers of a Kafka cluster: `host:port`, with commas between.
    Kafka(String),
}

impl FromStr for SharedUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let Some(brokers) = url.strip_prefix("kafka://") else {
            return match url.split_once("://") {
                Some((scheme, _)) if !["redis", "rediss"].contains(&scheme) => {
                    Err(Error::config(format!("logs cannot be shared over {scheme}"))
                        .with_hint("url is redis://HOST:6379 or kafka://HOST:9092,HOST:9092"))
                }
                _ => Ok(Self::Redis(url.parse()?)),
            };
        };
        let brokers: Option<Vec<String>> = brokers.trim_end_matches('/').split(',').map(with_port).collect();
        let brokers = brokers.ok_or_else(|| {
            Error::config("these are not the addresses of Kafka brokers").with_hint(
                "url looks like kafka://one:9092,two:9092; what else clients need stands under shared.kafka.settings",
            )
        })?;
        Ok(Self::Kafka(brokers.join(",")))
    }
}

/// A broker with its port, the usual one where it names none.
fn with_port(broker: &str) -> Option<String> {
    let (host, port) = match broker.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (broker, 9092_u16),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    (!host.is_empty() && port > 0 && host.bytes().all(plain)).then(|| format!("{host}:{port}"))
}

impl TryFrom<String> for SharedUrl {
    type Error = Error;

    fn try_from(url: String) -> Result<Self> {
        url.parse()
    }
}

impl From<SharedUrl> for String {
    fn from(url: SharedUrl) -> Self {
        match url {
            SharedUrl::Redis(url) => url.into(),
            SharedUrl::Kafka(brokers) => format!("kafka://{brokers}"),
        }
    }
}

/// Without passwords.
impl fmt::Display for SharedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(url) => url.fmt(f),
            Self::Kafka(brokers) => write!(f, "kafka://{brokers}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_have_the_usual_port_unless_they_say_another() {
        for (url, brokers) in [
            ("kafka://one", "one:9092"),
            ("kafka://one:9093,two/", "one:9093,two:9092"),
            ("kafka://[::1],10.0.0.1:1", "[::1]:9092,10.0.0.1:1"),
        ] {
            let wanted = SharedUrl::Kafka(brokers.to_owned());
            let parsed: SharedUrl = url.parse().unwrap();
            assert_eq!(parsed, wanted);
            assert_eq!(String::from(parsed).parse::<SharedUrl>().unwrap(), wanted);
        }
        assert!(matches!("redis://db".parse(), Ok(SharedUrl::Redis(_))));
    }

    #[test]
    fn what_is_no_server_says_what_one_looks_like() {
        let wrong = [
            "kafka://",
            "kafka://one,",
            "kafka://user:hush@one",
            "kafka://one:0",
            "kafka://one:x",
            "nats://one",
        ];
        for url in wrong {
            let error = url.parse::<SharedUrl>().unwrap_err();
            assert!(error.hint().unwrap().contains("kafka://"), "{url}: {error}");
            assert!(!error.to_string().contains("hush"));
        }
    }
}
