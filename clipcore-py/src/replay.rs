//! Recorded events in, moments and signals out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clipcore::engine::Engine;
use clipcore::event::Kinds;
use clipcore::replay::{Found, Replay, ReplayReport};
use clipcore::{Result, StreamId};
use clipcore_cli::replay_files::{FileReport, Files};
use clipcore_cli::{assembly, inputs};
use pyo3::prelude::*;
use serde_json::json;

use crate::detached::{Caller, detached};
use crate::detector::{Failure, Faults, specs};
use crate::error::exception;
use crate::model;
use crate::settings::Settings;

/// What was found, as lines of JSON, and what became of each file.
#[derive(Default)]
struct Results {
    moments: Vec<String>,
    signals: Vec<String>,
    files: Vec<FileReport>,
}

impl Results {
    fn take(&mut self, found: Found) -> Result<()> {
        match found {
            Found::Moment(moment) => self.moments.push(serde_json::to_string(&moment)?),
            Found::Signal(signal) => self.signals.push(serde_json::to_string(&signal)?),
        }
        Ok(())
    }
}

type Told = (Vec<String>, Vec<String>, Vec<(String, Option<Py<PyAny>>)>, Vec<Failure>);

/// Replays files and folders of earlier runs, or one text.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // keyword arguments, all of them
pub(crate) fn replay(
    py: Python<'_>,
    settings: Settings,
    paths: Vec<PathBuf>,
    text: Option<Vec<u8>>,
    stream: &str,
    detectors: &Bound<'_, PyAny>,
    models: &Bound<'_, PyAny>,
    threads: usize,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Told> {
    let faults = Arc::new(Faults::default());
    let detectors = specs(detectors, &faults)?;
    let models = model::registry(models)?;
    let results = detached(py, progress, |caller| -> Result<Results> {
        let config = settings.config()?;
        let fusion = config.fusion.factory()?;
        let engine = |stream: &StreamId| {
            let engine = assembly::engine(&config, &fusion, stream)?.with_models(models.clone());
            detectors.iter().try_fold(engine, |engine, spec| engine.with_detector(spec.make(stream)?))
        };
        let mut results = Results::default();
        if let Some(text) = &text {
            let report = of_text(text, &StreamId::new(stream)?, &engine, config.consent, &mut results)?;
            results.files.push(FileReport { path: "<events>".into(), report, error: None });
        }
        let (kinds, stream_of) = (Kinds::builtin(), |path: &Path| Some(stream_of(path)));
        let files =
            Files { kinds: &kinds, consent: config.consent, stream_of: &stream_of, threads, engine: &engine };
        of_paths(&files, &paths, caller, &mut results)?;
        Ok(results)
    })?;
    let told = results.files.iter().map(|file| {
        let error = file.error.as_ref().map(|e| exception(py, e).into_value(py).into_any());
        (report(file).to_string(), error)
    });
    let told = told.collect();
    Ok((results.moments, results.signals, told, faults.take(py)))
}

fn of_paths(files: &Files<'_>, paths: &[PathBuf], caller: &Caller, results: &mut Results) -> Result<()> {
    let (folders, paths): (Vec<PathBuf>, Vec<PathBuf>) = paths.iter().cloned().partition(|p| p.is_dir());
    let (done, total) = (AtomicUsize::new(0), folders.len() + paths.len());
    let count = |path: &Path| {
        let n = done.fetch_add(1, Ordering::Relaxed) + 1;
        caller.progress(n, total, path.display().to_string());
    };
    for folder in &folders {
        let replayed = files.folder(folder, &mut |found| {
            caller.check()?;
            results.take(found)
        })?;
        count(folder);
        results.files.push(replayed.report);
    }
    let mut reports = files.replay(&paths, &count, &mut |_, found| {
        caller.check()?;
        results.take(found)
    })?;
    results.files.append(&mut reports);
    Ok(())
}

fn of_text(
    text: &[u8],
    stream: &StreamId,
    engine: &(dyn Fn(&StreamId) -> Result<Engine> + Sync),
    consent: clipcore::Consent,
    results: &mut Results,
) -> Result<ReplayReport> {
    let mut replay = Replay::new(Box::new(engine)).with_consent(consent).with_default_stream(stream.clone());
    let mut failed = None;
    let mut take = |found| failed = failed.take().or(results.take(found).err());
    replay.read(&mut &*text, &mut take)?;
    let report = replay.finish(&mut take)?;
    failed.map_or(Ok(report), Err)
}

/// The stream of a file's events that name none, as the program names it.
fn stream_of(path: &Path) -> StreamId {
    inputs::stream_id_of(&path.display().to_string())
}

fn report(file: &FileReport) -> serde_json::Value {
    let r = &file.report;
    let bad: Vec<_> = r.bad_lines.iter().map(|b| json!([b.line, b.error.to_string()])).collect();
    json!({
        "path": file.path, "lines": r.lines, "events": r.events, "signals": r.signals, "withheld": r.withheld,
        "bad": r.bad, "bad_lines": bad, "streams": r.streams.keys().collect::<Vec<_>>(),
    })
}
