//! What was found, to be asked for: moments, clips and what people said of them, in one SQLite file.
//!
//! The catalog is a sink like any other, so what is in it has a receipt in the log. Every transition gets the next number of
//! one sequence, so that a reader that was away goes on exactly where it was ([`Catalog::feed`]).
//!
//! `moments.jsonl` and `clips.jsonl` beside it stay the files that other programs read: an empty catalog is filled from
//! them when it is opened. Verdicts are appended to `feedback.jsonl`, which `clipcore tune --feedback` learns from.

mod answers;
mod query;
mod schema;
mod sink;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use answers::{Answer, Recalled};
pub use query::{ClipQuery, FeedItem, FeedKind, Found, MomentQuery, Page};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::durable::{AppendFile, Durability, blocking};
use crate::tune::{Feedback, Verdict};
use crate::{Error, ErrorKind, Result, WallTime};

/// A verdict on a moment or a clip, with what was said beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The moment, also where the clip was judged.
    pub moment: Arc<str>,
    /// The clip, where one was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Arc<str>>,
    /// What was said.
    pub verdict: Verdict,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
    /// Why, in a person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it was said.
    pub time: WallTime,
}

/// The catalog of a folder; see the [module](self). Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    db: Mutex<Db>,
    /// The number of the latest transition.
    latest: watch::Sender<i64>,
}

struct Db {
    sql: Connection,
    feedback: AppendFile,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens `catalog.db` in folder `dir`, or makes it there.
    ///
    /// # Errors
    /// `Conflict` where another process uses it; `Corrupt`, `Io` or `DiskFull`.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        blocking(move || {
            let sql = schema::open(&dir)?;
            let feedback = AppendFile::open(&dir.join("feedback.jsonl"))?;
            feedback.lock("the verdicts")?;
            let latest = schema::latest(&sql)?;
            let inner =
                Inner { dir, db: Mutex::new(Db { sql, feedback }), latest: watch::Sender::new(latest) };
            Ok(Self { inner: Arc::new(inner) })
        })
        .await
        .map_err(|e| e.with_operation("catalog::open"))
    }

    /// The folder that paths of clips start from.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Told whenever there are more transitions than the number it holds.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.inner.latest.subscribe()
    }

    /// Keeps a verdict; it is durable when this returns.
    ///
    /// # Errors
    /// `Io` or `DiskFull`.
    pub async fn say(&self, said: Said) -> Result<()> {
        self.with("catalog::say", move |db| {
            let Said { moment, verdict, by, time, .. } = said.clone();
            let line = Feedback { moment, verdict, by, time: Some(time) };
            let mut line = serde_json::to_vec(&line)?;
            line.push(b'\n');
            db.feedback.append(&line, Durability::Fsync)?;
            db.sql
                .prepare_cached("INSERT INTO feedback (moment, clip, time, json) VALUES (?, ?, ?, ?)")
                .and_then(|mut insert| {
                    let json = serde_json::to_string(&said).unwrap_or_default();
                    insert.execute((&*said.moment, said.clip.as_deref(), said.time.as_unix_micros(), json))
                })
                .map_err(sql_error)?;
            Ok(())
        })
        .await
    }

    /// What was said of a moment and its clips, latest first.
    ///
    /// # Errors
    /// `Io` or `Corrupt`.
    pub async fn said(&self, moment: &str) -> Result<Vec<Said>> {
        let moment = moment.to_owned();
        self.with("catalog::said", move |db| {
            let mut select = db
                .sql
                .prepare_cached("SELECT json FROM feedback WHERE moment = ? ORDER BY seq DESC LIMIT 100")
                .map_err(sql_error)?;
            let rows = select.query_map([moment], |row| row.get::<_, String>(0)).map_err(sql_error)?;
            rows.map(|row| Ok(serde_json::from_str(&row.map_err(sql_error)?)?)).collect()
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Db) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        // SQLite rolls an unfinished change back, so that a panic elsewhere leaves it whole.
        blocking(move || work(&mut inner.db.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(|e| e.with_operation(operation))
    }
}

fn sql_error(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let (kind, text) = match error.sqlite_error_code() {
        Some(Code::DiskFull) => (ErrorKind::DiskFull, "the disk is full"),
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            (ErrorKind::Conflict, "another process uses the catalog")
        }
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => (ErrorKind::Corrupt, "the catalog is damaged"),
        _ => (ErrorKind::Io, "the catalog could not be read or written"),
    };
    let error = Error::new(kind, text).with_source(error).with_retryable(kind == ErrorKind::DiskFull);
    match kind {
        ErrorKind::Corrupt => error.with_hint(
            "delete catalog.db: it is filled again from moments.jsonl and clips.jsonl; numbers of the feed begin anew",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
