//! One stream's supervisor: runs its pipeline again and again, until the stream is idle, has ended, or the host stops.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::live::{Live, Ways};
use super::registry::Known;
use super::{Host, HostMode, StreamState};
use crate::pipeline::{Pipeline, StreamStats};
#[cfg(feature = "media")]
use crate::source::SoundSource;
use crate::source::{LogSource, LogSourceConfig, PictureSource};
use crate::{Error, Result, StreamId};

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// How often a quiet stream is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Pictures that may wait to be looked at.
const PICTURES: usize = 2;
/// Pieces of sound that may wait to be listened to, each of a second at most.
#[cfg(feature = "media")]
const SOUNDS: usize = 16;

/// How a run has ended.
enum Over {
    /// Somebody asked for it: the host is stopping, or there are other settings.
    Stopped,
    Idle,
    Ended,
    Failed(String),
}

pub(super) async fn supervise(host: Host, stream: StreamId, live: Arc<Live>) {
    let _gone = live.gone.clone().drop_guard();
    let mut backoff = FIRST_BACKOFF;
    while !live.stop.is_cancelled() {
        let over = match build(&host, &stream, &live) {
            Ok((pipeline, ways)) => {
                live.running(pipeline.handle(), ways);
                run(&host, &stream, &live, pipeline).await
            }
            Err(error) => Over::Failed(error.to_string()),
        };
        match over {
            Over::Stopped => {}
            Over::Ended => return let_go(&host, &stream, StreamState::Ended, |_| true, &live).await,
            Over::Idle => {
                let idle = host.0.config.idle_stop;
                let time = host.0.time.clone();
                let still = |live: &Live| live.is_idle(&*time, idle);
                let_go(&host, &stream, StreamState::Idle, still, &live).await;
                if !host.lives().get(&stream).is_some_and(|now| Arc::ptr_eq(now, &live)) {
                    return;
                }
            }
            Over::Failed(error) => {
                tracing::warn!(%stream, "the stream failed and is tried again: {error}");
                live.failed(error);
                tokio::select! {
                    () = host.0.time.sleep(backoff) => backoff = (backoff * 2).min(host.0.config.max_backoff),
                    () = live.reload.notified() => backoff = FIRST_BACKOFF,
                    () = live.stop.cancelled() => {}
                }
                continue;
            }
        }
        backoff = FIRST_BACKOFF;
    }
    let mut lives = host.lives();
    if lives.get(&stream).is_some_and(|now| Arc::ptr_eq(now, &live)) {
        lives.remove(&stream);
    }
}

fn build(host: &Host, stream: &StreamId, live: &Arc<Live>) -> Result<(Pipeline, Ways)> {
    let known = host.0.registry.find(stream).ok_or_else(|| super::unknown(stream))?;
    live.built_with(&known.settings);
    let settings = host.effective(&known.settings);
    let ended = CancellationToken::new();
    let source = LogSource::new(host.inbox_of(stream))
        .with_config(LogSourceConfig { clock: clock_of(&known), ..host.0.reading.clone() })
        .with_wake(live.wake.clone())
        .with_repeat_counter(live.repeated.clone())
        .with_position(live.position.clone())
        .with_end(ended.clone());
    let make = (host.0.factory)(stream, &settings)?;
    let (pipeline, mut spec, mut ways) = (make.pipeline, make.spec, Ways::default());
    if !make.looks.is_empty() {
        let (sender, posted) = mpsc::channel(PICTURES);
        ways.pictures = Some(sender);
        let pictures = PictureSource::new(posted, make.looks, make.models);
        spec = spec.with_source(pictures.with_end(ended.clone()));
    }
    #[cfg(feature = "media")]
    if let Some(listeners) = make.listeners {
        let (sender, heard) = mpsc::channel(SOUNDS);
        ways.sounds = Some(sender);
        spec = spec.with_source(SoundSource::new(heard, listeners).with_end(ended));
    }
    let (told, heard, keep) = (live.clone(), live.clone(), host.0.config.signals);
    let pipeline = pipeline
        .with_log(host.log_of(stream))
        .with_stream(spec.with_source(source).with_consent(settings.consent.unwrap_or_default()))
        .with_kinds(host.0.edge.kinds.clone())
        .with_time_source(host.0.time.clone())
        .on_notice(move |notice| {
            match notice.error {
                Some(_) => tracing::warn!(stream = %notice.stream, "{}", notice.text),
                None => tracing::info!(stream = %notice.stream, "{}", notice.text),
            }
            told.notice(notice.text.clone());
        })
        .on_signal(move |signal| heard.signal(signal, keep))
        .build()?;
    Ok((pipeline, ways))
}

fn clock_of(known: &Known) -> crate::source::LogSourceClock {
    // Media moves the clock where there is some.
    if known.settings.inputs.is_empty() { known.settings.clock } else { Default::default() }
}

async fn run(host: &Host, stream: &StreamId, live: &Live, pipeline: Pipeline) -> Over {
    let handle = pipeline.handle();
    let mut running = pin!(pipeline.run());
    let mut idle = false;
    let has_media = host.0.registry.find(stream).is_some_and(|k| !k.settings.inputs.is_empty());
    let span = host.0.config.idle_stop;
    let summary = loop {
        tokio::select! {
            summary = &mut running => break summary,
            () = live.stop.cancelled(), if !handle.is_stopping() => handle.stop(),
            () = live.abort.cancelled() => handle.abort(),
            () = live.reload.notified(), if !handle.is_stopping() => handle.stop(),
            () = host.0.time.sleep(LOOK), if !handle.is_stopping() && !has_media && !span.is_zero() => {
                if live.is_idle(&*host.0.time, span) {
                    idle = true;
                    handle.stop();
                }
            }
        }
    };
    let summary = summary.and_then(|all| {
        all.streams
            .into_iter()
            .next()
            .ok_or_else(|| Error::new(crate::ErrorKind::Internal, "the pipeline said nothing of its stream"))
    });
    let (stats, over) = match summary {
        Ok(summary) => {
            let over = match summary.error {
                Some(error) => Over::Failed(error.to_string()),
                None if summary.ended => Over::Ended,
                None if idle => Over::Idle,
                None => Over::Stopped,
            };
            (summary.stats, over)
        }
        Err(error) => (StreamStats::default(), Over::Failed(error.to_string())),
    };
    let error = if let Over::Failed(error) = &over { Some(error.clone()) } else { None };
    let counted = live.over(&stats, error);
    host.0.past.lock().unwrap_or_else(PoisonError::into_inner).add(&counted);
    over
}

/// Takes the stream from among the live ones, unless something has come after all.
async fn let_go(
    host: &Host,
    stream: &StreamId,
    state: StreamState,
    still: impl Fn(&Live) -> bool,
    live: &Live,
) {
    // Whoever brings something now waits for this, and starts the stream again.
    let _changing = host.0.changing.lock().await;
    if matches!(host.0.mode, HostMode::Worker(_)) {
        // A front may have given it other settings a moment ago.
        super::worker::refresh(host).await;
    }
    let Some(known) = host.0.registry.find(stream) else { return };
    {
        let mut lives = host.lives();
        if !still(live) {
            return;
        }
        lives.remove(stream);
    }
    host.0.log_shared.forget(stream);
    host.0.inbox_shared.forget(stream);
    if let Err(error) = host.0.registry.save(stream, Known { state, ..known }).await {
        tracing::warn!(%stream, "its state could not be saved: {error}");
    }
}
