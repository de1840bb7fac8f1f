//! The streams a host knows, and where that is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{StreamSettings, StreamState};
use crate::consent::Consent;
use crate::durable::{blocking, create_dir, replace, sync_dir};
use crate::{Error, ErrorKind, Result, StreamId};

/// What is kept of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Where it is in its life.
    pub state: StreamState,
    /// What it was asked to be.
    pub settings: StreamSettings,
    /// Where its media is recorded, where others can read that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<String>,
}

/// Where hosts keep what they know of their streams.
///
/// # Contract
/// What `save` has returned from is durable, and what `load` gives from then on, in every process that shares it.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// Everything that is kept.
    ///
    /// # Errors
    /// `Corrupt`, `Io` or `Unavailable`.
    async fn load(&self) -> Result<BTreeMap<StreamId, Known>>;

    /// Keeps what is known of a stream, in place of what was.
    ///
    /// # Errors
    /// `Io`, `DiskFull` or `Unavailable`.
    async fn save(&self, stream: &StreamId, known: &Known) -> Result<()>;

    /// Keeps nothing of a stream any more.
    ///
    /// # Errors
    /// `Unsupported` where what was kept stays; `Io` or `Unavailable`.
    async fn remove(&self, stream: &StreamId) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "what is kept of a stream stays here")
            .with_context("stream", stream))
    }

    /// Notes that a process has keys of pseudonyms, and where: `keys` tells them from those of others.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn note_keys(&self, keys: &str, place: &str) -> Result<()> {
        let _ = (keys, place);
        Ok(())
    }

    /// Where there are keys of pseudonyms, as was [noted](Self::note_keys); none where a process is alone.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn keys(&self) -> Result<BTreeMap<String, String>> {
        Ok(BTreeMap::new())
    }
}

/// One small file a stream, `DIR/STREAM.json`, replaced whole: for a host that is alone.
#[derive(Debug, Clone)]
pub struct FileStreams(PathBuf);

impl FileStreams {
    /// Keeps them in this folder, which is made where it is missing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }
}

#[async_trait]
impl StreamStore for FileStreams {
    async fn load(&self) -> Result<BTreeMap<StreamId, Known>> {
        let dir = self.0.clone();
        let loaded = blocking(move || {
            create_dir(&dir)?;
            load(&dir)
        });
        loaded.await.map_err(|e| e.with_operation("host::open"))
    }

    async fn save(&self, stream: &StreamId, known: &Known) -> Result<()> {
        let path = self.0.join(format!("{stream}.json"));
        let text = serde_json::to_vec(known)?;
        blocking(move || replace(&path, &text)).await.map_err(|e| e.with_operation("host::save"))
    }

    async fn remove(&self, stream: &StreamId) -> Result<()> {
        let path = self.0.join(format!("{stream}.json"));
        let removed = blocking(move || match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(e, &path)),
            _ => sync_dir(path.parent().unwrap_or(Path::new(""))),
        });
        removed.await.map_err(|e| e.with_operation("host::remove"))
    }
}

/// A host's view of its store.
pub(super) struct Registry {
    store: Arc<dyn StreamStore>,
    known: Mutex<BTreeMap<StreamId, Known>>,
    /// How often something was saved.
    saves: AtomicU64,
}

impl Registry {
    pub(super) async fn open(store: Arc<dyn StreamStore>) -> Result<Self> {
        let known = Mutex::new(store.load().await?);
        Ok(Self { store, known, saves: AtomicU64::new(0) })
    }

    pub(super) fn store(&self) -> &dyn StreamStore {
        &*self.store
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<StreamId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, stream: &StreamId) -> Option<Known> {
        self.known().get(stream).cloned()
    }

    /// What the stream's people agreed to, where it says so itself.
    pub(super) fn consent(&self, stream: &StreamId) -> Option<Consent> {
        self.known().get(stream)?.settings.consent
    }

    pub(super) fn all(&self) -> Vec<(StreamId, Known)> {
        self.known().iter().map(|(stream, known)| (stream.clone(), known.clone())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.known().len()
    }

    /// Keeps what is known now; it counts once it is durable.
    pub(super) async fn save(&self, stream: &StreamId, known: Known) -> Result<()> {
        self.store.save(stream, &known).await?;
        self.saves.fetch_add(1, Ordering::SeqCst);
        self.known().insert(stream.clone(), known);
        Ok(())
    }

    /// Keeps nothing of a stream any more; whether something was known.
    pub(super) async fn remove(&self, stream: &StreamId) -> Result<bool> {
        self.store.remove(stream).await?;
        self.saves.fetch_add(1, Ordering::SeqCst);
        Ok(self.known().remove(stream).is_some())
    }

    /// Takes up what other processes have kept.
    pub(super) async fn refresh(&self) -> Result<()> {
        let saves = self.saves.load(Ordering::SeqCst);
        let now = self.store.load().await?;
        let mut known = self.known();
        // What was saved meanwhile may be newer than what was loaded; the next time tells.
        if self.saves.load(Ordering::SeqCst) == saves {
            *known = now;
        }
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
