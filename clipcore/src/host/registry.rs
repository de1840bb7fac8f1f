//! The streams a host knows: one small file each, `DIR/STREAM.json`, replaced whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{StreamSettings, StreamState};
use crate::durable::{blocking, create_dir, replace};
use crate::{Error, ErrorKind, Result, StreamId};

/// What is kept of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) state: StreamState,
    pub(super) settings: StreamSettings,
}

pub(super) struct Registry {
    dir: PathBuf,
    known: Mutex<BTreeMap<StreamId, Known>>,
}

impl Registry {
    pub(super) async fn open(dir: PathBuf) -> Result<Self> {
        blocking(move || {
            create_dir(&dir)?;
            let known = Mutex::new(load(&dir)?);
            Ok(Self { dir, known })
        })
        .await
        .map_err(|e| e.with_operation("host::open"))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StreamId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, stream: &StreamId) -> Option<Known> {
        self.known().get(stream).cloned()
    }

    pub(super) fn all(&self) -> Vec<(StreamId, Known)> {
        self.known().iter().map(|(stream, known)| (stream.clone(), known.clone())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.known().len()
    }

    /// Keeps what is known now; it counts once it is durable.
    pub(super) async fn save(&self, stream: &StreamId, known: Known) -> Result<()> {
        let path = self.dir.join(format!("{stream}.json"));
        let text = serde_json::to_vec(&known)?;
        blocking(move || replace(&path, &text)).await.map_err(|e| e.with_operation("host::save"))?;
        self.known().insert(stream.clone(), known);
        Ok(())
    }
}

fn load(dir: &Path) -> Result<BTreeMap<StreamId, Known>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io(e, dir))? {
        let path = entry.map_err(|e| Error::io(e, dir))?.path();
        let Some(stream) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".json"))
        else {
            continue;
        };
        let Ok(stream) = StreamId::new(stream) else { continue };
        let text = std::fs::read(&path).map_err(|e| Error::io(e, &path))?;
        let known = serde_json::from_slice(&text).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "this description of a stream cannot be read")
                .with_source(e)
                .with_context("path", path.display())
        })?;
        all.insert(stream, known);
    }
    Ok(all)
}
