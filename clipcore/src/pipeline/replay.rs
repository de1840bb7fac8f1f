//! A log through a fresh engine: the moments of the live run again. Lines of JSON go through
//! [`crate::replay`], which needs no log and no runtime.

use crate::engine::Engine;
use crate::fusion::Moment;
use crate::log::{EventLog, partition_of};
use crate::{Error, ErrorKind, Result};

use super::feed::feed;

/// Records read at a time.
const CHUNK: usize = 1000;

/// Feeds the events and signals that a log holds of the engine's stream into the engine, and hands every
/// transition to `on_moment`: byte for byte what the live run said, where the engine is set up alike.
///
/// The engine is given back, so that the caller can see what it counted. It runs on a blocking thread, never on
/// the reactor.
///
/// # Errors
/// Whatever the log says, and `Internal` where a detector or the fusion panics.
///
/// # Examples
/// ```no_run
/// # async fn example(log: &dyn clipcore::log::EventLog, engine: clipcore::engine::Engine) -> clipcore::Result<()> {
/// let engine = clipcore::pipeline::replay_log(log, engine, |moment| {
///     println!("{}", serde_json::to_string(&moment).unwrap_or_default());
/// })
/// .await?;
/// eprintln!("{:?}", engine.stats());
/// # Ok(()) }
/// ```
pub async fn replay_log(
    log: &dyn EventLog,
    mut engine: Engine,
    mut on_moment: impl FnMut(Moment),
) -> Result<Engine> {
    let stream = engine.stream().clone();
    let partition = partition_of(&stream, log.partitions());
    let mut next = 0;
    loop {
        let read = log.read(partition, next, CHUNK).await?;
        let Some((last, _)) = read.last() else { return Ok(engine) };
        next = last + 1;
        let records = read.into_iter().map(|(_, r)| r).filter(|r| *r.stream() == stream).collect();
        let fed = tokio::task::spawn_blocking(move || {
            let outcome = feed(&mut engine, records);
            (engine, outcome)
        });
        let (back, outcome) = fed.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "a detector or the fusion panicked").with_source(error)
        })?;
        engine = back;
        outcome.moments.into_iter().for_each(&mut on_moment);
    }
}
