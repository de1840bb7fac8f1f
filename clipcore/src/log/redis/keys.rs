//! Names of keys. The braces put all keys of a partition into one slot of a cluster.

use crate::{Error, Result};

/// The keys of one partition, and the id it was begun with.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) log: String,
    pub(super) records: String,
    /// The records as they will be, and as they were, while they are rewritten.
    pub(super) copy: String,
    pub(super) old: String,
    pub(super) sizes: String,
    pub(super) checkpoints: String,
    tag: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, partition: u32) -> Self {
        let tag = format!("{{{prefix}:{partition}}}");
        Self {
            id: String::new(),
            log: format!("{tag}:log"),
            records: format!("{tag}:records"),
            copy: format!("{tag}:records:copy"),
            old: format!("{tag}:records:old"),
            sizes: format!("{tag}:sizes"),
            checkpoints: format!("{tag}:checkpoints"),
            tag,
        }
    }

    /// The last call of a writer.
    pub(super) fn writer(&self, name: &str) -> String {
        format!("{}:writer:{name}", self.tag)
    }
}

/// A prefix that cannot break the names of keys.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    if (1..=64).contains(&prefix.len()) && prefix.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::config(format!("{:?} cannot begin the names of keys", crate::ids::shorten(prefix)))
        .with_context("key", "prefix")
        .with_hint("use 1 to 64 of A-Z a-z 0-9 . _ - :"))
}
