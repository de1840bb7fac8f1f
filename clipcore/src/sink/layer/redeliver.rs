use std::io::ErrorKind as Io;
use std::path::Path;
use std::sync::Arc;

use super::DeadLetter;
use crate::durable::{AppendFile, blocking, replace};
use crate::log::Receipt;
use crate::sink::ClipSink;
use crate::{Error, ErrorKind, Result};

/// What became of a file of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Redelivered {
    /// Letters that their sink took now; they are out of the file.
    pub delivered: usize,
    /// Letters that were not taken again.
    pub refused: usize,
    /// Letters whose sink is not among those given, and lines that are no letters.
    pub left: usize,
}

/// Delivers the letters of a [dead-letter file](super::DeadLetterLayer) again, each through the sink of its name, in
/// the file's order; takes those out of the file that are delivered.
///
/// `told` hears of each attempt. A crash on the way leaves the file as it was, so that some are delivered twice: sinks
/// know by id and revision.
///
/// # Errors
/// `NotFound` where there is no such file; `Conflict` where a running process writes it; `Io` or `DiskFull`.
///
/// # Cancel safety
/// Dropping it leaves the file as it was.
pub async fn redeliver(
    path: &Path,
    sinks: &[Arc<dyn ClipSink>],
    mut told: impl FnMut(&DeadLetter, &Result<Receipt>),
) -> Result<Redelivered> {
    let file = path.to_owned();
    // The lock is held until the file has been replaced.
    let (lock, text) = blocking(move || {
        let text = std::fs::read(&file).map_err(|e| match e.kind() {
            Io::NotFound => Error::new(ErrorKind::NotFound, "there are no dead letters")
                .with_context("path", file.display()),
            _ => Error::io(e, &file),
        })?;
        let lock = AppendFile::open(&file)?;
        lock.lock("the file of dead letters")?;
        Ok((lock, text))
    })
    .await?;
    let (mut done, mut kept) = (Redelivered::default(), Vec::new());
    for line in text.split_inclusive(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let letter = serde_json::from_slice::<DeadLetter>(line).ok();
        let sink = letter.as_ref().and_then(|l| sinks.iter().find(|s| s.name() == &*l.sink));
        let (Some(letter), Some(sink)) = (&letter, sink) else {
            done.left += 1;
            kept.extend_from_slice(line);
            continue;
        };
        let outcome = sink.deliver(&letter.delivery).await;
        match &outcome {
            Ok(receipt) if !receipt.dead_letter => done.delivered += 1,
            _ => {
                done.refused += 1;
                kept.extend_from_slice(line);
            }
        }
        told(letter, &outcome);
    }
    if done.delivered > 0 {
        let path = path.to_owned();
        blocking(move || replace(&path, &kept)).await?;
    }
    drop(lock);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Flaky;
    use super::*;
    use crate::conformance::sink as kit;
    use crate::sink::{MemorySink, SinkExt};

    #[tokio::test]
    async fn what_is_delivered_leaves_the_file_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dead.jsonl");
        let items = [1, 2, 3].map(|rev| kit::moment("s", "m", rev));
        let broken = Flaky::new(ErrorKind::InvalidInput, 3).with_dead_letter(&path).await.unwrap();
        for item in &items {
            assert!(broken.deliver(item).await.unwrap().dead_letter);
        }
        let sinks: Vec<Arc<dyn ClipSink>> = vec![Arc::new(MemorySink::new())];
        let busy = redeliver(&path, &sinks, |_, _| {}).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Conflict, "{busy}");
        drop(broken);
        let before = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            redeliver(&path, &sinks, |_, _| {}).await.unwrap(),
            Redelivered { left: 3, ..Redelivered::default() }
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before, "nobody knows their sink");

        let flaky = Arc::new(Flaky::new(ErrorKind::InvalidInput, 1));
        let sinks: Vec<Arc<dyn ClipSink>> = vec![flaky.clone()];
        let mut heard = Vec::new();
        let done = redeliver(&path, &sinks, |l, r| heard.push((l.delivery.rev(), r.is_ok()))).await.unwrap();
        assert_eq!(done, Redelivered { delivered: 2, refused: 1, left: 0 });
        assert_eq!(heard, [(1, false), (2, true), (3, true)]);
        assert_eq!(flaky.inner.deliveries(), items[1..]);
        redeliver(&path, &sinks, |_, _| {}).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        let none = redeliver(&dir.path().join("none"), &sinks, |_, _| {}).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }
}
