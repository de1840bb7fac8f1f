//! Fusion: signals in, moments out.

mod active;
mod bounds;
mod calibration;
mod config;
mod decision;
mod evidence;
mod memory;
mod moment;
pub(crate) mod trace;
mod weights;

pub use bounds::Bounds;
pub use calibration::Calibration;
pub use config::{FusionConfig, FusionSetup};
pub use decision::Decision;
pub use evidence::EvidenceFusion;
pub use moment::{Evidence, Moment, MomentState, moment_id};
use serde_json::Value;
pub use weights::{Group, Role, Weights};

use crate::detector::Signal;
use crate::{Result, StreamId, Timestamp};

/// Decides, on the stream's own clock, that a moment happened.
///
/// # Contract
/// - One fusion serves one stream. The caller pushes signals in the order of
///   [`Signal::sort_key`] and calls `advance(w)` only after every signal with `at < w` was pushed.
/// - The moments depend only on the signals and on the last watermark, not on the steps in which time was
///   advanced.
/// - A moment's id is [`moment_id`] of the stream and its opening tick, fixed at first emission. Every
///   transition raises `rev` by one; `closed` and `dropped` are final.
/// - Evidence explains the score: the contributions add up to it (to rounding).
/// - `restore(snapshot())` on a fresh fusion of the same configuration continues identically.
pub trait Fusion: Send {
    /// Takes a signal in.
    fn push(&mut self, signal: &Signal);

    /// Every signal before `watermark` has been pushed; appends the transitions that follow to `out`.
    fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Moment>);

    /// The stream has ended: decides what is still open.
    fn finish(&mut self, out: &mut Vec<Moment>);

    /// The whole state.
    ///
    /// # Errors
    /// Where the state cannot be expressed as JSON.
    fn snapshot(&self) -> Result<Value>;

    /// Takes up a state that [`snapshot`](Self::snapshot) gave.
    ///
    /// # Errors
    /// `InvalidInput` where the value is not such a state; the fusion is then unchanged.
    fn restore(&mut self, state: &Value) -> Result<()>;
}

/// Makes one fusion for each stream.
pub type FusionFactory = std::sync::Arc<dyn Fn(&StreamId) -> Box<dyn Fusion> + Send + Sync>;
