//! What becomes of sound that a socket brings.

use std::time::Duration;

use serde_json::{Value, json};

use super::pcm::PcmSpec;
use super::problem::Problem;
use super::socket::Session;
use crate::event::media::AudioWindow;
use crate::{Error, Result, Timestamp};

/// How long a stream that is starting is waited for.
const STARTING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Sound that was announced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sounding {
    spec: PcmSpec,
    begin: Timestamp,
    /// Samples of each channel since, those of pieces that were refused as well: time goes on.
    samples: u64,
}

impl Session {
    /// A text message says what comes.
    pub(super) async fn sound_begins(&mut self, text: &str) -> Value {
        self.number += 1;
        self.sound = None;
        match self.begin(text).await {
            Ok(sounding) => {
                self.sound = Some(sounding);
                json!({"ack": self.number, "at": sounding.begin})
            }
            Err(error) => self.refused(error),
        }
    }

    async fn begin(&self, text: &str) -> Result<Sounding> {
        let spec = PcmSpec::parse(text)?;
        let began = self.app.time.elapsed();
        loop {
            match begins(self, &spec).await {
                Ok(begin) => return Ok(Sounding { spec, begin, samples: 0 }),
                Err(error)
                    if error.is_retryable() && self.app.time.elapsed().saturating_sub(began) < STARTING =>
                {
                    self.app.time.sleep(LOOK).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A binary message holds samples.
    pub(super) async fn sound(&mut self, bytes: &[u8]) -> Value {
        self.number += 1;
        match self.piece(bytes).await {
            Ok(until) => {
                self.app.metrics.sounds.inc();
                json!({"ack": self.number, "until": until})
            }
            Err(error) => {
                self.app.metrics.sounds_refused.inc();
                self.refused(error)
            }
        }
    }

    async fn piece(&mut self, bytes: &[u8]) -> Result<Timestamp> {
        let sounding = self.sound.as_mut().ok_or_else(|| {
            Error::invalid("nothing has said what this sound is")
                .with_hint(r#"first send a text message such as {"pcm":{"format":"s16le","rate":48000,"channels":2,"at":12.5}}"#)
        })?;
        let Sounding { spec, begin, samples } = *sounding;
        let at = spec.after(begin, samples);
        sounding.samples += spec.samples_in(bytes.len());
        let until = spec.after(begin, sounding.samples);
        play(self, at, spec.decode(bytes)?).await?;
        Ok(until)
    }

    fn refused(&self, error: Error) -> Value {
        let error = serde_json::to_value(Problem::from(error).into_body()).unwrap_or_default();
        json!({"nack": self.number, "error": error})
    }
}

#[cfg(feature = "media")]
async fn begins(session: &Session, spec: &PcmSpec) -> Result<Timestamp> {
    session.app.host.sound_begins(&session.stream, spec.at, spec.time).await
}

#[cfg(feature = "media")]
async fn play(session: &Session, at: Timestamp, window: AudioWindow) -> Result<()> {
    session.app.host.sound(&session.stream, at, window).await
}

#[cfg(not(feature = "media"))]
async fn begins(_: &Session, _: &PcmSpec) -> Result<Timestamp> {
    Err(Error::new(crate::ErrorKind::Unsupported, "this server was built without media"))
}

#[cfg(not(feature = "media"))]
async fn play(_: &Session, _: Timestamp, _: AudioWindow) -> Result<()> {
    Ok(())
}
