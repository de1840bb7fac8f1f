use std::collections::HashSet;
use std::path::Path;

use rusqlite::params;
use serde_json::Value;

use super::{Catalog, Db, schema, sql_error};
use crate::durable::{AppendFile, replace};
use crate::{Error, Result, StreamId};

impl Catalog {
    /// Deletes everything of a stream from the catalog in `dir`, verdicts included, and gives the freed pages back empty;
    /// gives how many items it was. Nothing where there is no catalog. Of one that is open,
    /// [`ClipSink::erase`](crate::sink::ClipSink::erase) does it.
    ///
    /// # Errors
    /// `Conflict` where a process uses it; `Corrupt`, `Io` or `DiskFull`.
    pub fn erase(dir: &Path, stream: &StreamId) -> Result<usize> {
        if !dir.join("catalog.db").exists() {
            return Ok(0);
        }
        let sql = schema::open(dir)?;
        let feedback = AppendFile::open(&dir.join("feedback.jsonl"))?;
        feedback.lock("the verdicts")?;
        erase(&mut Db { sql, feedback }, stream).map_err(|e| e.with_operation("catalog::erase"))
    }
}

pub(super) fn erase(db: &mut Db, stream: &StreamId) -> Result<usize> {
    let run = || {
        db.sql.pragma_update(None, "secure_delete", true)?;
        let mut select = db.sql.prepare("SELECT id FROM items WHERE stream = ?")?;
        let ids = select.query_map([stream.as_str()], |row| row.get::<_, String>(0))?;
        let ids = ids.collect::<Result<HashSet<_>, _>>()?;
        for id in &ids {
            db.sql.execute("DELETE FROM feedback WHERE moment = ?", [id])?;
        }
        db.sql.execute("DELETE FROM transitions WHERE stream = ?", params![stream.as_str()])?;
        db.sql.execute("DELETE FROM items WHERE stream = ?", params![stream.as_str()])?;
        if !ids.is_empty() {
            db.sql.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        }
        Ok(ids)
    };
    let ids = run().map_err(sql_error)?;
    let path = db.feedback.path().to_owned();
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(e, &path))?;
    let of = |line: &str| {
        let said = serde_json::from_str::<Value>(line).unwrap_or_default();
        said["moment"].as_str().is_some_and(|moment| ids.contains(moment))
    };
    let kept: String = text.split_inclusive('\n').filter(|line| !of(line)).collect();
    if kept.len() < text.len() {
        replace(&path, kept.as_bytes())?;
        let feedback = AppendFile::open(&path)?;
        feedback.lock("the verdicts")?;
        db.feedback = feedback;
    }
    Ok(ids.len())
}
