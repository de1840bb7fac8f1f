//! The process: opens everything, serves, drains.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clipcore::clock::SystemTimeSource;
use clipcore::event::Kinds;
use clipcore::gateway::{Gateway, GatewayParts, ServeConfig, Tokens};
use clipcore::{Error, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::parts::Parts;
use super::{Role, Roles};
use crate::config::Config;
use crate::exit::Exit;
use crate::{output, privacy, sources};

/// What a process was asked to be.
pub(super) struct Asked<'a> {
    pub(super) listen: SocketAddr,
    pub(super) tokens: &'a Path,
    pub(super) roles: Roles,
    /// The pool whose detectors it is to run; all of them without.
    pub(super) pool: Option<&'a str>,
    pub(super) quiet: bool,
}

pub(super) fn serve(config: &Config, asked: &Asked<'_>) -> anyhow::Result<Exit> {
    let tokens = Tokens::load(asked.tokens)?;
    let listens = asked.roles.contains(Role::Gateway);
    if listens && tokens.is_empty() && !asked.listen.ip().is_loopback() {
        let text = format!("others could reach {}, and there are no tokens", asked.listen);
        return Err(Error::config(text)
            .with_hint("make one with: clipcore serve token NAME --scope ingest,read; or listen on 127.0.0.1")
            .into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(run(config, asked, tokens));
    // Threads that wait for a pipe must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit
}

async fn run(config: &Config, asked: &Asked<'_>, tokens: Tokens) -> anyhow::Result<Exit> {
    let dir = &config.out;
    std::fs::create_dir_all(dir)
        .map_err(|e| Error::io(e, dir).with_hint("--data names a folder that can be written"))?;
    // Taken first: where the address is in use, nothing has been opened yet.
    let listener = if asked.roles.contains(Role::Gateway) { Some(listen(asked.listen).await?) } else { None };
    let pseudonyms = privacy::begin(&config.privacy, dir, "serve", "all streams", config.consent)?;
    let kinds = Kinds::builtin();
    let mut parts = match config.shared.url {
        None if asked.roles.are_all() => Parts::alone(config, &kinds, &pseudonyms).await?,
        _ => Parts::shared(config, &kinds, &pseudonyms, asked).await?,
    };
    let stop = CancellationToken::new();
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    for pool in parts.pools.drain(..) {
        let stop = stop.clone();
        tasks.spawn(async move {
            pool.run(stop).await;
            Ok(())
        });
    }
    if let Some(expiry) = parts.expiry.take() {
        tokio::spawn(expiry.run(stop.clone()));
    }
    let (mut gateway, mut listening) = (None, None);
    if let (Some(listener), Some((host, catalog))) = (listener, &parts.front) {
        let (address, open) = (listener.local_addr()?, tokens.is_empty());
        let made = Gateway::new(GatewayParts {
            host: host.clone(),
            catalog: catalog.clone(),
            tokens,
            kinds,
            config: config.gateway.clone(),
            time: Arc::new(SystemTimeSource::new()),
        })?;
        let quiet = asked.quiet;
        listening = Some(sources::listen(&config.sources, host, &stop, move |text| {
            if !quiet {
                output::note(text);
            }
        }));
        let serving = clipcore::gateway::serve(listener, made.router(), ServeConfig::default(), stop.clone());
        tasks.spawn(serving);
        gateway = Some(made);
        if !asked.quiet {
            greet(address, open);
        }
    }
    for deliverer in &parts.deliverers {
        let (deliverer, stop) = (deliverer.clone(), stop.clone());
        tasks.spawn(async move {
            deliverer.run(stop).await;
            Ok(())
        });
    }
    if !asked.quiet && !asked.roles.are_all() {
        output::note(&format!("this process has the roles {}", asked.roles));
    }
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let exit = tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Done,
        Some(ended) = tasks.join_next() => {
            parts.drain().await;
            ended??;
            return Ok(Exit::Done);
        }
    };
    if !asked.quiet {
        output::note("stopping: finishing what is pending (again to stop at once)");
    }
    let drain = async {
        if let Some(gateway) = &gateway {
            gateway.close();
        }
        stop.cancel();
        if let Some(listening) = listening {
            // How it ended was told.
            let _ = listening.await;
        }
        let mut served = Ok(());
        while let Some(ended) = tasks.join_next().await {
            served = served.and(ended.map_err(anyhow::Error::from).and_then(|ended| Ok(ended?)));
        }
        parts.drain().await;
        served
    };
    tokio::select! {
        served = drain => served?,
        _ = interrupt.recv() => return Ok(Exit::Interrupted),
        _ = terminate.recv() => return Ok(Exit::Interrupted),
    }
    Ok(exit)
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::from(e)
            .with_context("listen", address)
            .with_hint("another program may use the port: choose one with --listen 127.0.0.1:PORT")
    })
}

fn greet(address: SocketAddr, open: bool) {
    output::note(&format!("listening on http://{address}"));
    let token = if open { "" } else { "-H \"Authorization: Bearer $TOKEN\" " };
    output::note(&format!(
        "try: curl {token}-d '{{\"type\":\"marker\",\"data\":{{\"label\":\"ace\"}}}}' http://{address}/v1/streams/show/events"
    ));
}
