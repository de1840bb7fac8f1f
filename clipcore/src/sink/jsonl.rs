use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;

use super::lines::Lines;
use super::{ClipSink, Delivery};
use crate::cutter::Clip;
use crate::durable::{Durability, blocking};
use crate::log::Receipt;
use crate::{Error, ErrorKind, Result, StreamId};

/// Writes `moments.jsonl` and `clips.jsonl`: one line for each transition, in the order of delivery.
///
/// A moment's transition is known by `(id, rev)`, a clip's by its id and [`Clip::transition`]; both are recognised across restarts,
/// since the files are read when the sink is opened. A last line that a crash left torn is cut off then. Each line
/// is written whole and is on the medium before its receipt is given (see [`with_durability`](Self::with_durability)).
/// Each file is locked: two processes cannot write the same folder.
///
/// # Errors
/// `DiskFull` is retryable, and leaves no half line; other I/O errors are permanent.
///
/// # Cancel safety
/// A `deliver` that is dropped may still write its line; delivering again then says `duplicate`.
#[derive(Debug)]
pub struct JsonlSink {
    name: Arc<str>,
    dir: PathBuf,
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
struct Files {
    moments: Lines<(Arc<str>, u32)>,
    clips: Lines<(Arc<str>, u32)>,
}

#[derive(Deserialize)]
struct MomentKey {
    id: Arc<str>,
    rev: u32,
}

#[derive(Deserialize)]
struct StreamKey {
    stream: StreamId,
}

impl JsonlSink {
    /// Opens or creates the two files in `dir`; named `jsonl`.
    ///
    /// # Errors
    /// `Conflict` where another process writes there; `Io` or `DiskFull`.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::with_durability(dir, Durability::Fsync).await
    }

    /// As [`open`](Self::open), with a choice of what a receipt means.
    ///
    /// # Errors
    /// As there.
    pub async fn with_durability(dir: impl AsRef<Path>, durability: Durability) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        blocking(move || {
            let moments = Lines::open(&dir.join("moments.jsonl"), durability, |line| {
                serde_json::from_slice::<MomentKey>(line).ok().map(|key| (key.id, key.rev))
            })?;
            let clips = Lines::open(&dir.join("clips.jsonl"), durability, |line| {
                serde_json::from_slice::<Clip>(line).ok().map(|clip| (clip.id.clone(), clip.transition()))
            })?;
            Ok(Self { name: "jsonl".into(), dir, files: Arc::new(Mutex::new(Files { moments, clips })) })
        })
        .await
        .map_err(|e| e.with_operation("jsonl::open"))
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let files = self.files.clone();
        // A panic elsewhere leaves the files whole: what was not appended is cut off by the next append.
        blocking(move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

#[async_trait]
impl ClipSink for JsonlSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn check(&self) -> Result<()> {
        if self.dir.is_dir() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, "the folder for moments.jsonl and clips.jsonl is gone")
            .with_context("path", self.dir.display()))
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(&self.name);
        receipt.duplicate = match item {
            Delivery::Moment(moment) => {
                let (key, json) = ((moment.id.clone(), moment.rev), serde_json::to_string(moment)?);
                self.with_files(move |files| files.moments.write(key, json)).await
            }
            Delivery::Clip { clip, .. } => {
                let (key, json) = ((clip.id.clone(), clip.transition()), serde_json::to_string(clip)?);
                self.with_files(move |files| files.clips.write(key, json)).await
            }
        }
        .map_err(|e| e.with_operation("jsonl::deliver"))?;
        Ok(receipt)
    }

    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        let stream = stream.clone();
        self.with_files(move |files| {
            let of =
                |line: &[u8]| serde_json::from_slice::<StreamKey>(line).is_ok_and(|l| l.stream == stream);
            Ok(files.moments.erase(of)? + files.clips.erase(of)?)
        })
        .await
        .map_err(|e| e.with_operation("jsonl::erase"))
    }

    async fn close(&self) -> Result<()> {
        self.with_files(|files| {
            files.moments.sync()?;
            files.clips.sync()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::conformance::sink as kit;

    fn lines(dir: &Path) -> usize {
        let count = |name| fs::read_to_string(dir.join(name)).unwrap().lines().count();
        count("moments.jsonl") + count("clips.jsonl")
    }

    #[tokio::test]
    async fn conforms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let dirs = Mutex::new(Vec::new());
        let make = async || {
            let dir = tempfile::tempdir()?;
            let sink = JsonlSink::open(dir.path()).await;
            dirs.lock().unwrap().push(dir);
            sink
        };
        kit::sink(make, async |sink: &JsonlSink| lines(&sink.dir), file.path()).await;
        let dir = tempfile::tempdir().unwrap();
        let open = async || JsonlSink::open(dir.path()).await;
        kit::sink_reopened(open, async |_| lines(dir.path()), file.path()).await;
    }

    #[tokio::test]
    async fn the_last_line_cut_anywhere_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("moments.jsonl");
        let sink = JsonlSink::open(dir.path()).await.unwrap();
        sink.deliver(&kit::moment("s", "a", 1)).await.unwrap();
        let kept = fs::read(&path).unwrap().len();
        sink.deliver(&kit::moment("s", "a", 2)).await.unwrap();
        drop(sink);
        let whole = fs::read(&path).unwrap();
        for len in kept..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let sink = JsonlSink::open(dir.path()).await.unwrap();
            let first = sink.deliver(&kit::moment("s", "a", 1)).await.unwrap();
            assert!(first.duplicate);
            let second = sink.deliver(&kit::moment("s", "a", 2)).await.unwrap();
            assert_eq!(second.duplicate, len + 1 >= whole.len(), "cut at byte {len}");
            assert_eq!(fs::read(&path).unwrap(), whole, "cut at byte {len}");
        }
    }

    #[tokio::test]
    async fn lines_of_other_people_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("moments.jsonl");
        fs::write(&path, "# a note\n\n{\"id\":7}\n").unwrap();
        let sink = JsonlSink::open(dir.path()).await.unwrap();
        sink.deliver(&kit::moment("s", "a", 1)).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# a note\n\n{\"id\":7}\n{\"id\":\"a\""), "{text}");
    }

    #[tokio::test]
    async fn a_stream_that_is_erased_is_gone_and_may_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let sink = JsonlSink::open(dir.path()).await.unwrap();
        for item in [kit::moment("s", "a", 1), kit::moment("t", "b", 1), kit::moment("s", "a", 2)] {
            sink.deliver(&item).await.unwrap();
        }
        let s = StreamId::new("s").unwrap();
        assert_eq!(sink.erase(&s).await.unwrap(), 2);
        assert_eq!(sink.erase(&s).await.unwrap(), 0);
        let text = || fs::read_to_string(dir.path().join("moments.jsonl")).unwrap();
        assert!(!text().contains("\"s\"") && text().contains("\"t\""), "{}", text());
        assert!(JsonlSink::open(dir.path()).await.is_err(), "it is still locked");
        for (item, duplicate) in [(kit::moment("s", "a", 1), false), (kit::moment("t", "b", 1), true)] {
            assert_eq!(sink.deliver(&item).await.unwrap().duplicate, duplicate);
        }
        assert_eq!(text().lines().count(), 2);
    }

    #[tokio::test]
    async fn a_second_writer_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let _first = JsonlSink::open(dir.path()).await.unwrap();
        let err = JsonlSink::open(dir.path()).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Conflict);
        assert!(err.to_string().contains("moments.jsonl"), "{err}");
    }
}
