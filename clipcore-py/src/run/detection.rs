//! What the detectors of sound and pictures find in an input, before fusion; nothing is kept.

use std::sync::Arc;

use clipcore::recorder::Recorder;
use clipcore::source::media::Input;
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, Error, Result};
use clipcore_cli::models::Models;
use clipcore_cli::{assembly, inputs};
use pyo3::prelude::*;

use super::assembly::with_detectors;
use crate::detached::{Caller, STEP, detached};
use crate::detector::{Failure, Faults, specs};
use crate::model;
use crate::settings::Settings;

pub(super) type Told = (Vec<String>, Vec<String>, Vec<Failure>);

/// Signals as lines of JSON, notices, failures.
#[pyfunction]
pub(crate) fn detect(
    py: Python<'_>,
    settings: Settings,
    input: &str,
    detectors: &Bound<'_, PyAny>,
    models: &Bound<'_, PyAny>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Told> {
    let faults = Arc::new(Faults::default());
    let detectors = specs(detectors, &faults)?;
    let extra = model::models(models)?;
    let (signals, notices) = detached(py, progress, |caller| -> Result<_> {
        let config = settings.config()?;
        let parsed = Input::parse(input)?;
        let stream = config.stream.clone().unwrap_or_else(|| inputs::stream_id_of(input));
        let mut models = Models::open(&config)?;
        let notices = std::mem::take(&mut models.notes);
        model::add(&mut models, extra);
        let scratch = tempfile::Builder::new().prefix("clipcore-detect-").tempdir()?;
        let camera = CameraId::main();
        let recorder =
            Recorder::open(scratch.path(), stream.clone(), camera.clone(), config.recorder.clone())?;
        let source = assembly::media_source(&config, &models, parsed, &camera, recorder)?;
        let source = with_detectors(source, &detectors, &stream)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (tx, rx) = tokio::sync::mpsc::channel(256);
        let stop = tokio_util::sync::CancellationToken::new();
        let out = SourceOutput::new(stream.clone(), tx, stop.clone());
        let told = runtime.block_on(async {
            let running = tokio::spawn(Box::new(source).run(out));
            let told = listen(rx, &stop, caller, notices).await?;
            running.await.map_err(|e| Error::new(clipcore::ErrorKind::Internal, e.to_string()))??;
            Ok::<_, Error>(told)
        });
        runtime.shutdown_timeout(std::time::Duration::from_secs(2));
        told
    })?;
    Ok((signals, notices, faults.take(py)))
}

async fn listen(
    mut rx: tokio::sync::mpsc::Receiver<Item>,
    stop: &tokio_util::sync::CancellationToken,
    caller: &Caller,
    mut notices: Vec<String>,
) -> Result<(Vec<String>, Vec<String>)> {
    let mut signals = Vec::new();
    loop {
        let item = tokio::select! {
            item = rx.recv() => item,
            () = tokio::time::sleep(STEP) => {
                if caller.check().is_err() {
                    stop.cancel();
                }
                continue;
            }
        };
        match item {
            Some(Item::Signal(signal)) => signals.push(serde_json::to_string(&signal)?),
            Some(Item::Progress { at, .. }) => {
                caller.progress(at.as_secs_f64() as usize, 0, "seconds listened to".to_owned());
                if caller.check().is_err() {
                    stop.cancel();
                }
            }
            Some(Item::Notice(text)) => notices.push(text),
            Some(_) => {}
            None => return Ok((signals, notices)),
        }
    }
}
