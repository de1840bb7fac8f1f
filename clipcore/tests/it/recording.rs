//! Recording an input without a pipeline around it.

use std::path::Path;

use clipcore::recorder::{Recorder, RecorderConfig};
use clipcore::source::media::{Input, MediaSource};
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, Result, StreamId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) fn stream() -> StreamId {
    StreamId::new("test").unwrap()
}

pub(crate) fn recorder(dir: &Path) -> Recorder {
    Recorder::open(dir, stream(), CameraId::main(), RecorderConfig::default()).unwrap()
}

/// Records a file to its end; gives what the source handed over.
pub(crate) async fn record(input: &Path, recorder: Recorder) -> Result<Vec<Item>> {
    let source = MediaSource::new(Input::parse(&input.display().to_string())?, CameraId::main(), recorder);
    run(source).await
}

pub(crate) async fn run(source: impl Source + 'static) -> Result<Vec<Item>> {
    let (tx, mut rx) = mpsc::channel(64);
    let out = SourceOutput::new(stream(), tx, CancellationToken::new());
    let running = tokio::spawn(async move { Box::new(source).run(out).await });
    let mut items = Vec::new();
    while let Some(item) = rx.recv().await {
        items.push(item);
    }
    running.await.expect("the source does not panic").map(|()| items)
}
