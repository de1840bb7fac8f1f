use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::access::{Caller, Tickets, Tokens};
use super::hooks::HookSecret;
use super::limit::{Connections, Rates};
use super::metrics::Metrics;
use crate::catalog::Catalog;
use crate::clock::TimeSource;
use crate::event::Kinds;
use crate::host::Host;
use crate::{Error, Result, StreamId};

/// Limits and secrets of a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The longest body of a request, and the longest message of a socket, in bytes.
    pub max_body: usize,
    /// Requests a second that each token may make, and messages that each of its sockets may send.
    pub rate: f64,
    /// Requests that may come at once before `rate` holds.
    pub burst: f64,
    /// Event streams and sockets that each token may have open.
    pub connections: usize,
    /// How long a body may take to come, and the other side of a socket to take what it is sent.
    #[serde(with = "crate::config::secs")]
    pub patience: Duration,
    /// How often a socket's other side is asked whether it is there, and an event stream says that it lives. A socket whose
    /// other side has said nothing from one time to the next is closed.
    #[serde(with = "crate::config::secs")]
    pub ping: Duration,
    /// How long answers to requests with an `Idempotency-Key` are kept.
    #[serde(with = "crate::config::secs")]
    pub keep_answers: Duration,
    /// Secrets of webhooks; without any, none are taken.
    pub hook_secrets: Vec<HookSecret>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_body: 1 << 20,
            rate: 500.0,
            burst: 1000.0,
            connections: 100,
            patience: Duration::from_secs(30),
            ping: Duration::from_secs(15),
            keep_answers: Duration::from_secs(24 * 3600),
            hook_secrets: Vec::new(),
        }
    }
}

impl GatewayConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// `Config` that names the setting.
    pub fn validate(&self) -> Result<()> {
        if !(self.rate.is_finite() && self.rate > 0.0 && self.burst.is_finite() && self.burst >= 1.0) {
            return Err(Error::config("gateway.rate must be above 0 and gateway.burst at least 1"));
        }
        if self.max_body == 0 || self.connections == 0 || self.patience.is_zero() || self.ping.is_zero() {
            return Err(Error::config(
                "gateway.max_body, gateway.connections, gateway.patience and gateway.ping must not be 0",
            ));
        }
        Ok(())
    }
}

/// What a gateway stands in front of.
#[derive(Debug)]
pub struct GatewayParts {
    /// Runs the streams.
    pub host: Host,
    /// Knows what was found.
    pub catalog: Catalog,
    /// Who is let in.
    pub tokens: Tokens,
    /// The kinds of events.
    pub kinds: Kinds,
    /// Limits and secrets.
    pub config: GatewayConfig,
    /// Where time comes from.
    pub time: Arc<dyn TimeSource>,
}

/// What all handlers share.
pub(super) struct App {
    pub(super) host: Host,
    pub(super) catalog: Catalog,
    pub(super) tokens: Tokens,
    /// Who is let in where there are no tokens.
    pub(super) local: Arc<Caller>,
    pub(super) tickets: Tickets,
    pub(super) kinds: Kinds,
    pub(super) config: GatewayConfig,
    pub(super) time: Arc<dyn TimeSource>,
    pub(super) rates: Rates,
    pub(super) connections: Connections,
    pub(super) metrics: Metrics,
    /// Keys of requests that are being answered.
    pub(super) answering: Mutex<HashSet<String>>,
    /// Held while clips are changed or a stream is erased.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// Told of streams that are erased.
    pub(super) erased: broadcast::Sender<StreamId>,
    /// Cancelled when open connections are to end.
    pub(super) closing: CancellationToken,
}

pub(super) type State = axum::extract::State<Arc<App>>;
