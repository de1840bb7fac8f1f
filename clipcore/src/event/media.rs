//! Windows of sound and pictures. They are events to a detector, and have no wire form on purpose:
//! neither type can be serialised, so no log, sink or socket can carry them.

use std::fmt;
use std::sync::Arc;

use super::Event;
use crate::Timestamp;

/// A block of decoded sound.
#[derive(Clone)]
pub struct AudioWindow {
    /// Samples per second and channel.
    pub rate: u32,
    /// Number of interleaved channels, at least 1.
    pub channels: u16,
    /// Interleaved samples, nominally −1…1; the header's `at` is the instant of the first one.
    pub samples: Arc<[f32]>,
}

impl AudioWindow {
    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels.max(1))
    }

    /// The instant just after the last sample of a window that starts at `at`.
    pub fn end(&self, at: Timestamp) -> Timestamp {
        at.offset_micros((self.frames() as i128 * 1_000_000 / i128::from(self.rate.max(1))) as i64)
    }
}

impl fmt::Debug for AudioWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioWindow({} × {} at {} Hz)", self.frames(), self.channels, self.rate)
    }
}

impl Event for AudioWindow {
    const KIND: &'static str = "media.audio";
}

/// A decoded picture, RGB, 8 bits a channel, rows from the top without padding.
#[derive(Clone)]
pub struct VideoFrame {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height × width × 3` bytes.
    pub rgb: Arc<[u8]>,
}

impl fmt::Debug for VideoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoFrame({}×{})", self.width, self.height)
    }
}

impl Event for VideoFrame {
    const KIND: &'static str = "media.frame";
}

/// Sound as taggers take it: mono at 16 kHz, resampled from the camera's own.
#[derive(Clone)]
pub struct Audio16k {
    /// Samples, nominally −1…1; the header's `at` is the instant of the first one.
    pub samples: Arc<[f32]>,
}

impl Audio16k {
    /// Samples per second.
    pub const RATE: u32 = 16_000;
}

impl fmt::Debug for Audio16k {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audio16k({})", self.samples.len())
    }
}

impl Event for Audio16k {
    const KIND: &'static str = "media.audio_16k";
}
