//! Builds the pipeline that `run` and `demo` share, and sees it through.

use std::path::Path;
use std::sync::Arc;

use clipcore::clock::SystemTimeSource;
use clipcore::cutter::Clip;
use clipcore::event::Kinds;
use clipcore::fusion::Moment;
use clipcore::log::FileLog;
use clipcore::media::ffmpeg::Ffmpeg;
use clipcore::pipeline::Summary;
use clipcore::sink::{JsonlSink, SinkExt};
use clipcore::source::Schedule;
use clipcore::source::media::Input;
use clipcore::{Error, Result, Timestamp};
use tokio_util::sync::CancellationToken;

use super::StreamPlan;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::models::Models;
use crate::output::{self, Progress};
use crate::streams::Streams;
use crate::{assembly, demo, privacy, sinks, sources};

/// How a run went, and what it found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) summary: Summary,
    pub(crate) moments: Vec<Moment>,
    pub(crate) clips: Vec<Clip>,
    pub(crate) interrupted: bool,
    out: std::path::PathBuf,
}

impl Outcome {
    /// Tells people how it went, and gives the exit code.
    pub(crate) fn exit(self, quiet: bool) -> anyhow::Result<Exit> {
        if !quiet {
            let ready = self.clips.iter().filter(|c| c.state == clipcore::cutter::ClipState::Ready);
            let ready: std::collections::HashSet<_> = ready.map(|c| &c.id).collect();
            if !self.clips.is_empty() {
                output::note(&demo::table(&self.moments, &self.clips).to_string());
            }
            for stream in &self.summary.streams {
                let s = &stream.stats;
                output::note(&format!(
                    "{}: {} s, {} events, {} signals, {} too late, {} bad; {} clips{} in {}",
                    stream.stream,
                    s.clock.map_or(0.0, Timestamp::as_secs_f64).round(),
                    s.events,
                    s.signals,
                    s.late,
                    s.bad,
                    ready.len(),
                    if s.clips_failed > 0 { format!(", {} failed,", s.clips_failed) } else { String::new() },
                    self.out.join("clips").display(),
                ));
                if stream.was_ended {
                    output::note(&format!(
                        "{} was done already; to run it anew, choose another --out (or delete {})",
                        stream.stream,
                        self.out.display(),
                    ));
                }
            }
        }
        if self.interrupted {
            return Ok(Exit::Interrupted);
        }
        for stream in self.summary.streams {
            if let Some(error) = stream.error {
                return Err(error.with_context("stream", stream.stream).into());
            }
            if let Some(error) = stream.delivery_error {
                return Err(Failure::wrap(Exit::Sink, error));
            }
        }
        match self.summary.sink_errors.into_iter().next() {
            Some(error) => Err(Failure::wrap(Exit::Sink, error)),
            None => Ok(Exit::Done),
        }
    }
}

/// Runs streams into the output folder, until their inputs end or Ctrl-C.
///
/// # Errors
/// Whatever stands in the way of starting.
pub(crate) fn run_streams(
    config: &Config,
    plans: &[StreamPlan],
    chat: Option<&Path>,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    // Without ffmpeg nothing works; say so before anything is written.
    Ffmpeg::default().version()?;
    for (_, input) in plans.iter().flat_map(|plan| &plan.cameras) {
        Input::parse(input)?;
    }
    if let Some(chat) = chat {
        std::fs::File::open(chat).map_err(|e| {
            Error::io(e, chat)
                .with_hint("--chat names a file of events as JSON lines; leave it out to run without")
        })?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(run_pipeline(config, plans, chat, quiet));
    // Threads that wait for a pipe must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

async fn run_pipeline(
    config: &Config,
    plans: &[StreamPlan],
    chat: Option<&Path>,
    quiet: bool,
) -> anyhow::Result<Outcome> {
    let out = &config.out;
    std::fs::create_dir_all(out)
        .map_err(|e| Error::io(e, out).with_hint("--out names a folder that can be written"))?;
    let progress = Progress::start("starting", quiet);
    let sinks = sinks::open(&config.sinks, out).await.map_err(sinks::failure)?;
    let models = Models::open(config)?;
    if !quiet {
        models.notes.iter().for_each(|note| progress.line(note));
        for (name, needs) in assembly::withheld(config, &models)? {
            progress.line(format!("{name} is off: it needs --consent {needs}"));
        }
    }
    let names: Vec<_> = plans.iter().map(|plan| format!("stream {}", plan.stream)).collect();
    let pseudonyms = privacy::begin(&config.privacy, out, "run", &names.join(", "), config.consent)?;
    let log =
        FileLog::open(out.join("log"), assembly::log_config(&config.pipeline), Kinds::builtin()).await?;
    let log = Arc::new(log);
    let expiring =
        tokio::spawn(privacy::expiry(&config.privacy, out, vec![log.clone()]).run(CancellationToken::new()));
    let lines = JsonlSink::open(out).await?.with_retry(Default::default());
    let streams = Streams::new(config)?;
    let mut builder = streams
        .pipeline()
        .with_log(log)
        .with_pseudonyms(pseudonyms)
        .with_time_source(Arc::new(SystemTimeSource::new()))
        .with_sink(Arc::new(lines));
    for sink in sinks {
        builder = builder.with_sink(sink);
    }
    for plan in plans {
        let mut spec = streams.spec(&models, &plan.stream, &plan.cameras, config.consent, Ok)?;
        if let Some(chat) = chat {
            let schedule = Schedule::open(chat, &plan.stream, &Kinds::builtin())?;
            for error in schedule.bad() {
                progress.line(format!("{}: {error}", chat.display()));
            }
            spec = spec.with_schedule(schedule);
        }
        builder = builder.with_stream(sources::add(&config.sources, spec));
    }
    let (told, shown) = (progress.clone(), progress.clone());
    let pipeline = builder
        .on_notice(move |notice| told.line(notice.to_string()))
        .on_progress(move |p| {
            let s = &p.stats;
            shown.update(format!(
                "{} at {}  {} events  {} signals  {} moments",
                p.stream, p.clock, s.events, s.signals, s.moments
            ));
        })
        .build()?;
    let handle = pipeline.handle();
    let interrupt = tokio::spawn({
        let progress = progress.clone();
        async move {
            wait_for_interrupt().await;
            progress.line("stopping: finishing what is pending (again to stop at once)");
            handle.stop();
            wait_for_interrupt().await;
            handle.abort();
        }
    });
    let stopping = pipeline.handle();
    let summary = pipeline.run().await?;
    interrupt.abort();
    expiring.abort();
    progress.finish();
    let (moments, clips) = (lines_of(&out.join("moments.jsonl"))?, lines_of(&out.join("clips.jsonl"))?);
    Ok(Outcome { summary, moments, clips, interrupted: stopping.is_stopping(), out: out.clone() })
}

/// What a sink wrote; a file that is not there holds nothing.
fn lines_of<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.lines().map(|line| serde_json::from_str(line).map_err(Error::from)).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io(e, path)),
    }
}

async fn wait_for_interrupt() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
