//! What recordings say to fusion and to evaluation: signals, chat counts and lengths of their streams.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clipcore::StreamId;
use clipcore::detector::Signal;
use clipcore::eval::{Durations, Label, Observed};
use clipcore::event::Kinds;
use clipcore::fusion::{FusionSetup, Moment};
use clipcore::tune::{Collector, Example};
use rayon::prelude::*;

use crate::config::Config;
use crate::replay_files::Files;
use crate::{assembly, input, inputs, output};

/// Reads what recordings say about their streams, several files at once.
///
/// # Errors
/// Where a file cannot be read.
pub(crate) fn observe(paths: &[PathBuf]) -> Result<Observed> {
    let kinds = Kinds::builtin();
    let parts: Vec<Observed> = paths
        .par_iter()
        .map(|path| {
            let mut part = Observed::default().with_default_stream(stream_of(path));
            part.read(&mut input::open(path)?, &kinds).with_context(|| path.display().to_string())?;
            Ok(part)
        })
        .collect::<Result<_>>()?;
    let mut all = Observed::default();
    parts.into_iter().for_each(|part| all.merge(part));
    Ok(all)
}

/// What the events of a file belong to that name no stream.
fn stream_of(path: &Path) -> StreamId {
    inputs::stream_id_of(&path.display().to_string())
}

/// The signals of each stream, as fusion would be given them: those that are recorded in the files and those that the
/// configured detectors find in the events.
///
/// # Errors
/// Where a file cannot be read.
pub(crate) fn signals(
    paths: &[PathBuf],
    config: &Config,
    quiet: bool,
) -> Result<BTreeMap<StreamId, Vec<Signal>>> {
    let (collector, kinds) = (Collector::default(), Kinds::builtin());
    let factory = collector.factory();
    let engine = |stream: &StreamId| assembly::engine(config, &factory, stream);
    let stream_of = |path: &Path| Some(stream_of(path));
    let files =
        Files { kinds: &kinds, consent: config.consent, stream_of: &stream_of, threads: 0, engine: &engine };
    let progress = output::Progress::start(format!("listening to {} files", paths.len()), quiet);
    let done = AtomicUsize::new(0);
    let count = |_: &Path| {
        let n = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress.update(format!("listening to {} files, {n} done", paths.len()));
    };
    let reports = files.replay::<anyhow::Error>(paths, &count, &mut |_, _| Ok(()))?;
    progress.finish();
    if let Some(error) = reports.into_iter().find_map(|file| file.error) {
        return Err(error.into());
    }
    Ok(collector.take())
}

/// A stream for a fit, or to see what weights make of it.
pub(crate) fn example(
    stream: &StreamId,
    signals: &BTreeMap<StreamId, Vec<Signal>>,
    labels: &[Label],
    durations: &Durations,
) -> Example {
    let mut labels: Vec<Label> = labels.iter().filter(|l| l.stream == *stream).cloned().collect();
    labels.sort_by_key(|l| (l.start, l.end));
    Example {
        stream: stream.clone(),
        signals: signals.get(stream).cloned().unwrap_or_default(),
        labels,
        hours: durations.get(stream).map_or(0.0, Duration::as_secs_f64) / 3600.0,
    }
}

/// The transitions of the moments that these weights find on these streams.
pub(crate) fn moments<'a>(
    setup: &Arc<FusionSetup>,
    examples: impl IntoIterator<Item = &'a Example>,
) -> Vec<Moment> {
    examples.into_iter().flat_map(|example| example.moments(setup)).collect()
}

/// Those of the streams that weights were fitted to.
pub(crate) fn in_sample<'a>(
    fitted_to: &'a [String],
    streams: impl Iterator<Item = &'a StreamId>,
) -> Vec<&'a StreamId> {
    streams.filter(|s| fitted_to.iter().any(|fitted| fitted == s.as_str())).collect()
}
