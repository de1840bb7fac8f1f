//! The pipeline with small parts around it: what a user would notice.

mod faults;
mod flow;
mod host;
mod inbox;
#[cfg(feature = "redis")]
mod over_redis;
mod restart;
mod retention;
mod stage;
mod support;
mod threads;
