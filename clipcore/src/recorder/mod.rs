//! Recorder: rolling encoded media on disk, indexed by stream time; the log of pixels and sound.
//!
//! A recording is a folder of fragmented MP4 files of about four seconds, each beginning where decoding can
//! begin. Parts of at most 200 ms are written with one `write` each, so a crash loses no more than that. Decode times
//! (`tfdt`) are absolute on the stream's timeline, in the track's ticks, as signed 64-bit numbers; there are no edit lists.
//! The first box after `ftyp` is a `uuid` box with [`SegmentInfo`] as JSON: what a recording needs to be understood
//! without anything beside it.
//!
//! The index is in memory and rebuilt by reading the fragments' headers when a recording is opened.

mod index;
mod recording;
mod scan;
mod segment;
mod tail;
mod write;

pub use index::{IndexedSample, Slice};
pub use recording::{Pin, Recording, RecordingStats};
pub use segment::{SEGMENT_UUID, SegmentInfo};
use serde::{Deserialize, Serialize};
use std::time::Duration;
pub use tail::{Recordings, Tail};
pub use write::Recorder;

/// How a recording is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecorderConfig {
    /// Media older than this, from the newest recorded instant, is deleted.
    #[serde(with = "crate::config::secs")]
    pub retain: Duration,
    /// Bytes beyond which the oldest media is deleted.
    pub max_bytes: u64,
    /// Bytes beyond which even media that pending clips need is deleted; those clips then fail with their reason.
    pub max_pinned_bytes: u64,
    /// Free bytes of the file system below which the oldest media is deleted early; below half of it no clip
    /// is begun.
    pub min_free_bytes: u64,
    /// A file ends at the first place where decoding can begin after this.
    #[serde(with = "crate::config::secs")]
    pub segment: Duration,
    /// Media is written in parts of this length: what a crash may lose.
    #[serde(with = "crate::config::secs")]
    pub part: Duration,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            retain: Duration::from_secs(600),
            max_bytes: 4 << 30,
            max_pinned_bytes: 8 << 30,
            min_free_bytes: 256 << 20,
            segment: Duration::from_secs(4),
            part: Duration::from_millis(200),
        }
    }
}

impl RecorderConfig {
    /// Checks that the settings make sense together.
    ///
    /// # Errors
    /// `Config` that names the setting.
    pub fn validate(&self) -> crate::Result<()> {
        let bad = |key: &str, why: &str| Err(crate::Error::config(format!("recorder.{key} {why}")));
        if self.retain < Duration::from_secs(30) {
            return bad("retain", "is below 30 s: a moment's pre-roll would be gone before it is decided");
        }
        if self.max_bytes < 16 << 20 {
            return bad("max_bytes", "is below 16 MiB");
        }
        if self.max_pinned_bytes < self.max_bytes {
            return bad("max_pinned_bytes", "is below max_bytes");
        }
        if !(Duration::from_millis(500)..=Duration::from_secs(60)).contains(&self.segment) {
            return bad("segment", "is not between 0.5 and 60 s");
        }
        if !(Duration::from_millis(20)..=Duration::from_secs(2)).contains(&self.part) {
            return bad("part", "is not between 0.02 and 2 s");
        }
        Ok(())
    }
}
