use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::consent::Consent;
use crate::ids::random;
use crate::source::LogSourceClock;

/// How a host is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// How many streams may be live at once.
    pub max_streams: usize,
    /// How many streams are remembered, live or not; further new ones are refused.
    pub max_known: usize,
    /// A stream without media to which nothing came for so long is stopped; 0 never stops one.
    #[serde(with = "crate::config::secs")]
    pub idle_stop: Duration,
    /// The longest wait between two tries of a stream that fails.
    #[serde(with = "crate::config::secs")]
    pub max_backoff: Duration,
    /// How many of its latest signals a live stream keeps to be looked at.
    pub signals: usize,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            max_streams: 64,
            max_known: 10_000,
            idle_stop: Duration::from_secs(600),
            max_backoff: Duration::from_secs(60),
            signals: 1000,
        }
    }
}

/// What a stream was asked to be.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// Its cameras' media: URLs or files. Without any, the clock is that of [`clock`](Self::clock).
    pub inputs: Vec<String>,
    /// What its people agreed to; the host's default where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// What moves its clock where it has no media.
    pub clock: LogSourceClock,
}

/// What a host does of what a stream needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum HostMode {
    /// All of it: the logs are this process's own. The default.
    #[default]
    Whole,
    /// Takes arrivals in, for workers to act on.
    Front,
    /// Runs the streams of the partitions that it claims.
    Worker(WorkerConfig),
}

/// How a worker claims partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Its name among the workers, which no other has: one that is started again under its name has at once what it had. One
    /// is made up where it is empty.
    pub name: String,
    /// How long a claim lasts that is not renewed: so long nobody acts for the streams of a worker that has died.
    #[serde(with = "crate::config::secs")]
    pub claim: Duration,
    /// How many partitions it has at most; 0, the default, leaves it at an even share of them, as many as every other worker.
    pub max_partitions: usize,
}

impl WorkerConfig {
    /// Its name, or one that says what this process does and that nobody else has.
    pub(crate) fn name_or(&self, what: &str) -> String {
        match (&*self.name, random::<4>()) {
            ("", Ok(number)) => format!("{what}-{}-{}", std::process::id(), crate::hex(&number)),
            ("", Err(_)) => format!("{what}-{}", std::process::id()),
            (name, _) => name.to_owned(),
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { name: String::new(), claim: Duration::from_secs(10), max_partitions: 0 }
    }
}
