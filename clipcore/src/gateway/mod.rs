//! The gateway: events in, moments and clips out, over HTTP.
//!
//! [`Gateway::router`] is an [`axum::Router`] to be served alone ([`serve`]) or as part of a server of your own. Its interface is
//! described in `/openapi.json`.
//!
//! - A request is answered `202` once its events are durable. A producer that got no answer sends again: events with ids, and
//!   requests with an `Idempotency-Key`, count once, restarts included.
//! - One bad event costs itself, not the request it came with: the answer lists what was refused, and why.
//! - Errors are problem details (RFC 9457).
//! - Callers show bearer tokens, of which only hashes are stored. Without any tokens, only programs on this machine are let in.
//!
//! # When it is too much
//! | what | answer |
//! |---|---|
//! | a body, message or batch too long | `413`, or the socket closes; `400` for too many events |
//! | too many requests of a token | `429` with `Retry-After`; a socket is read no faster |
//! | too many connections of a token | `429` |
//! | too many streams | `503`, before anything is acknowledged |
//! | sound that comes faster than it is listened to | the piece is left out, answered and counted |
//! | a body or head that does not come | `408`, or the connection closes |
//! | a reader of the feed that is slow | it is behind, in the catalog and not in memory; a socket that takes nothing is closed |
//! | a socket that answers no ping | it is closed, and its token has the place back |
//!
//! # TLS
//! It speaks HTTP/1.1 without TLS: put a proxy in front, and let nobody else reach the port. What matters to the proxy is that it
//! does not collect event streams and passes sockets on. With nginx:
//!
//! ```text
//! server {
//!     listen 443 ssl;
//!     server_name clips.example;
//!     ssl_certificate     /etc/letsencrypt/live/clips.example/fullchain.pem;
//!     ssl_certificate_key /etc/letsencrypt/live/clips.example/privkey.pem;
//!     client_max_body_size 1m;
//!     location / {
//!         proxy_pass http://127.0.0.1:8484;
//!         proxy_http_version 1.1;
//!         proxy_set_header Host $host;
//!         proxy_set_header Upgrade $http_upgrade;
//!         proxy_set_header Connection $connection_upgrade;
//!         proxy_buffering off;
//!         proxy_read_timeout 1h;
//!     }
//! }
//! map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
//! ```
//!
//! Make tokens before the proxy runs: with none, requests that come by another name than this machine's are refused.
//!
//! # Examples
//! ```no_run
//! # async fn example(host: clipcore::host::Host, catalog: clipcore::catalog::Catalog) -> clipcore::Result<()> {
//! use std::sync::Arc;
//! use clipcore::clock::SystemTimeSource;
//! use clipcore::event::Kinds;
//! use clipcore::gateway::{Gateway, GatewayConfig, GatewayParts, Tokens};
//!
//! let gateway = Gateway::new(GatewayParts {
//!     host,
//!     catalog,
//!     tokens: Tokens::load("tokens.jsonl".as_ref())?,
//!     kinds: Kinds::builtin(),
//!     config: GatewayConfig::default(),
//!     time: Arc::new(SystemTimeSource::new()),
//! })?;
//! let app = axum::Router::new().nest("/clipcore", gateway.router());
//! # let _: axum::Router = app;
//! # Ok(()) }
//! ```

mod access;
mod app;
mod body;
mod erase;
mod events;
mod extract;
mod feed;
mod guard;
mod items;
mod limit;
mod metrics;
mod pcm;
mod pictures;
mod problem;
#[cfg(feature = "media")]
mod recordings;
mod routes;
mod serve;
mod service;
mod socket;
mod sound;
mod streams;
mod trim;

use std::sync::Arc;

pub use access::{Scope, Token, Tokens};
pub use app::{GatewayConfig, GatewayParts};
pub use body::{Entry, MAX_EVENTS, events_of};
pub use pcm::{PcmFormat, PcmSpec};
pub use pictures::decode as decode_picture;
#[cfg(feature = "media")]
pub(crate) use recordings::UNTIL;
#[cfg(feature = "media")]
pub use recordings::recordings;
pub use serve::{ServeConfig, serve};

use self::access::Caller;
use self::app::App;
use crate::Result;
use crate::webhook as hooks;
pub use crate::webhook::{HookSecret, verify_hook};

/// Erasures that connections may not have heard of yet; one that is further behind ends.
const ERASED: usize = 16;

/// The gateway of a host; see the [module](self). Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<App>);

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("host", &self.0.host).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Puts it together.
    ///
    /// # Errors
    /// `Config` where the settings make no sense.
    pub fn new(parts: GatewayParts) -> Result<Self> {
        let GatewayParts { host, catalog, tokens, kinds, config, time } = parts;
        config.validate()?;
        Ok(Self(Arc::new(App {
            rates: limit::Rates::new(config.rate, config.burst),
            connections: limit::Connections::new(config.connections),
            tickets: Default::default(),
            metrics: Default::default(),
            answering: Default::default(),
            changing: Default::default(),
            erased: tokio::sync::broadcast::Sender::new(ERASED),
            local: Arc::new(Caller { name: "local".to_owned(), scopes: vec![Scope::Admin] }),
            closing: Default::default(),
            host,
            catalog,
            tokens,
            kinds,
            config,
            time,
        })))
    }

    /// Its routes.
    pub fn router(&self) -> axum::Router {
        routes::router(self.0.clone())
    }

    /// Ends open event streams and sockets; `/readyz` says no from now on.
    pub fn close(&self) {
        self.0.closing.cancel();
    }
}

#[cfg(test)]
mod tests;
