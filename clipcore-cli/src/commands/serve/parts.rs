//! What the roles of a process are made of.

use std::path::Path;
use std::sync::Arc;

use clipcore::catalog::Catalog;
use clipcore::clock::SystemTimeSource;
use clipcore::deliver::{Deliverer, Position};
use clipcore::event::Kinds;
use clipcore::host::{Host, HostMode, HostParts, StreamFactory, StreamMake, StreamSettings};
use clipcore::log::{EventLog, FileLog, FileLogConfig};
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::pool::DetectorPool;
use clipcore::privacy::{Expiry, LiveFolder, Pseudonymizer, SharedExpiry};
use clipcore::sink::{ClipSink, JsonlSink, SinkExt};
use clipcore::{Error, ErrorKind, Result, StreamId};
use tokio_util::sync::CancellationToken;

use super::Role;
use super::pools::{self, LoadedModels, ShownRecordings};
use super::server::Asked;
use crate::config::Config;
use crate::models::Models;
use crate::shared::Shared;
use crate::streams::Streams;
use crate::{assembly, inputs, privacy, sinks};

/// Parts of the log: streams of one part read past each other's records. The inbox has a single one, so that one sync of the
/// disk does for whatever comes at a time.
const PARTITIONS: u32 = 8;

/// Everything that runs in this process.
pub(super) struct Parts {
    /// Takes arrivals in, where this process is a gateway.
    pub(super) front: Option<(Host, Catalog)>,
    /// Runs streams; it may be the front as well.
    pub(super) worker: Option<Host>,
    /// Look at what workers record.
    pub(super) pools: Vec<DetectorPool>,
    /// Follow the log of other processes.
    pub(super) deliverers: Vec<Deliverer>,
    /// Takes out what becomes too old.
    pub(super) expiry: Option<TooOld>,
}

/// What takes out what becomes too old.
pub(super) enum TooOld {
    /// Of logs that are this process's own.
    Own(Expiry),
    /// Of those that it shares.
    Shared(SharedExpiry),
}

impl TooOld {
    pub(super) async fn run(self, stop: CancellationToken) {
        match self {
            Self::Own(expiry) => expiry.run(stop).await,
            Self::Shared(expiry) => expiry.run(stop).await,
        }
    }
}

impl Parts {
    /// All roles in one process, with its logs in files.
    pub(super) async fn alone(
        config: &Config,
        kinds: &Kinds,
        pseudonyms: &Pseudonymizer,
    ) -> anyhow::Result<Self> {
        if !config.shared.pools.is_empty() {
            return Err(Error::config("pools of detectors need logs that processes share")
                .with_hint("set shared.url, or leave [shared.pools] out")
                .into());
        }
        let dir = &config.out;
        let log = FileLogConfig { partitions: PARTITIONS, ..assembly::log_config(&config.pipeline) };
        let log = Arc::new(FileLog::open(dir.join("log"), log, kinds.clone()).await?);
        // Small segments, since what has been read is dropped by whole ones.
        let inbox = FileLogConfig { partitions: 1, segment_bytes: 4 << 20, ..FileLogConfig::default() };
        let inbox = Arc::new(FileLog::open(dir.join("inbox"), inbox, kinds.clone()).await?);
        let expiry = privacy::expiry(&config.privacy, dir, vec![log.clone(), inbox.clone()]);
        let catalog = Catalog::open(dir).await?;
        let mut sinks = own_sinks(config, dir).await?;
        sinks.push(Arc::new(catalog.clone().with_retry(Default::default())));
        let folder = LiveFolder::new(dir, sinks.clone());
        let parts = parts(config, pseudonyms, inbox, log, factory(config, sinks, None)?);
        let parts = HostParts { folder: Some(folder), ..parts };
        let host = Host::open(dir.join("streams"), parts).await?;
        Ok(Self {
            front: Some((host.clone(), catalog)),
            worker: Some(host),
            pools: Vec::new(),
            deliverers: Vec::new(),
            expiry: Some(TooOld::Own(expiry)),
        })
    }

    /// Some or all roles, beside other processes.
    pub(super) async fn shared(
        config: &Config,
        kinds: &Kinds,
        pseudonyms: &Pseudonymizer,
        asked: &Asked<'_>,
    ) -> anyhow::Result<Self> {
        let roles = &asked.roles;
        let Shared { inbox, log, offsets, streams, turn } = config.shared.open(kinds).await?;
        let dir = &config.out;
        let mut all =
            Self { front: None, worker: None, pools: Vec::new(), deliverers: Vec::new(), expiry: None };
        if roles.contains(Role::Gateway) {
            let logs = vec![inbox.clone(), log.clone()];
            all.expiry = turn.map(|turn| TooOld::Shared(privacy::shared_expiry(config, logs, turn)));
            let catalog = Catalog::open(dir).await?;
            let nobody: StreamFactory =
                Arc::new(|_, _| Err(Error::new(ErrorKind::Unsupported, "this process runs no streams")));
            let sinks: Vec<Arc<dyn ClipSink>> =
                vec![Arc::new(catalog.clone().with_retry(Default::default()))];
            let parts = HostParts {
                mode: HostMode::Front,
                folder: Some(LiveFolder::new(dir, sinks.clone())),
                ..parts(config, pseudonyms, inbox.clone(), log.clone(), nobody)
            };
            let host = Host::open_with(streams.clone(), parts).await?;
            all.deliverers.push(Deliverer::new(log.clone(), sinks, Position::None).with_root(dir));
            all.front = Some((host, catalog));
        }
        if roles.contains(Role::Detect) {
            all.pools =
                pools::open(config, kinds, asked.pool, roles.are_only(Role::Detect), &inbox, &streams)
                    .await?;
        }
        if roles.contains(Role::Fuse) {
            let shown = pools::show_recordings(config).await?;
            let mode = HostMode::Worker(config.shared.worker.clone());
            let parts = HostParts {
                mode,
                recorded_at: shown.as_ref().map(|shown| shown.url.clone()),
                ..parts(config, pseudonyms, inbox, log.clone(), factory(config, Vec::new(), shown)?)
            };
            all.worker = Some(Host::open_with(streams, parts).await?);
        }
        if roles.contains(Role::Deliver) {
            let position = Position::Claimed(offsets, config.shared.worker.clone());
            let sinks = own_sinks(config, dir).await?;
            all.deliverers.push(Deliverer::new(log, sinks, position).with_root(dir));
        }
        Ok(all)
    }

    /// Stops every stream in good order.
    pub(super) async fn drain(&self) {
        if let Some(host) = &self.worker {
            host.drain().await;
        }
        if let Some((host, _)) = &self.front {
            host.drain().await;
        }
    }
}

/// JSON lines in the folder, and what the configuration names.
async fn own_sinks(config: &Config, dir: &Path) -> anyhow::Result<Vec<Arc<dyn ClipSink>>> {
    let lines = JsonlSink::open(dir).await?;
    let mut all: Vec<Arc<dyn ClipSink>> = vec![Arc::new(lines.with_retry(Default::default()))];
    all.extend(sinks::open(&config.sinks, dir).await.map_err(sinks::failure)?);
    Ok(all)
}

fn parts(
    config: &Config,
    pseudonyms: &Pseudonymizer,
    inbox: Arc<dyn EventLog>,
    log: Arc<dyn EventLog>,
    factory: StreamFactory,
) -> HostParts {
    HostParts {
        consent: config.consent,
        pseudonyms: Some(pseudonyms.clone()),
        config: config.host.clone(),
        time: Arc::new(SystemTimeSource::new()),
        ..HostParts::new(inbox, log, factory)
    }
}

/// Puts streams together; models are loaded when the first stream needs them.
fn factory(
    config: &Config,
    sinks: Vec<Arc<dyn ClipSink>>,
    shown: Option<ShownRecordings>,
) -> Result<StreamFactory> {
    let mut streams = Streams::new(config)?;
    if let Some(shown) = shown {
        streams = streams.with_pools(config.shared.pools.clone(), shown.recordings);
    }
    let streams = Arc::new(streams);
    let config = Arc::new(config.clone());
    // Those of faces are loaded only where somebody agreed to that; what looks at media may be in pools.
    let models: Arc<[LoadedModels; 2]> = Arc::default();
    Ok(Arc::new(move |stream: &StreamId, settings: &StreamSettings| {
        let consent = settings.consent.unwrap_or(config.consent);
        let cameras: Vec<_> =
            inputs::camera_ids(settings.inputs.len()).into_iter().zip(settings.inputs.clone()).collect();
        let none = Models::default();
        let mut needed = &none;
        if !cameras.is_empty() {
            if cameras.iter().any(|(_, input)| input == "-") {
                return Err(Error::config("a stream cannot read this server's standard input"));
            }
            Ffmpeg::default().version()?;
        }
        if !cameras.is_empty() || consent.face {
            let config = streams.config(!cameras.is_empty());
            needed = models[usize::from(!cameras.is_empty())].of(&config, consent)?;
        }
        let mut pipeline = streams.pipeline();
        for sink in &sinks {
            pipeline = pipeline.with_sink(sink.clone());
        }
        let made = StreamMake::new(pipeline, streams.spec(needed, stream, &cameras, consent, Ok)?);
        // A stream with media has its sound and pictures from there.
        if !cameras.is_empty() {
            return Ok(made);
        }
        let made = made.with_looks(streams.looks(needed, consent)?, needed.registry.clone());
        if !streams.has_ears() {
            return Ok(made);
        }
        let (streams, config, models) = (streams.clone(), config.clone(), models.clone());
        Ok(made.with_listeners(Arc::new(move || {
            let needed = models[0].of(&config, consent)?;
            Ok((streams.ears(needed, consent)?, needed.registry.clone()))
        })))
    }))
}
