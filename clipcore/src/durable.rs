//! Files that survive a crash: appends that leave nothing torn, replacements that are whole or absent, and
//! locks that keep a second process out.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// What has happened to written data before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It is on the medium (`fdatasync`): it survives a power failure. The default.
    #[default]
    Fsync,
    /// The operating system has it: it survives a crash of the process, not of the machine. At most about
    /// 1 MiB is unsynced at any time.
    Flush,
}

/// How much [`Durability::Flush`] leaves to the operating system.
const MAX_UNSYNCED: u64 = 1 << 20;

/// A file that only grows, by whole appends: one that fails leaves no bytes behind.
#[derive(Debug)]
pub(crate) struct AppendFile {
    file: File,
    path: PathBuf,
    len: u64,
    unsynced: u64,
    /// An append failed and its bytes could not be removed yet.
    torn: bool,
}

impl AppendFile {
    /// Opens or creates `path`, to be appended to at its end.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        };
        let (file, len) = open().map_err(|e| write_error(e, path))?;
        // What a former process wrote may not be on the medium yet.
        Ok(Self { file, path: path.to_owned(), len, unsynced: len, torn: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether everything appended is on the medium.
    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced == 0
    }

    /// Keeps other processes out for as long as the file is open; see [`lock`].
    pub(crate) fn lock(&self, what: &str) -> Result<()> {
        lock(&self.file, &self.path, what)
    }

    /// Appends `bytes` whole, or not at all.
    pub(crate) fn append(&mut self, bytes: &[u8], durability: Durability) -> Result<()> {
        if self.torn {
            self.cut(self.len)?;
        }
        self.torn = true;
        let mut write = || {
            self.file.write_all(bytes)?;
            if durability == Durability::Fsync || self.unsynced + bytes.len() as u64 > MAX_UNSYNCED {
                self.file.sync_data()?;
                return Ok(true);
            }
            Ok(false)
        };
        match write() {
            Ok(synced) => {
                self.torn = false;
                self.len += bytes.len() as u64;
                self.unsynced = if synced { 0 } else { self.unsynced + bytes.len() as u64 };
                Ok(())
            }
            Err(e) => {
                // If this fails too, `torn` stays set and the next append tries again.
                let _ = self.cut(self.len);
                Err(write_error(e, &self.path))
            }
        }
    }

    /// Cuts the file to `len` bytes.
    pub(crate) fn cut(&mut self, len: u64) -> Result<()> {
        let cut = || {
            self.file.set_len(len)?;
            self.file.sync_data()
        };
        cut().map_err(|e| write_error(e, &self.path))?;
        self.len = len;
        self.unsynced = 0;
        self.torn = false;
        Ok(())
    }

    /// Puts everything appended on the medium.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if self.unsynced > 0 {
            self.file.sync_data().map_err(|e| write_error(e, &self.path))?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

/// An error of a write: a full disk can be retried once there is room.
pub(crate) fn write_error(e: std::io::Error, path: &Path) -> Error {
    let full = matches!(e.kind(), Io::StorageFull | Io::QuotaExceeded);
    let error = Error::io(e, path);
    if full {
        error.with_retryable(true).with_hint("free some space; nothing was half written")
    } else {
        error
    }
}

/// Makes the entries of folder `dir` (creations, renames, removals) durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| write_error(e, dir))
}

/// Makes `dir` and its parents, durably.
pub(crate) fn create_dir(dir: &Path) -> Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    create_dir(parent)?;
    match std::fs::create_dir(dir) {
        Err(e) if e.kind() != Io::AlreadyExists || !dir.is_dir() => return Err(write_error(e, dir)),
        _ => {}
    }
    sync_dir(parent)
}

/// Puts `bytes` at `path` so that a reader or a crash sees the old content or the new, nothing between.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    let temp = PathBuf::from(temp);
    let write = || {
        let mut file = File::create(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temp, path)
    };
    if let Err(e) = write() {
        let _ = std::fs::remove_file(&temp);
        return Err(write_error(e, path));
    }
    sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// Takes the exclusive lock of an open file; it is given back when the file is closed, also by a crash.
pub(crate) fn lock(file: &File, path: &Path, what: &str) -> Result<()> {
    use rustix::fs::{FlockOperation, flock};
    // A child that was forked a moment ago holds every lock of its parent until it has become another program.
    let mut attempts = 25;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if attempts > 0 => {
                attempts -= 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            outcome => return outcome.map_err(|e| refused(e, path, what)),
        }
    }
}

fn refused(e: rustix::io::Errno, path: &Path, what: &str) -> Error {
    if e == rustix::io::Errno::WOULDBLOCK {
        Error::new(ErrorKind::Conflict, format!("{what} is in use by another process, or twice by this one"))
            .with_context("path", path.display())
            .with_hint("stop the other process, or give this one a folder of its own")
    } else {
        Error::io(e.into(), path)
    }
}

/// Runs file work on a thread where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        let kind = if e.is_cancelled() { ErrorKind::Cancelled } else { ErrorKind::Internal };
        Err(Error::new(kind, "file work ended before it was done").with_source(e))
    })
}
