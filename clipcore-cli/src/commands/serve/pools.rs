//! Pools of detectors: what runs them, and what lets them read what workers record.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use clipcore::clock::SystemTimeSource;
use clipcore::event::Kinds;
use clipcore::gateway::{ServeConfig, recordings, serve};
use clipcore::host::{StreamSettings, StreamStore};
use clipcore::log::EventLog;
use clipcore::pool::{DetectorPool, PoolParts, WatchFactory};
use clipcore::recorder::Recordings;
use clipcore::source::media::Watch;
use clipcore::{CameraId, Consent, Error, Result, StreamId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::models::Models;
use crate::{assembly, inputs, output};

/// Models, loaded when the first stream needs them: with those of faces, and without.
#[derive(Debug, Default)]
pub(super) struct LoadedModels([OnceLock<Models>; 2]);

impl LoadedModels {
    pub(super) fn of(&self, config: &Config, consent: Consent) -> Result<&Models> {
        let slot = &self.0[usize::from(consent.face)];
        if let Some(models) = slot.get() {
            return Ok(models);
        }
        let models = Models::open(&Config { consent, ..config.clone() })?;
        models.notes.iter().for_each(|note| output::note(note));
        Ok(slot.get_or_init(|| models))
    }
}

/// Processes of all pools, or of the one that was asked for; without any, a process that is to do nothing else is refused.
pub(super) async fn open(
    config: &Config,
    kinds: &Kinds,
    asked: Option<&str>,
    alone: bool,
    inbox: &Arc<dyn EventLog>,
    streams: &Arc<dyn StreamStore>,
) -> anyhow::Result<Vec<DetectorPool>> {
    if config.shared.pools.is_empty() && alone {
        return Err(Error::config("there are no pools of detectors")
            .with_hint("say in [shared.pools] which detectors run apart: gpu = [\"audio_tagger\", \"face\"]")
            .into());
    }
    let mut all = Vec::new();
    for pool in config.shared.pools.names().filter(|name| asked.is_none_or(|asked| asked == *name)) {
        all.push(DetectorPool::new(PoolParts {
            name: pool.to_owned(),
            streams: streams.clone(),
            inbox: inbox.clone(),
            places: config.shared.places(pool, kinds).await?,
            cameras: |settings| inputs::camera_ids(settings.inputs.len()),
            factory: factory(config, pool)?,
            worker: config.shared.worker.clone(),
            media: config.media.clone(),
            secret: config.shared.recordings.secret.clone(),
            time: Arc::new(SystemTimeSource::new()),
        })?);
    }
    if let (Some(asked), true) = (asked, all.is_empty()) {
        // Says which there are.
        config.shared.pools.others(asked)?;
    }
    Ok(all)
}

/// The detectors of a pool.
fn factory(config: &Config, pool: &str) -> Result<WatchFactory> {
    let mut config = config.clone();
    config.detectors.off.extend(config.shared.pools.others(pool)?);
    let models = LoadedModels::default();
    Ok(Arc::new(move |_: &StreamId, _: &CameraId, settings: &StreamSettings| {
        let consent = settings.consent.unwrap_or(config.consent);
        let config = Config { consent, ..config.clone() };
        let models = models.of(&config, consent)?;
        let detectors = assembly::media_detectors(&config, models)?;
        Ok(Watch { consent, detectors, models: models.registry.clone() })
    }))
}

/// Recordings that others may read.
pub(super) struct ShownRecordings {
    pub(super) recordings: Recordings,
    /// Where.
    pub(super) url: String,
}

/// Serves what this process records, where there are pools. It goes on until the process ends: the last that is recorded is
/// to be seen.
pub(super) async fn show_recordings(config: &Config) -> Result<Option<ShownRecordings>> {
    let set = &config.shared.recordings;
    if config.shared.pools.is_empty() {
        return Ok(None);
    }
    let listener = TcpListener::bind(set.listen).await.map_err(|e| {
        Error::from(e)
            .with_context("listen", set.listen)
            .with_hint("shared.recordings.listen names an address of this machine and a free port, or port 0")
    })?;
    let address: SocketAddr = listener.local_addr()?;
    let shown = Recordings::default();
    let router = recordings(shown.clone(), set.secret.as_deref(), Arc::new(SystemTimeSource::new()));
    let stop = CancellationToken::new();
    tokio::spawn(async move {
        if let Err(error) = serve(listener, router, ServeConfig::default(), stop).await {
            tracing::error!("recordings are not served any more: {error}");
        }
    });
    let url = set.url.clone().unwrap_or_else(|| format!("http://{address}"));
    Ok(Some(ShownRecordings { recordings: shown, url }))
}
