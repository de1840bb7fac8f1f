//! A pipeline: streams from their sources through log, detectors and fusion to cutters and sinks.
//!
//! ```text
//! sources ─queue─▶ driver ──append──▶ EventLog
//!                    │ then            ▲
//!                    ├──▶ engine (worker thread) ──moments──┤ append
//!                    ├──queue──▶ cutter task ──clips──▶ driver ──append──┤
//!                    └──queue──▶ sink task ──receipts──▶ driver ──append─┘
//! ```
//!
//! Each stream has one driver, a task that is the only writer of the stream's records. What it takes in is
//! durably logged before anything acts on it; what follows from it (moments, clips, receipts) is logged
//! before anybody is told. Time moves on `clock` records alone: on multiples of half a second of the cameras' progress,
//! or once a second by the [`TimeSource`] where no source has a clock. So
//! [`replay_log`] of the log gives the moments of the live run again.
//!
//! # When a queue is full
//! | edge | policy | counter |
//! |---|---|---|
//! | source → driver | the source waits | `source_waits` |
//! | driver → log | the driver waits, and tries again while the log is full or out of reach | `log_retries` |
//! | driver → engine | the driver waits for its worker thread | `worker_waits` |
//! | engine's reorder buffer | refused, logged as late | `full` |
//! | driver → sink, cutter | the item waits in line; past `max_backlog` the stream's sources wait | `sink_waits`, `cutter_waits`, `backlog_pauses` |
//! | cutter → driver | the cutter waits | – |
//!
//! # Several cameras
//! The stream's clock is the slowest camera's progress, so that nothing that any camera still says is late. A camera
//! whose source has ended holds nobody up. One that falls `max_camera_lag` behind a *live* camera, or has not
//! connected by then, is left behind until it has caught up; cameras that read files are never left behind: the faster
//! one waits. When the last source that drives the clock has ended, the stream ends, and sources without a
//! clock (chat) are stopped.
//!
//! # Restart
//! Every `checkpoint_every` of stream time the engine's state, what is undelivered and the log's offset are stored
//! in one step. A later run of the same stream on the same log restores it, replays the log from the offset and
//! goes on: moments come out with the same `(id, rev)` and are recognised, sinks get what they have not
//! acknowledged, cutters are told of the moments that have no clip yet. A source that starts over, as a file does,
//! says again what the log holds; that is counted as `repeated` and left out. Only the real end of the input ends the
//! stream in the log; a stop does not, and neither do sources that have all failed.
//!
//! # How much of the log is kept
//! Everything, unless [`PipelineConfig`] has a `log_retain` or a `log_max_bytes`: then each checkpoint drops what is older
//! or beyond that, but never what a restart of one of this pipeline's streams would read. A log may hold more
//! than was asked for, since it drops whole segments. What [`replay_log`] finds near the beginning of a trimmed log may
//! differ from what the run found there.
//!
//! # Examples
//! ```no_run
//! # use std::sync::Arc;
//! use clipcore::event::Kinds;
//! use clipcore::pipeline::{Pipeline, StreamSpec};
//! use clipcore::source::JsonlSource;
//! use clipcore::{Consent, StreamId};
//!
//! # async fn example(
//! #     log: Arc<dyn clipcore::log::EventLog>,
//! #     fusion: Arc<dyn Fn(&StreamId) -> Box<dyn clipcore::fusion::Fusion> + Send + Sync>,
//! #     sink: Arc<dyn clipcore::sink::ClipSink>,
//! # ) -> clipcore::Result<()> {
//! let chat = JsonlSource::new("stdin", tokio::io::empty(), Kinds::builtin());
//! let pipeline = Pipeline::builder()
//!     .with_stream(StreamSpec::new(StreamId::new("s1")?).with_source(chat))
//!     .with_log(log)
//!     .with_fusion(move |stream| fusion(stream))
//!     .with_sink(sink)
//!     .with_consent(Consent::NONE)
//!     .on_notice(|notice| eprintln!("{notice}"))
//!     .build()?;
//! let handle = pipeline.handle();
//! // handle.stop() from a signal handler ends it in good order
//! let summary = pipeline.run().await?;
//! for stream in &summary.streams {
//!     eprintln!("{}: {} moments, {} clips", stream.stream, stream.stats.moments, stream.stats.clips);
//! }
//! # Ok(()) }
//! ```

mod admit;
mod builder;
mod config;
mod deliver;
mod driver;
mod feed;
mod input;
mod intake;
mod journal;
mod ledger;
mod observe;
mod outgoing;
mod output;
mod pools;
mod recover;
mod reference;
mod replay;
mod retention;
mod run;
mod schedule;
mod stats;
mod summary;
mod ticker;
mod watch;
mod workers;

use std::sync::Arc;

pub use builder::{DetectorFactory, PipelineBuilder, StreamSpec};
pub use config::PipelineConfig;
pub use observe::{Notice, Progress};
pub use replay::replay_log;
pub use run::{Pipeline, PipelineHandle};
pub use stats::{PipelineStats, StreamStats};
pub use summary::{StreamSummary, Summary};

use crate::Result;
use crate::clock::TimeSource;
use crate::engine::Engine;
use crate::event::Kinds;
use crate::privacy::Pseudonymizer;

/// Makes a stream's engine anew.
type EngineFactory = Box<dyn Fn() -> Result<Engine> + Send + Sync>;

/// What all streams of a pipeline share.
struct Shared {
    config: PipelineConfig,
    time: Arc<dyn TimeSource>,
    kinds: Kinds,
    pseudonyms: Option<Pseudonymizer>,
    observers: observe::Observers,
}
