//! A list of what was done about people's data, in which nothing can be changed unnoticed.
//!
//! One JSON line an entry; `prev` is the SHA-256 of the line before it, so that whoever keeps the last line's hash (a
//! print, a mail to oneself) can prove the list. It holds no names of viewers and no text.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::durable::{AppendFile, Durability, create_dir};
use crate::ids::hex;
use crate::{Error, ErrorKind, Result, WallTime};

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Counts from 1.
    pub seq: u64,
    /// When.
    pub at: WallTime,
    /// Who did it.
    pub who: String,
    /// What was done: `erase`, `expire`, `run`, …
    pub what: String,
    /// To what: `stream show`, `a user`; never a viewer's name.
    pub subject: String,
    /// For what reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What came of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// SHA-256 of the line before, in hex; zeros before the first.
    pub prev: String,
}

/// What is to be noted; the rest of an [`AuditEntry`] follows from its place.
#[derive(Debug, Clone, Default)]
pub struct AuditNote<'a> {
    /// Who did it.
    pub who: &'a str,
    /// What was done.
    pub what: &'a str,
    /// To what.
    pub subject: &'a str,
    /// For what reason.
    pub why: &'a str,
    /// What came of it.
    pub outcome: &'a str,
}

/// Appends to the audit list `path`, durably.
///
/// # Errors
/// `Corrupt` where the list does not hold; `Conflict` where another process appends right now; `Io` or `DiskFull`.
pub fn audit(path: &Path, note: &AuditNote<'_>, now: WallTime) -> Result<()> {
    create_dir(path.parent().unwrap_or(Path::new("")))?;
    let mut file = AppendFile::open(path)?;
    file.lock("the audit list")?;
    let (count, prev, whole) = walk(path)?;
    // The end of an entry that a crash cut short was never acknowledged.
    file.cut(whole)?;
    let entry = AuditEntry {
        seq: count + 1,
        at: now,
        who: note.who.to_owned(),
        what: note.what.to_owned(),
        subject: note.subject.to_owned(),
        why: note.why.to_owned(),
        outcome: note.outcome.to_owned(),
        prev,
    };
    let line = serde_json::to_string(&entry)? + "\n";
    file.append(line.as_bytes(), Durability::Fsync)
}

/// Checks the whole list; gives the number of entries and the hash of the last line.
///
/// # Errors
/// `Corrupt`, naming the first line that does not follow from the one before it; `NotFound` or `Io`.
pub fn audit_verify(path: &Path) -> Result<(u64, String)> {
    walk(path).map(|(count, hash, _)| (count, hash))
}

fn walk(path: &Path) -> Result<(u64, String, u64)> {
    let mut input = BufReader::new(std::fs::File::open(path).map_err(|e| Error::io(e, path))?);
    let (mut count, mut hash, mut whole) = (0, "0".repeat(64), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.read_until(b'\n', &mut line).map_err(|e| Error::io(e, path))?;
        let Some((b'\n', text)) = line.split_last() else { break };
        let entry = serde_json::from_slice::<AuditEntry>(text).ok();
        if entry.is_none_or(|entry| entry.prev != hash || entry.seq != count + 1) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the audit list was changed: a line does not follow from the one before",
            )
            .with_context("path", path.display())
            .with_context("line", count + 1)
            .with_hint("keep the file as it is, and begin a new list beside it"));
        }
        hash = hex(&Sha256::digest(text));
        count += 1;
        whole += read as u64;
    }
    Ok((count, hash, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_line_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let now = WallTime::from_unix_micros(0);
        for subject in ["stream a", "stream b", "a user"] {
            audit(&path, &AuditNote { who: "me", what: "erase", subject, ..AuditNote::default() }, now)
                .unwrap();
        }
        assert_eq!(audit_verify(&path).unwrap().0, 3);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for broken in [
            text.replace("stream a", "stream x"),
            [lines[0], lines[2], ""].join("\n"),
            [lines[1], lines[2], ""].join("\n"),
        ] {
            std::fs::write(&path, &broken).unwrap();
            assert_eq!(audit_verify(&path).unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(audit(&path, &AuditNote::default(), now).is_err());
        }
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        audit(&path, &AuditNote::default(), now).unwrap();
        assert_eq!(audit_verify(&path).unwrap().0, 3, "an entry that was cut short is replaced");
    }
}
