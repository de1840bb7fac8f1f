//! Reading a recording while it is written.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::recording::Recording;
use super::segment::Segment;
use crate::{CameraId, Error, Result, StreamId, Timestamp};

/// Bytes that are read in one go.
const CHUNK: u64 = 256 << 10;
/// How often a reader looks again where nothing tells it to.
const LOOK: Duration = Duration::from_millis(100);

/// The recordings that this process writes, for those who read them meanwhile. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Recordings(Arc<Mutex<ByCamera>>);

type ByCamera = HashMap<(StreamId, CameraId), Weak<Recording>>;

impl Recordings {
    /// This is recorded from now on, until nobody holds it any more.
    pub fn add(&self, stream: StreamId, camera: CameraId, recording: &Arc<Recording>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, recording| recording.strong_count() > 0);
        all.insert((stream, camera), Arc::downgrade(recording));
    }

    /// What is recorded of a camera now.
    pub fn find(&self, stream: &StreamId, camera: &CameraId) -> Option<Arc<Recording>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(stream.clone(), camera.clone()))?.upgrade()
    }
}

/// A reader of a recording's files, one after the other as they are written: fragmented MP4, each file with a header of its
/// own that says where on the timeline it lies.
#[derive(Debug)]
pub struct Tail {
    recording: Arc<Recording>,
    /// The file that is being read, and how far.
    sequence: u64,
    at: u64,
    file: Option<File>,
}

impl Tail {
    /// Begins with the file that was being written at `from`, or the oldest after it.
    pub fn new(recording: Arc<Recording>, from: Timestamp) -> Self {
        let begun = |s: &&Segment| s.span_us().is_some_and(|(start, _)| start <= from.as_micros());
        let first = recording.lock().segments.iter().rev().find(begun).map(|s| s.info.sequence);
        Self { recording, sequence: first.unwrap_or(0), at: 0, file: None }
    }

    /// The next bytes; `None` where nothing more is written *now*. Blocks on the disk.
    ///
    /// # Errors
    /// `Io` where a file cannot be read.
    pub fn read(&mut self) -> Result<Option<Bytes>> {
        while let Some((path, end)) = self.place() {
            let file = match &self.file {
                Some(file) => file,
                None => match File::open(&path) {
                    Ok(file) => self.file.insert(file),
                    // It was deleted a moment ago, and so has left the index.
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(e) => return Err(Error::io(e, &path)),
                },
            };
            let mut bytes = vec![0; (end - self.at).min(CHUNK) as usize];
            file.read_exact_at(&mut bytes, self.at).map_err(|e| Error::io(e, &path))?;
            self.at += bytes.len() as u64;
            return Ok(Some(bytes.into()));
        }
        Ok(None)
    }

    /// The file to read from, and up to where it is whole.
    fn place(&mut self) -> Option<(PathBuf, u64)> {
        let state = self.recording.lock();
        let first = state.segments.partition_point(|s| s.info.sequence < self.sequence);
        for segment in state.segments.range(first..) {
            if segment.info.sequence != self.sequence {
                (self.sequence, self.at, self.file) = (segment.info.sequence, 0, None);
            }
            if self.at < segment.bytes {
                return Some((segment.path.clone(), segment.bytes));
            }
        }
        None
    }

    /// Whether no more will be written, as far as is known now.
    pub fn is_over(&self) -> bool {
        self.recording.has_ended()
    }

    /// Waits until more may be there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn more(&self) {
        let mut progress = self.recording.watch();
        // What has changed before is not told.
        drop(tokio::time::timeout(LOOK, progress.changed()).await);
    }
}
