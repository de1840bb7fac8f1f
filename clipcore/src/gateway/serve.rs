//! A listener for routers that must not be held up: heads that never end, connections without number.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{Error, Result};

/// How a listener treats its connections.
#[derive(Debug, Clone, PartialEq)]
pub struct ServeConfig {
    /// Connections that may be open at once; further ones wait to be let in.
    pub connections: usize,
    /// How long the head of a request may take to come, and an idle connection to ask again.
    pub head: Duration,
    /// How long requests may take to end once `stop` is cancelled.
    pub grace: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self { connections: 4096, head: Duration::from_secs(15), grace: Duration::from_secs(10) }
    }
}

/// Serves HTTP/1.1 until `stop` is cancelled: then nobody is let in, and what is being answered is answered.
///
/// TLS is left to a proxy in front.
///
/// # Errors
/// `Io` where nobody can be let in any more.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServeConfig,
    stop: CancellationToken,
) -> Result<()> {
    let places = Arc::new(Semaphore::new(config.connections));
    let open = TaskTracker::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => {
                    tracing::warn!("nobody can be let in right now: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(error) => return Err(Error::from(error).with_operation("gateway::serve")),
            },
            () = stop.cancelled() => break,
        };
        // Answers are small and wanted at once.
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(|request: Request<Incoming>| request.map(Body::new));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.head)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        let stop = stop.clone();
        open.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(config.grace, open.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    Ok(())
}

/// Whether the next one may be let in all the same.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Io;
    // Too many open files, or a peer that left at once.
    matches!(
        error.kind(),
        Io::ConnectionAborted | Io::ConnectionReset | Io::ConnectionRefused | Io::Interrupted
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}
