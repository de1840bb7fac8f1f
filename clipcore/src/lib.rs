//! clipcore turns a live stream into clips, seconds after the moment happens.
//!
//! ```text
//! Source ──events──▶ EventLog ──▶ Detector ──signals──▶ Fusion ──moments──▶ Cutter ──clips──▶ ClipSink
//!   │                                ▲                                        ▲
//!   └──media──▶ Recorder ────────────┴──────────── rolling segments ──────────┘
//! ```
//!
//! One folder a role: [`event`], [`source`], [`log`], [`recorder`], [`detector`], [`fusion`], [`cutter`], [`sink`];
//! [`engine`] is the synchronous heart, [`pipeline`] wires everything.

#[cfg(feature = "catalog")]
pub mod catalog;
#[cfg(feature = "runtime")]
pub mod clock;
pub mod config;
pub mod conformance;
mod consent;
pub mod cutter;
#[cfg(feature = "runtime")]
pub mod deliver;
pub mod detector;
#[cfg(feature = "runtime")]
mod durable;
pub mod engine;
mod error;
pub mod eval;
pub mod event;
pub mod fusion;
#[cfg(feature = "http")]
pub mod gateway;
#[cfg(feature = "runtime")]
pub mod host;
mod ids;
pub mod log;
#[cfg(feature = "media")]
pub mod media;
pub mod model;
#[cfg(feature = "otlp")]
pub mod otlp;
#[cfg(feature = "runtime")]
pub mod pipeline;
#[cfg(all(feature = "http", feature = "media"))]
pub mod pool;
pub mod privacy;
#[cfg(feature = "media")]
pub mod recorder;
#[cfg(feature = "redis")]
pub mod redis;
pub mod replay;
mod rng;
pub mod simulate;
pub mod sink;
#[cfg(feature = "runtime")]
pub mod source;
mod time;
#[cfg(feature = "runtime")]
mod trace;
pub mod tune;
#[cfg(feature = "http")]
pub mod webhook;

pub use consent::Consent;
pub use error::{Error, ErrorKind, Result};
pub use ids::{CameraId, StreamId, hex, stable_id};
pub use time::{Timestamp, WallTime};

/// The README's example is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
