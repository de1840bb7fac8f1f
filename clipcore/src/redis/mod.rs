//! The way to a Redis server that log, source and sinks share: no call waits for ever, and errors say what to do.

mod channels;
mod connection;
mod error;
#[cfg(feature = "redis-tls")]
mod tls;
mod url;

pub use channels::Channels;
pub(crate) use connection::{Connection, Lua};
pub(crate) use error::explain;
pub use url::RedisUrl;
