//! `clipcore detect`: what detectors find, before fusion.

use std::path::PathBuf;

use clap::Args;
use clipcore::recorder::Recorder;
use clipcore::replay::{Found, Replay};
use clipcore::source::media::Input;
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, Consent, Error, Result, StreamId};

use crate::assembly::DETECTORS;
use crate::cli::Global;
use crate::config::{Config, Overrides};
use crate::exit::Exit;
use crate::models::Models;
use crate::{assembly, inputs, output};

/// Arguments of `detect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  clipcore detect gala.mp4                          every detector that the input can feed
  clipcore detect gala.mp4 --detector loudness      only this one
  clipcore detect talk.mp4 --consent face           with faces, where their models are there (clipcore doctor)
  clipcore detect chat.jsonl --detector chat_burst  events instead of media")]
pub struct DetectArgs {
    /// A file, a URL, - for standard input, or a .jsonl file of events
    #[arg(value_name = "INPUT")]
    pub input: String,
    /// Only this detector; may be given several times
    #[arg(long = "detector", value_name = "NAME")]
    pub detectors: Vec<String>,
    /// The stream's id in the signals
    #[arg(long, value_name = "ID", value_parser = inputs::stream_id)]
    pub stream: Option<StreamId>,
    /// Chat and other events as JSON lines, beside the media
    #[arg(long, value_name = "FILE")]
    pub chat: Option<PathBuf>,
    /// What the people concerned agreed to: chat_text, face, or both with a comma
    #[arg(long, value_name = "LIST")]
    pub consent: Option<Consent>,
}

impl DetectArgs {
    /// The configuration with these flags over file and environment.
    ///
    /// # Errors
    /// `Config`, naming the key.
    pub fn config(&self, global: &Global) -> Result<Config> {
        global.config(&Overrides {
            stream: self.stream.clone(),
            consent: self.consent,
            ..Overrides::default()
        })
    }

    /// The stream's id: the flag's, else from the input's name.
    pub fn stream_id(&self, config: &Config) -> StreamId {
        config.stream.clone().unwrap_or_else(|| inputs::stream_id_of(&self.input))
    }
}

/// Runs the command.
///
/// # Errors
/// Where the input cannot be read, or a detector's name is not known.
pub fn run(args: &DetectArgs, global: &Global) -> anyhow::Result<Exit> {
    let mut config = args.config(global)?;
    if !args.detectors.is_empty() {
        if let Some(unknown) = args.detectors.iter().find(|d| !DETECTORS.contains(&d.as_str())) {
            return Err(Error::config(format!("there is no detector {unknown:?}"))
                .with_hint(format!("known are {}", DETECTORS.join(", ")))
                .into());
        }
        let others = DETECTORS.iter().filter(|d| !args.detectors.iter().any(|n| n == *d));
        config.detectors.off = others.map(|d| (*d).to_owned()).collect();
        for (name, needs) in assembly::withheld(&config, &Models::default())? {
            config.consent.require(needs, &name)?;
        }
    }
    let stream = args.stream_id(&config);
    let events = if is_events(&args.input) { Some(PathBuf::from(&args.input)) } else { args.chat.clone() };
    if let Some(events) = &events {
        of_events(events, &config, &stream)?;
    }
    if !is_events(&args.input) {
        of_media(args, &config, &stream, global)?;
    }
    Ok(Exit::Done)
}

fn is_events(input: &str) -> bool {
    [".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst"].iter().any(|end| input.ends_with(end))
}

/// The detectors of events alone: their signals, in order.
fn of_events(path: &std::path::Path, config: &Config, stream: &StreamId) -> anyhow::Result<()> {
    let fusion = config.fusion.factory()?;
    let mut replay = Replay::new(Box::new(|stream: &StreamId| assembly::engine(config, &fusion, stream)))
        .with_consent(config.consent)
        .with_default_stream(stream.clone());
    let mut failed = None;
    let mut print = |found| {
        if let Found::Signal(signal) = found {
            failed = failed.take().or(output::json_line(&signal).err());
        }
    };
    replay.read(&mut crate::input::open(path)?, &mut print)?;
    let report = replay.finish(&mut print)?;
    for bad in report.bad_lines {
        output::note(&format!("{}, line {}: {}", path.display(), bad.line, bad.error));
    }
    failed.map_or(Ok(()), |e| Err(e.into()))
}

/// The detectors of sound and pictures. Nothing is kept: the recording goes to a temporary folder.
fn of_media(args: &DetectArgs, config: &Config, stream: &StreamId, global: &Global) -> anyhow::Result<()> {
    let models = Models::open(config)?;
    let scratch = Scratch::new()?;
    let recorder = Recorder::open(&scratch.0, stream.clone(), CameraId::main(), config.recorder.clone())?;
    let source =
        assembly::media_source(config, &models, Input::parse(&args.input)?, &CameraId::main(), recorder)?;
    let progress = output::Progress::start("listening", global.quiet);
    models.notes.iter().for_each(|note| progress.line(note));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (tx, mut rx) = tokio::sync::mpsc::channel(256);
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn(Box::new(source).run(SourceOutput::new(stream.clone(), tx, stop.clone())));
        loop {
            let item = tokio::select! {
                item = rx.recv() => item,
                _ = tokio::signal::ctrl_c(), if !stop.is_cancelled() => {
                    stop.cancel();
                    continue;
                }
            };
            match item {
                Some(Item::Signal(signal)) => output::json_line(&signal)?,
                Some(Item::Progress { at, .. }) => progress.update(format!("listening, at {at}")),
                Some(Item::Notice(text)) => progress.line(text),
                Some(_) => {}
                None => break,
            }
        }
        running.await??;
        anyhow::Ok(())
    });
    progress.finish();
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

/// A folder that goes when it is no longer needed.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("clipcore-detect-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| Error::io(e, &dir))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
