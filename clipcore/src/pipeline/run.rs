use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::try_join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admit::Gate;
use super::builder::{PipelineBuilder, StreamSpec};
use super::deliver::panicked;
use super::driver::{Driver, Running};
use super::intake::{Inflow, Intake};
use super::journal::Journal;
use super::outgoing::Outgoing;
use super::pools::Pools;
use super::reference::Reference;
use super::retention::Retention;
use super::schedule::Schedules;
use super::stats::{Counters, PipelineStats};
use super::summary::{StreamSummary, Summary};
use super::ticker::Ticker;
use super::workers::{JobQueue, Seat, Workers};
use super::{EngineFactory, Shared};
use crate::consent::Consent;
use crate::engine::Engine;
use crate::log::{EventLog, Lease, partition_of};
use crate::sink::ClipSink;
use crate::source::Source;
use crate::{Error, ErrorKind, Result, StreamId};

type StreamParts = (StreamSpec, Consent, Engine, EngineFactory);

/// Streams from their sources to their sinks; see the [module](super).
#[must_use = "a pipeline does nothing until it is run"]
pub struct Pipeline {
    streams: Vec<StreamParts>,
    log: Arc<dyn EventLog>,
    sinks: Vec<Arc<dyn ClipSink>>,
    shared: Arc<Shared>,
    handle: PipelineHandle,
}

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("streams", &self.handle.counters.keys()).finish_non_exhaustive()
    }
}

/// Steers and watches a running pipeline. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PipelineHandle {
    stop: CancellationToken,
    kill: CancellationToken,
    counters: Arc<BTreeMap<StreamId, Arc<Counters>>>,
}

impl PipelineHandle {
    /// Ends the run in good order: sources end, what they said is taken in, cutters finish, sinks take what
    /// is pending, and a checkpoint is written. The streams are not ended in the log, so that a later run goes on.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends the run at once. What is logged is safe; the next run delivers what is pending.
    pub fn abort(&self) {
        self.stop.cancel();
        self.kill.cancel();
    }

    /// Whether the run was asked to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// What has been counted so far.
    pub fn stats(&self) -> PipelineStats {
        let streams = self.counters.iter().map(|(id, counters)| (id.clone(), counters.snapshot()));
        PipelineStats { streams: streams.collect() }
    }
}

impl Pipeline {
    /// Starts with nothing.
    pub fn builder() -> PipelineBuilder {
        PipelineBuilder::default()
    }

    pub(super) fn new(
        streams: Vec<StreamParts>,
        log: Arc<dyn EventLog>,
        sinks: Vec<Arc<dyn ClipSink>>,
        shared: Arc<Shared>,
    ) -> Self {
        let counters = streams.iter().map(|(spec, ..)| (spec.id.clone(), Arc::default())).collect();
        let handle = PipelineHandle {
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            counters: Arc::new(counters),
        };
        Self { streams, log, sinks, shared, handle }
    }

    /// Steers the run from outside.
    pub fn handle(&self) -> PipelineHandle {
        self.handle.clone()
    }

    /// Runs until every stream's input has ended or the [handle](Self::handle) says so. A stream that fails does
    /// not end the others; its error is in the [`Summary`].
    ///
    /// # Errors
    /// Where nothing was started: a sink's check failed, or the log is out of reach. `Cancelled` where
    /// the run was aborted.
    ///
    /// # Cancel safety
    /// Dropping it is as [`PipelineHandle::abort`].
    pub async fn run(self) -> Result<Summary> {
        let kill = self.handle.kill.clone();
        tokio::select! {
            biased;
            () = kill.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the pipeline was aborted")),
            summary = self.run_to_end() => summary,
        }
    }

    async fn run_to_end(self) -> Result<Summary> {
        let Self { streams, log, sinks, shared, handle } = self;
        try_join_all(sinks.iter().map(|sink| async move {
            sink.check().await.map_err(|error| error.with_context("sink", sink.name()))
        }))
        .await?;
        let threads = match shared.config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(streams.len()),
            fixed => fixed,
        };
        let workers = Workers::start(threads)?;
        let ids: Vec<StreamId> = streams.iter().map(|(spec, ..)| spec.id.clone()).collect();
        let leases = acquire(&*log, &ids).await?;
        let retention = Arc::new(Retention::new(&ids, log.partitions()));
        let mut drivers = JoinSet::new();
        for (index, parts) in streams.into_iter().enumerate() {
            let id = &ids[index];
            let place = Place {
                lease: leases[&partition_of(id, log.partitions())].clone(),
                counters: handle.counters[id].clone(),
                queue: workers.queue(crc32fast::hash(id.as_str().as_bytes())),
                log: log.clone(),
                retention: retention.clone(),
                sinks: sinks.clone(),
                shared: shared.clone(),
                stop: handle.stop.clone(),
            };
            drivers.spawn(async move { (index, drive(parts, place).await) });
        }
        let mut summaries = BTreeMap::new();
        while let Some(done) = drivers.join_next().await {
            let (index, summary) = done.map_err(|error| {
                Error::new(ErrorKind::Internal, "a stream's task was lost").with_source(error)
            })?;
            summaries.insert(index, summary);
        }
        let mut sink_errors = Vec::new();
        for sink in &sinks {
            if let Err(error) = sink.close().await {
                sink_errors.push(error.with_context("sink", sink.name()));
            }
        }
        Ok(Summary { streams: summaries.into_values().collect(), sink_errors })
    }
}

/// What a stream needs of its pipeline.
struct Place {
    lease: Lease,
    counters: Arc<Counters>,
    queue: JobQueue,
    log: Arc<dyn EventLog>,
    retention: Arc<Retention>,
    sinks: Vec<Arc<dyn ClipSink>>,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// Runs one stream; whatever goes wrong there stays there.
async fn drive(parts: StreamParts, place: Place) -> StreamSummary {
    let (stream, counters) = (parts.0.id.clone(), place.counters.clone());
    let driven = AssertUnwindSafe(async {
        let (driver, sources) = assemble(parts, place);
        driver.run(sources).await
    });
    driven.catch_unwind().await.unwrap_or_else(|panic| StreamSummary {
        stream,
        ended: false,
        was_ended: false,
        stats: counters.snapshot(),
        error: Some(panicked("the stream's driver", &*panic)),
        delivery_error: None,
        cutter_error: None,
    })
}

fn assemble(parts: StreamParts, place: Place) -> (Driver, Vec<Box<dyn Source>>) {
    let (spec, consent, engine, make_engine) = parts;
    let Place { lease, counters, queue, log, retention, sinks, shared, stop } = place;
    let config = &shared.config;
    let mut tasks = JoinSet::new();
    let ticks = !spec.sources.is_empty() && !spec.sources.iter().any(|s| s.has_clock());
    let driver = Driver {
        outgoing: Outgoing::start(&sinks, spec.cutters, config, counters.clone(), &mut tasks),
        gate: Gate {
            pseudonyms: shared.pseudonyms.clone(),
            ..Gate::new(spec.id.clone(), consent, config.max_ahead)
        },
        reference: Reference::new(Vec::new(), config.max_camera_lag),
        pools: Pools::new(spec.pools),
        ticker: ticks.then(|| Ticker::start(&*shared.time, None, None)),
        seat: Seat::new(engine, queue),
        journal: Journal::new(log, lease, &spec.id),
        retention,
        schedules: Schedules::new(spec.schedules),
        intake: Intake::default(),
        state: Running::default(),
        stream: spec.id,
        counters,
        make_engine,
        stop,
        tasks,
        shared,
    };
    (driver, spec.sources)
}

/// Takes over every partition that the streams hash to, once.
async fn acquire(log: &dyn EventLog, streams: &[StreamId]) -> Result<BTreeMap<u32, Lease>> {
    let owner = format!("clipcore-{}", std::process::id());
    let mut leases = BTreeMap::new();
    for stream in streams {
        let partition = partition_of(stream, log.partitions());
        if let std::collections::btree_map::Entry::Vacant(slot) = leases.entry(partition) {
            slot.insert(log.acquire(partition, &owner).await?);
        }
    }
    Ok(leases)
}

impl Driver {
    /// From recovery to the last checkpoint.
    async fn run(mut self, sources: Vec<Box<dyn Source>>) -> StreamSummary {
        let mut error = self.begin(sources).await.err();
        if error.is_some() {
            // Nothing that sources still say can be taken in.
            self.intake.close(self.shared.config.grace).await;
        }
        // Without a log nothing can be acknowledged; with one, what is decided still goes out.
        if self.state.recovered && !self.state.log_failed {
            let drained = self.drain().await;
            error = error.or(drained.err());
            if self.seat.is_alive() {
                let checkpointed = self.checkpoint().await;
                error = error.or(checkpointed.err());
            }
            if self.state.ended && error.is_none() {
                self.retention.forget(self.journal.lease.partition, &self.stream);
            }
        }
        self.tasks.shutdown().await;
        self.counters.update(|s| s.pending = self.outgoing.ledger.pending() as u64);
        StreamSummary {
            stream: self.stream,
            ended: self.state.ended,
            was_ended: self.state.was_ended,
            stats: self.counters.snapshot(),
            error,
            delivery_error: self.state.delivery_error,
            cutter_error: self.state.cutter_error,
        }
    }

    async fn begin(&mut self, sources: Vec<Box<dyn Source>>) -> Result<()> {
        self.recover().await.map_err(|error| error.with_context("stream", &self.stream))?;
        self.state.recovered = true;
        if self.state.ended {
            self.state.was_ended = true;
            let text = "the log says that this stream has ended; nothing is added to it";
            self.notice(text.to_owned(), None);
            return Ok(());
        }
        let inflow = Inflow {
            stream: &self.stream,
            capacity: self.shared.config.queue,
            stop: &self.stop,
            waits: &self.counters.source_waits,
            resume_at: self.gate.clock,
        };
        for source in sources {
            self.intake.add(source, &inflow, |task| self.tasks.spawn(task));
        }
        let config = &self.shared.config;
        self.reference = Reference::new(self.intake.clock_sources(), config.max_camera_lag)
            .with_pools(self.pools.len(), config.max_pool_lag);
        self.live().await
    }
}
