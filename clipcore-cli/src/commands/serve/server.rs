//! The process: opens everything, serves, drains.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use clipcore::catalog::Catalog;
use clipcore::clock::SystemTimeSource;
use clipcore::event::Kinds;
use clipcore::gateway::{Gateway, GatewayParts, ServeConfig, Tokens};
use clipcore::host::{Host, HostParts, StreamFactory, StreamMake, StreamSettings};
use clipcore::log::{FileLog, FileLogConfig};
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::privacy::Pseudonymizer;
use clipcore::sink::{ClipSink, JsonlSink, SinkExt};
use clipcore::{Consent, Error, Result, StreamId};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::Exit;
use crate::models::Models;
use crate::streams::Streams;
use crate::{assembly, inputs, output, sinks};

/// Parts of inbox and log: streams of one part read past each other's records.
const PARTITIONS: u32 = 8;

pub(super) fn serve(config: &Config, listen: SocketAddr, tokens: &Path, quiet: bool) -> anyhow::Result<Exit> {
    let tokens = Tokens::load(tokens)?;
    if tokens.is_empty() && !listen.ip().is_loopback() {
        let text = format!("others could reach {listen}, and there are no tokens");
        return Err(Error::config(text)
            .with_hint("make one with: clipcore serve token NAME --scope ingest,read; or listen on 127.0.0.1")
            .into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(run(config, listen, tokens, quiet));
    // Threads that wait for a pipe must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit
}

async fn run(config: &Config, listen: SocketAddr, tokens: Tokens, quiet: bool) -> anyhow::Result<Exit> {
    let dir = &config.out;
    std::fs::create_dir_all(dir)
        .map_err(|e| Error::io(e, dir).with_hint("--data names a folder that can be written"))?;
    // Taken first: where the address is in use, nothing has been opened yet.
    let listener = TcpListener::bind(listen).await.map_err(|e| {
        Error::from(e)
            .with_context("listen", listen)
            .with_hint("another program may use the port: choose one with --listen 127.0.0.1:PORT")
    })?;
    let address = listener.local_addr()?;
    let kinds = Kinds::builtin();
    let log = FileLogConfig { partitions: PARTITIONS, ..assembly::log_config(&config.pipeline) };
    let log = FileLog::open(dir.join("log"), log, kinds.clone()).await?;
    // Small segments, since what has been read is dropped by whole ones.
    let inbox = FileLogConfig { partitions: PARTITIONS, segment_bytes: 4 << 20, ..FileLogConfig::default() };
    let inbox = FileLog::open(dir.join("inbox"), inbox, kinds.clone()).await?;
    let catalog = Catalog::open(dir).await?;
    let lines = JsonlSink::open(dir).await?;
    let mut sinks: Vec<Arc<dyn ClipSink>> = vec![
        Arc::new(lines.with_retry(Default::default())),
        Arc::new(catalog.clone().with_retry(Default::default())),
    ];
    sinks.extend(sinks::open(&config.sinks).await?);
    let time = Arc::new(SystemTimeSource::new());
    let parts = HostParts {
        consent: config.consent,
        pseudonyms: Some(Pseudonymizer::load_or_create(dir.join("pseudonyms.key"))?),
        config: config.host.clone(),
        time: time.clone(),
        ..HostParts::new(Arc::new(inbox), Arc::new(log), factory(config, sinks)?)
    };
    let host = Host::open(dir.join("streams"), parts).await?;
    let open = tokens.is_empty();
    let gateway = Gateway::new(GatewayParts {
        host: host.clone(),
        catalog,
        tokens,
        kinds,
        config: config.gateway.clone(),
        time,
    })?;
    let stop = CancellationToken::new();
    let serving = clipcore::gateway::serve(listener, gateway.router(), ServeConfig::default(), stop.clone());
    let mut serving = tokio::spawn(serving);
    if !quiet {
        greet(address, open);
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let exit = tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Done,
        ended = &mut serving => {
            host.drain().await;
            ended??;
            return Ok(Exit::Done);
        }
    };
    if !quiet {
        output::note("stopping: finishing what is pending (again to stop at once)");
    }
    let drain = async {
        gateway.close();
        stop.cancel();
        let served = serving.await;
        host.drain().await;
        served
    };
    tokio::select! {
        served = drain => served??,
        _ = interrupt.recv() => return Ok(Exit::Interrupted),
        _ = terminate.recv() => return Ok(Exit::Interrupted),
    }
    Ok(exit)
}

fn greet(address: SocketAddr, open: bool) {
    output::note(&format!("listening on http://{address}"));
    let token = if open { "" } else { "-H \"Authorization: Bearer $TOKEN\" " };
    output::note(&format!(
        "try: curl {token}-d '{{\"type\":\"marker\",\"data\":{{\"label\":\"ace\"}}}}' http://{address}/v1/streams/show/events"
    ));
}

/// Puts streams together; models are loaded when the first stream needs them.
fn factory(config: &Config, sinks: Vec<Arc<dyn ClipSink>>) -> Result<StreamFactory> {
    let streams = Streams::new(config)?;
    let config = config.clone();
    // Those of faces are loaded only where somebody agreed to that.
    let models: [OnceLock<Models>; 2] = Default::default();
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
            needed = loaded(&models[usize::from(consent.face)], &config, consent)?;
        }
        let mut pipeline = streams.pipeline();
        for sink in &sinks {
            pipeline = pipeline.with_sink(sink.clone());
        }
        let made = StreamMake::new(pipeline, streams.spec(needed, stream, &cameras, consent)?);
        // A stream with media has its pictures from there.
        let looks = if cameras.is_empty() { streams.looks(needed, consent)? } else { Vec::new() };
        Ok(made.with_looks(looks, needed.registry.clone()))
    }))
}

fn loaded<'a>(slot: &'a OnceLock<Models>, config: &Config, consent: Consent) -> Result<&'a Models> {
    if let Some(models) = slot.get() {
        return Ok(models);
    }
    let models = Models::open(&Config { consent, ..config.clone() })?;
    models.notes.iter().for_each(|note| output::note(note));
    Ok(slot.get_or_init(|| models))
}
