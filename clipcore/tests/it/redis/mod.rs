//! What goes over Redis, against real servers.

mod erase;
mod log;
#[cfg(feature = "rq")]
mod rq;
mod sink;
mod source;
#[cfg(feature = "redis-tls")]
mod tls;
mod workers;
