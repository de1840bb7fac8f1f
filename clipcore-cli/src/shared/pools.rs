use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clipcore::{Error, Result};
use serde::{Deserialize, Serialize};

/// Detectors that look at sound and pictures: those that can run apart from the streams' workers.
const DETECTORS: [&str; 4] = ["loudness", "audio_tagger", "voice_activity", "face"];

/// Names of pools, and the detectors of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pools(BTreeMap<String, Vec<String>>);

impl Pools {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The detectors of all of them.
    pub fn detectors(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(String::as_str)
    }

    /// The detectors that may run apart and are not of this pool.
    ///
    /// # Errors
    /// `Config` where there is no such pool.
    pub fn others(&self, pool: &str) -> Result<Vec<String>> {
        let mine = self.0.get(pool).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            Error::config(format!("there is no pool {pool:?}"))
                .with_hint(format!("pools stand in [shared.pools]: {}", known.join(", ")))
        })?;
        let others = DETECTORS.into_iter().filter(|name| !mine.iter().any(|m| m == name));
        Ok(others.map(str::to_owned).collect())
    }

    pub(super) fn validate(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let mut seen = BTreeSet::new();
        for (name, detectors) in &self.0 {
            if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
                return Err(Error::config(format!("shared.pools: {name:?} is no name of a pool"))
                    .with_hint("take up to 32 of a-z, 0-9, - and _"));
            }
            for detector in detectors {
                if !DETECTORS.contains(&detector.as_str()) {
                    return Err(Error::config(format!(
                        "shared.pools.{name} names {detector:?}, which cannot run apart"
                    ))
                    .with_hint(format!(
                        "these can: {}; detectors of events run with the stream",
                        DETECTORS.join(", ")
                    )));
                }
                if !seen.insert(detector) {
                    return Err(Error::config(format!("shared.pools: {detector} is in two pools"))
                        .with_hint("its signals would count twice: leave it in one"));
                }
            }
        }
        Ok(())
    }
}

/// How workers let pools read what they record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingsConfig {
    /// Address and port where a worker serves what it records; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How pools reach that; http:// and the address where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What whoever reads must say; needed where others than this machine could reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Default for RecordingsConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), url: None, secret: None }
    }
}

impl RecordingsConfig {
    pub(super) fn validate(&self) -> Result<()> {
        if self.secret.as_ref().is_some_and(|secret| secret.len() < 16) {
            return Err(Error::config("shared.recordings.secret is shorter than 16 characters")
                .with_hint("make one with: openssl rand -hex 24"));
        }
        if self.secret.is_none() && !self.listen.ip().is_loopback() {
            return Err(Error::config(format!(
                "others could read recordings at {}, and there is no secret",
                self.listen
            ))
            .with_hint(
                "set shared.recordings.secret, the same for workers and pools: openssl rand -hex 24",
            ));
        }
        if self.url.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(Error::config("shared.recordings.url does not begin with http:// or https://"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(text: &str) -> Result<Pools> {
        let pools: Pools = toml::from_str(text).unwrap();
        pools.validate().map(|()| pools)
    }

    #[test]
    fn a_detector_runs_in_one_pool_and_only_where_it_can() {
        let some = pools("gpu = [\"face\", \"audio_tagger\"]\ncpu = [\"loudness\"]").unwrap();
        assert_eq!(some.others("gpu").unwrap(), ["loudness", "voice_activity"]);
        let error = some.others("tpu").unwrap_err().to_string();
        assert!(error.contains("\"tpu\""), "{error}");
        for (text, says) in [
            ("gpu = [\"chat_burst\"]", "cannot run apart"),
            ("a = [\"face\"]\nb = [\"face\"]", "in two pools"),
            ("\"a/b\" = []", "no name of a pool"),
        ] {
            let error = pools(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn recordings_that_others_could_reach_need_a_secret() {
        let open = RecordingsConfig { listen: "0.0.0.0:8485".parse().unwrap(), ..Default::default() };
        assert!(open.validate().unwrap_err().to_string().contains("no secret"));
        assert!(RecordingsConfig { secret: Some("0123456789abcdef".into()), ..open }.validate().is_ok());
        RecordingsConfig::default().validate().unwrap();
    }
}
