use std::sync::atomic::Ordering;
use std::time::Duration;

use super::live::Live;
use super::picture::running;
use super::{Host, HostMode};
use crate::event::media::AudioWindow;
use crate::source::Heard;
use crate::{Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

/// Pieces may overlap by this much, which rounding does.
const OVERLAP: Duration = Duration::from_millis(20);
/// How far ahead of the stream's clock sound may lie.
const MAX_AHEAD: Duration = Duration::from_secs(60);

impl Host {
    /// Where sound begins whose first sample lies at `at` on the timeline, or where the timeline was at `time`.
    ///
    /// # Errors
    /// `Unsupported` where nobody listens to what is sent; `Unavailable` where the stream is only starting; `InvalidInput` where
    /// it would be heard before what was, or lies far ahead; else as [`accept`](Self::accept).
    pub async fn sound_begins(
        &self,
        stream: &StreamId,
        at: Option<Timestamp>,
        time: Option<WallTime>,
    ) -> Result<Timestamp> {
        self.listened(stream, |live| {
            let stats = running(stream, live, at)?;
            let at = self.place(&stats, at, time)?;
            fits(live, at, at)?;
            Ok(at)
        })
        .await
    }

    /// Plays a piece of sound to the stream's detectors of sound; it is kept nowhere. Its first sample lies at `at`.
    ///
    /// It must come in time: what its detectors find counts as long as the stream's watermark has not passed it.
    ///
    /// # Errors
    /// `InvalidInput` where it lies before what was heard, behind the watermark, or far ahead of the clock; `Unavailable` where
    /// earlier pieces are still being listened to: it was dropped, and is a hole; else as [`sound_begins`](Self::sound_begins).
    pub async fn sound(&self, stream: &StreamId, at: Timestamp, window: AudioWindow) -> Result<()> {
        self.listened(stream, |live| {
            running(stream, live, Some(at))?;
            let end = window.end(at);
            fits(live, at, end)?;
            let sounds = live.ways().sounds.ok_or_else(deaf)?;
            sounds.try_send(Heard { at, window }).map_err(|_| {
                Error::new(
                    ErrorKind::Unavailable,
                    "earlier sound is still being listened to: this piece is left out",
                )
            })?;
            live.heard.fetch_max(end.as_micros(), Ordering::SeqCst);
            Ok(())
        })
        .await
    }

    async fn listened<T>(&self, stream: &StreamId, work: impl FnOnce(&Live) -> Result<T>) -> Result<T> {
        if self.0.mode == HostMode::Front {
            let text = "sound is listened to by the process that runs the stream, and this one does not";
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_hint("send it to a server that has all roles, or send audio.level events"));
        }
        self.entered(stream, |live| {
            // While it is starting, nobody knows.
            if live.stats().is_some() && live.ways().sounds.is_none() {
                return Err(deaf());
            }
            work(live)
        })
        .await
    }
}

fn deaf() -> Error {
    Error::new(ErrorKind::Unsupported, "nothing here listens to sound that is sent").with_hint(
        "a stream with media has its sound from there; else see detectors.off of the configuration",
    )
}

fn fits(live: &Live, at: Timestamp, end: Timestamp) -> Result<()> {
    let heard = Timestamp::from_micros(live.heard.load(Ordering::SeqCst));
    if heard > Timestamp::MIN && at < heard - OVERLAP {
        return Err(Error::invalid(format!("sound up to {heard} was taken, and this begins at {at}"))
            .with_hint("sound goes forward: say anew where it lies, and leave out what was sent"));
    }
    let Some(stats) = live.stats() else { return Ok(()) };
    if let Some(watermark) = stats.watermark.filter(|watermark| end < *watermark) {
        return Err(Error::invalid(format!(
            "this ends at {end}, and the stream is decided up to {watermark}"
        ))
        .with_hint("send sound as it is recorded, or raise engine.lateness"));
    }
    if let Some(clock) = stats.clock.filter(|clock| at > *clock + MAX_AHEAD) {
        return Err(Error::invalid(format!(
            "this begins {:.0} s ahead of the stream, which is at {clock}",
            at.secs_since(clock)
        ))
        .with_hint("\"at\" is seconds on the stream's timeline; give the time of day as \"time\""));
    }
    Ok(())
}
