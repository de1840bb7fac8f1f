//! Leases and checkpoints of one partition: small files that are replaced whole.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::{create_dir, replace};
use crate::ids::stable_id;
use crate::log::{Checkpoint, Lease, stale};
use crate::{Error, ErrorKind, Result};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Owner {
    token: u64,
    owner: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    consumer: String,
    token: u64,
    checkpoint: Checkpoint,
}

/// Who may consume a partition, and how far consumers have come.
#[derive(Debug)]
pub(super) struct Consumers {
    dir: PathBuf,
    partition: u32,
    current: Owner,
}

impl Consumers {
    pub(super) fn open(dir: &Path, partition: u32) -> Result<Self> {
        create_dir(&dir.join("checkpoints"))?;
        let hint = "restore it from a copy, or move the log folder away to start a new log";
        let current = load(&dir.join("lease.json"), hint)?.unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), partition, current })
    }

    pub(super) fn acquire(&mut self, owner: &str) -> Result<Lease> {
        let next = Owner { token: self.current.token + 1, owner: owner.to_owned() };
        save(&self.dir.join("lease.json"), &next)?;
        if self.current.token > 0 && self.current.owner != next.owner {
            tracing::info!(
                partition = self.partition,
                from = self.current.owner,
                to = owner,
                "partition taken over"
            );
        }
        self.current = next;
        Ok(Lease { partition: self.partition, token: self.current.token })
    }

    pub(super) fn check(&self, lease: &Lease) -> Result<()> {
        if lease.token == self.current.token { Ok(()) } else { Err(stale(lease, self.current.token)) }
    }

    pub(super) fn save(&self, lease: &Lease, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.check(lease)?;
        let saved =
            Saved { consumer: consumer.to_owned(), token: lease.token, checkpoint: checkpoint.clone() };
        save(&self.path(consumer), &saved)
    }

    pub(super) fn load(&self, consumer: &str) -> Result<Option<Checkpoint>> {
        let hint = "delete it, and the consumer reads the log from its beginning";
        let saved: Option<Saved> = load(&self.path(consumer), hint)?;
        Ok(saved.map(|saved| saved.checkpoint))
    }

    /// A name that people recognise and that no two consumers share, whatever their names are made of.
    fn path(&self, consumer: &str) -> PathBuf {
        let readable: String = consumer
            .chars()
            .take(64)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
            .collect();
        self.dir.join("checkpoints").join(format!("{readable}.{}.json", stable_id(&[consumer.as_bytes()])))
    }
}

fn save<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let json = serde_json::to_string(value)?;
    replace(path, format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).as_bytes())
}

fn load<T: DeserializeOwned>(path: &Path, hint: &'static str) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(e, path)),
    };
    let value = text.split_at_checked(9).and_then(|(crc, json)| {
        let json = json.strip_suffix(b"\n")?;
        (crc == format!("{:08x} ", crc32fast::hash(json)).as_bytes())
            .then(|| serde_json::from_slice(json).ok())
            .flatten()
    });
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(Error::new(ErrorKind::Corrupt, "this file of the log fails its checksum")
            .with_context("path", path.display())
            .with_hint(hint)),
    }
}
