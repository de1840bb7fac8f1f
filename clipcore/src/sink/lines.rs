//! A file of JSON lines, each of which is written once.

use std::collections::HashSet;
use std::hash::Hash;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::durable::{AppendFile, Durability, create_dir, replace, sync_dir};
use crate::{Error, Result};

/// Lines of JSON with keys that tell them apart.
#[derive(Debug)]
pub(super) struct Lines<K> {
    file: AppendFile,
    seen: HashSet<K>,
    key: fn(&[u8]) -> Option<K>,
    durability: Durability,
}

impl<K: Eq + Hash> Lines<K> {
    /// Opens or creates the file, takes its lock, learns which keys are there, and mends a torn last line.
    pub(super) fn open(path: &Path, durability: Durability, key: fn(&[u8]) -> Option<K>) -> Result<Self> {
        let dir = path.parent().unwrap_or(Path::new(""));
        create_dir(dir)?;
        let mut file = AppendFile::open(path)?;
        file.lock("the file")?;
        sync_dir(dir)?;
        let mut seen = HashSet::new();
        let mut input = BufReader::new(std::fs::File::open(path).map_err(|e| Error::io(e, path))?);
        let (mut line, mut pos, mut number) = (Vec::new(), 0, 0_u64);
        loop {
            line.clear();
            let read = input.read_until(b'\n', &mut line).map_err(|e| Error::io(e, path))? as u64;
            if read == 0 {
                break;
            }
            number += 1;
            let found = key(&line);
            if line.ends_with(b"\n") {
                if found.is_none() && !line.trim_ascii().is_empty() {
                    tracing::warn!(path = %path.display(), number, "left a line alone that is not ours");
                }
            } else if found.is_some() {
                // Only its line end is missing, so it was not acknowledged, but it is whole.
                file.append(b"\n", durability)?;
            } else {
                tracing::warn!(path = %path.display(), number, removed = read, "cut off a torn last line");
                file.cut(pos)?;
            }
            seen.extend(found);
            pos += read;
        }
        file.sync()?;
        Ok(Self { file, seen, key, durability })
    }

    /// Writes a line unless its key is there; gives whether it was there.
    pub(super) fn write(&mut self, key: K, mut json: String) -> Result<bool> {
        if self.seen.contains(&key) {
            return Ok(true);
        }
        json.push('\n');
        self.file.append(json.as_bytes(), self.durability)?;
        self.seen.insert(key);
        Ok(false)
    }

    /// Takes lines out; gives how many. They count as never written.
    pub(super) fn erase(&mut self, gone: impl Fn(&[u8]) -> bool) -> Result<usize> {
        let path = self.file.path().to_owned();
        let text = std::fs::read(&path).map_err(|e| Error::io(e, &path))?;
        let all = || text.split_inclusive(|b| *b == b'\n');
        let count = all().filter(|line| gone(line)).count();
        if count == 0 {
            return Ok(0);
        }
        let kept: Vec<u8> = all().filter(|line| !gone(line)).flatten().copied().collect();
        replace(&path, &kept)?;
        // The lock of the file that was replaced is held until the new one's is.
        let file = AppendFile::open(&path)?;
        file.lock("the file")?;
        self.file = file;
        self.seen = all().filter(|line| !gone(line)).filter_map(self.key).collect();
        Ok(count)
    }

    /// Puts everything on the medium.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.sync()
    }
}
