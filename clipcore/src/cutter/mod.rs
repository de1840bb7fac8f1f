//! Cutter: from a moment to a clip file.

mod clip;
#[cfg(feature = "media")]
mod cut;
#[cfg(feature = "media")]
mod encode;
#[cfg(feature = "media")]
mod media;
#[cfg(feature = "media")]
mod plan;
#[cfg(feature = "media")]
mod recut;
#[cfg(feature = "media")]
mod stills;
#[cfg(feature = "media")]
mod verify;

use async_trait::async_trait;
#[cfg(feature = "media")]
use clip::clip_file;
#[cfg(feature = "runtime")]
pub(crate) use clip::clip_file_of;
pub use clip::{Clip, ClipState, Profile, Span, clip_id};
#[cfg(feature = "media")]
pub use cut::{CutReport, CutRequest, PreparedHead, cut, prepare_head};
use futures::channel::mpsc;
#[cfg(feature = "media")]
pub use media::{CutterConfig, MediaCutter};
#[cfg(feature = "media")]
pub(crate) use plan::is_closed;
#[cfg(feature = "media")]
pub use recut::{MAX_RECUT, recut};

use crate::fusion::Moment;
use crate::sink::Delivery;
use crate::{CameraId, Result, Timestamp};

/// Where a cutter puts clips' transitions; bounded.
pub type Deliveries = mpsc::Sender<Delivery>;

/// Makes the clips of one camera of one stream.
///
/// # Contract
/// - `moment` is told every transition in order and returns soon: `provisional` keeps the recording from being
///   trimmed, `open` may prepare, `closed` asks for the file, `dropped` lets go. The clip's own transitions
///   (`pending`, then `ready` or `failed`) go to `out`.
/// - After a restart the latest transition of each unfinished moment is told again; a clip whose file is there and verified is
///   reported `ready` again and not cut again.
/// - A file under its final name is whole and verified.
#[async_trait]
pub trait Cutter: Send + Sync {
    /// The camera.
    fn camera(&self) -> &CameraId;

    /// Takes up a moment's transition.
    ///
    /// # Errors
    /// Where no clip of the moment can be made at all.
    async fn moment(&self, moment: &Moment, out: &Deliveries) -> Result<()>;

    /// Moments are decided up to this instant of stream time: media before it, less the longest look-back, will not be
    /// asked for by moments that are still to come.
    fn watermark(&self, at: Timestamp) {
        let _ = at;
    }

    /// No more media will come: finishes what is pending, then returns.
    ///
    /// # Errors
    /// Where pending clips could not be finished.
    async fn finish(&self) -> Result<()>;
}
