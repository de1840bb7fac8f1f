//! Keys of pseudonyms on disk.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::Pseudonymizer;
use crate::durable::{create_dir, sync_dir, write_error};
use crate::ids::{hex, random, unhex};
use crate::{Error, ErrorKind, Result, StreamId, WallTime};

impl Pseudonymizer {
    /// Loads the key from the file `path`, or makes a new one there: 32 random bytes as 64 hex digits, readable
    /// by its owner only.
    ///
    /// Processes that start at once agree on one key, and a crash leaves a whole key or none. Keep the file
    /// apart from the log: whoever has both can check guesses at who is who.
    ///
    /// # Errors
    /// `Corrupt` where the file holds no key; `Io` or `DiskFull`.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match load(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => create(path),
            loaded => loaded,
        }
        .map_err(|e| e.with_operation("privacy::load_or_create"))
    }
}

fn load(path: &Path) -> Result<Pseudonymizer> {
    let io = |e| Error::io(e, path);
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "other users can read the pseudonym key; chmod 600 it");
    }
    let text = std::io::read_to_string(file).map_err(io)?;
    let key = unhex(text.trim_ascii()).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "this file holds no pseudonym key")
            .with_context("path", path.display())
            .with_hint("restore it (64 hex digits); with a new key everybody gets a new pseudonym")
    })?;
    Ok(Pseudonymizer::from_key(key))
}

fn create(path: &Path) -> Result<Pseudonymizer> {
    let dir = path.parent().unwrap_or(Path::new(""));
    create_dir(dir)?;
    let random = random::<40>()?;
    let (key, nonce) = random.split_at(32);
    let mut temp = path.as_os_str().to_owned();
    temp.push(format!(".{}.tmp", hex(nonce)));
    let temp = PathBuf::from(temp);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        writeln!(file, "{}", hex(key))?;
        file.sync_all()?;
        // A link, unlike a rename, does not replace the key of a process that was faster.
        std::fs::hard_link(&temp, path)
    };
    let written = write();
    let _ = std::fs::remove_file(&temp);
    match written {
        Err(e) if e.kind() != Io::AlreadyExists => return Err(write_error(e, path)),
        _ => sync_dir(dir)?,
    }
    load(path)
}

/// More keys of a stream are not made: dates that strangers send are not to fill the disk.
const MAX_KEYS: usize = 1000;
/// The key of events that say no civil time.
const UNDATED: &str = "undated";

/// How long one key is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// A stream's events of one UTC day: nobody can be followed from one to the next. The default.
    #[default]
    Day,
    /// All of a stream's events.
    Stream,
}

/// Keys of pseudonyms in a folder: one for each stream and day, made when it is first needed.
///
/// ```text
/// DIR/show/2026-11-23.key      64 hex digits, as `load_or_create` makes them
/// DIR/show/undated.key         of events that say no civil time
/// DIR/folder.key               tells this folder from those of other gateways
/// ```
///
/// No two streams share a key, so nobody can be followed from one to another. Destroying a key makes everything
/// written under it anonymous.
#[derive(Debug)]
pub struct KeyRing {
    dir: PathBuf,
    rotation: Rotation,
    known: Mutex<HashMap<(StreamId, String), Option<Pseudonymizer>>>,
}

impl KeyRing {
    /// Keeps keys in `dir`, which is made with the first one.
    pub fn new(dir: impl Into<PathBuf>, rotation: Rotation) -> Arc<Self> {
        Arc::new(Self { dir: dir.into(), rotation, known: Mutex::default() })
    }

    pub(super) fn key(&self, stream: &StreamId, time: Option<WallTime>) -> Option<Pseudonymizer> {
        let name = match (self.rotation, time) {
            (Rotation::Day, Some(time)) => time.to_string().get(..10)?.to_owned(),
            _ => UNDATED.to_owned(),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (stream.clone(), name);
        if let Some(found) = known.get(&place) {
            return found.clone();
        }
        if known.len() > MAX_KEYS {
            known.clear();
        }
        let folder = self.dir.join(stream.as_str());
        let path = folder.join(format!("{}.key", place.1));
        let count = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        let made = if count >= MAX_KEYS && !path.exists() {
            Err(Error::new(ErrorKind::Unsupported, "this stream has too many keys of pseudonyms")
                .with_hint("events of very many days came in: check the times that are sent"))
        } else {
            Pseudonymizer::load_or_create(&path)
        };
        let key = made
            .inspect_err(|error| tracing::warn!(%stream, %error, "names cannot be replaced, so these events are refused"))
            .ok();
        if key.is_some() {
            known.insert(place, key.clone());
        }
        key
    }

    /// Destroys all keys of a stream, in memory too; gives how many lay in the folder.
    ///
    /// # Errors
    /// `Io`; doing it again goes on.
    pub fn erase(&self, stream: &StreamId) -> Result<usize> {
        // Held throughout, so that nobody makes or finds one meanwhile.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _), _| of != stream);
        let keys = Self::stored(&self.dir, Some(stream))?;
        keys.iter().try_for_each(|key| destroy(key))?;
        match std::fs::remove_dir_all(self.dir.join(stream.as_str())) {
            Err(e) if e.kind() != Io::NotFound => Err(Error::io(e, &self.dir)),
            _ => Ok(keys.len()),
        }
    }

    /// A key that names nobody: it says which folder this is.
    pub(super) fn identity(&self) -> Result<Pseudonymizer> {
        Pseudonymizer::load_or_create(self.dir.join("folder.key"))
    }

    /// All keys that are there.
    pub(super) fn all(&self) -> Result<Vec<Pseudonymizer>> {
        Self::stored(&self.dir, None)?.iter().map(|path| load(path)).collect()
    }

    /// All keys of `stream` that are there, or of all streams.
    pub(super) fn stored(dir: &Path, stream: Option<&StreamId>) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for folder in entries(dir)? {
            let of = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if folder.is_dir() && stream.is_none_or(|s| s.as_str() == of) {
                paths.extend(
                    entries(&folder)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "key")),
                );
            }
        }
        Ok(paths)
    }

    /// Destroys the keys of days before that of `before` (those without a day: made before it); gives how many.
    ///
    /// # Errors
    /// `Io`.
    pub fn destroy_before(dir: &Path, before: WallTime) -> Result<usize> {
        let day = before.to_string();
        let day = day.get(..10).unwrap_or_default();
        let mut destroyed = 0;
        for path in Self::stored(dir, None)? {
            let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
            let made =
                std::fs::metadata(&path).and_then(|m| m.modified()).map_err(|e| Error::io(e, &path))?;
            let made = made.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
            if (name == UNDATED && made < before.as_unix_micros()) || (name != UNDATED && name < day) {
                destroy(&path)?;
                destroyed += 1;
            }
        }
        Ok(destroyed)
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Ok(list) => list.map(|e| e.map(|e| e.path()).map_err(|e| Error::io(e, dir))).collect(),
        Err(e) if e.kind() == Io::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io(e, dir)),
    }
}

/// Overwrites a key before it is deleted, for what that is worth on this medium.
pub(super) fn destroy(path: &Path) -> Result<()> {
    let overwrite = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.write_all(&[b'0'; 65])?;
        file.sync_all()?;
        std::fs::remove_file(path)
    };
    overwrite().map_err(|e| Error::io(e, path))?;
    sync_dir(path.parent().unwrap_or(Path::new("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_private_and_comes_back() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/pseudonyms.key");
        let names: std::collections::BTreeSet<_> = std::thread::scope(|scope| {
            let load = || Pseudonymizer::load_or_create(&path).unwrap().pseudonym("t", "u");
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(names.len(), 1, "processes that start at once must agree");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "temporaries were left");

        for broken in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65)] {
            std::fs::write(&path, broken).unwrap();
            let err = Pseudonymizer::load_or_create(&path).unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Corrupt, "{broken:?}: {err}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken, "a broken key must not be replaced");
        }
    }

    #[test]
    fn keys_of_a_stream_that_is_erased_are_gone_from_memory_too() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::new(dir.path(), Rotation::Day);
        let pseudonyms = Pseudonymizer::rotating(ring.clone());
        let (a, b) = (StreamId::new("a").unwrap(), StreamId::new("b").unwrap());
        let name = |stream: &StreamId| pseudonyms.of(stream, None).unwrap().pseudonym("twitch", "ann");
        let before = [name(&a), name(&b)];
        assert_eq!(ring.erase(&a).unwrap(), 1);
        assert_eq!(ring.erase(&a).unwrap(), 0);
        assert!(!dir.path().join("a").exists());
        assert!(name(&a) != before[0] && name(&b) == before[1]);
    }

    #[test]
    fn a_person_cannot_be_followed_to_another_stream_or_day() {
        let dir = tempfile::tempdir().unwrap();
        let ring = |rotation| Pseudonymizer::rotating(KeyRing::new(dir.path(), rotation));
        let day = |text: &str| Some(WallTime::parse(text).unwrap());
        let (a, b) = (StreamId::new("a").unwrap(), StreamId::new("b").unwrap());
        let name = |stream, time| ring(Rotation::Day).of(stream, time).unwrap().pseudonym("twitch", "ann");
        let here = name(&a, day("2026-11-23T00:00:00Z"));
        assert_eq!(here, name(&a, day("2026-11-23T23:59:59Z")), "also after a restart");
        let others =
            [name(&b, day("2026-11-23T00:00:00Z")), name(&a, day("2026-11-24T00:00:00Z")), name(&a, None)];
        assert!(!others.contains(&here), "{others:?}");
        let whole = |time| ring(Rotation::Stream).of(&a, day(time)).unwrap().pseudonym("twitch", "ann");
        assert_eq!(whole("2026-11-23T00:00:00Z"), whole("2026-11-24T00:00:00Z"));

        let kept = KeyRing::stored(dir.path(), None).unwrap().len();
        assert_eq!(KeyRing::destroy_before(dir.path(), day("2026-11-24T12:00:00Z").unwrap()).unwrap(), 2);
        assert_eq!(KeyRing::stored(dir.path(), None).unwrap().len(), kept - 2);
        assert_ne!(here, name(&a, day("2026-11-23T00:00:00Z")), "a destroyed key does not come back");
    }
}
