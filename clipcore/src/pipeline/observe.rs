//! What people and programs around a pipeline are told while it runs.

use std::fmt;
use std::sync::Arc;

use super::stats::StreamStats;
use crate::detector::Signal;
use crate::{ErrorKind, StreamId, Timestamp};

/// Something a person should know; the stream goes on unless it says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The stream concerned.
    pub stream: StreamId,
    /// What happened, in one line.
    pub text: String,
    /// The kind of error behind it, where there is one.
    pub error: Option<ErrorKind>,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stream, self.text)
    }
}

/// How far a stream has come, told at each of its clock records.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The stream.
    pub stream: StreamId,
    /// Its clock.
    pub clock: Timestamp,
    /// What was counted so far.
    pub stats: StreamStats,
}

type Callback<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// The callbacks; each is called from the stream's task and must return soon.
#[derive(Clone)]
pub(super) struct Observers {
    pub(super) notice: Callback<Notice>,
    pub(super) progress: Option<Callback<Progress>>,
    pub(super) signal: Option<Callback<Signal>>,
}

impl Default for Observers {
    fn default() -> Self {
        let notice = |notice: &Notice| tracing::warn!(stream = %notice.stream, "{}", notice.text);
        Self { notice: Arc::new(notice), progress: None, signal: None }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observers")
    }
}
