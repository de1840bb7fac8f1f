use super::live::Live;
use super::{Host, HostMode};
use crate::consent::Consent;
use crate::event::media::VideoFrame;
use crate::pipeline::StreamStats;
use crate::source::Posted;
use crate::{Error, ErrorKind, Result, StreamId, Timestamp, WallTime};

impl Host {
    /// Shows a picture to the stream's detectors of pictures; it is kept nowhere. It lies at `at` on the timeline, or where the
    /// timeline was at `time`. Gives its instant.
    ///
    /// # Errors
    /// `ConsentRequired` where faces may not be looked at; `Unsupported` where nobody looks at pictures; `Unavailable` where
    /// earlier ones are still being looked at or the stream has no clock yet; else as [`accept`](Self::accept).
    pub async fn picture(
        &self,
        stream: &StreamId,
        at: Option<Timestamp>,
        time: Option<WallTime>,
        frame: VideoFrame,
    ) -> Result<Timestamp> {
        self.consent_of(stream).require(Consent { face: true, ..Consent::NONE }, "looking at pictures")?;
        if self.0.mode == HostMode::Front {
            let text = "pictures are looked at by the process that runs the stream, and this one does not";
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_hint("post them to a server that has all roles, or send face.expression events"));
        }
        self.entered(stream, |live| {
            let stats = running(stream, live, at)?;
            let pictures = live.ways().pictures.ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "nothing here looks at pictures")
                    .with_hint("it takes models of faces: clipcore models pull yunet, and one of expressions; media is looked at by itself")
            })?;
            let at = self.place(&stats, at, time)?;
            pictures.try_send(Posted { at, frame }).map_err(|_| {
                Error::new(ErrorKind::Unavailable, "earlier pictures are still being looked at")
                    .with_hint("one a second is enough")
            })?;
            Ok(at)
        })
        .await
    }

    /// Works with the stream, which is started where it is not live.
    pub(super) async fn entered<T>(
        &self,
        stream: &StreamId,
        work: impl FnOnce(&Live) -> Result<T>,
    ) -> Result<T> {
        let live = match self.enter(stream) {
            Some(live) => live,
            None => self.start(stream, None).await?,
        };
        let done = work(&live);
        live.leave(&*self.0.time);
        done
    }

    /// Where something lies that came with `at`, or with the time of day.
    pub(super) fn place(
        &self,
        stats: &StreamStats,
        at: Option<Timestamp>,
        time: Option<WallTime>,
    ) -> Result<Timestamp> {
        match (at, stats.clock.zip(stats.clock_wall)) {
            (Some(at), _) => Ok(at),
            (None, Some((clock, wall))) => {
                let time = time.unwrap_or_else(|| self.0.time.wall());
                Ok(clock.offset_micros(time.as_unix_micros().saturating_sub(wall.as_unix_micros())))
            }
            (None, None) => Err(Error::invalid("this stream's clock does not know the time of day")
                .with_hint("say where it lies with \"at\", in seconds on the stream's timeline")),
        }
    }
}

/// What the stream counts, once it runs and can place what came with `at` or without.
pub(super) fn running(stream: &StreamId, live: &Live, at: Option<Timestamp>) -> Result<StreamStats> {
    let stats = live.stats().filter(|stats| at.is_some() || stats.clock.is_some());
    stats.ok_or_else(|| Error::new(ErrorKind::Unavailable, format!("the stream {stream} is starting")))
}
