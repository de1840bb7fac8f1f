//! What was answered to requests that may be repeated, so that a repetition changes nothing.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::{Catalog, sql_error};
use crate::{Result, WallTime};

/// An answer that was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// Nothing: it is new.
    New,
    /// The same request was answered so.
    Same(Answer),
    /// Another request had this key.
    Other,
}

impl Catalog {
    /// Looks up what was answered to the request with `key`; `body` is a digest of what it says.
    ///
    /// # Errors
    /// `Io` or `Corrupt`.
    pub async fn recall(&self, key: String, body: String) -> Result<Recalled> {
        self.with("catalog::recall", move |db| {
            let mut select = db
                .sql
                .prepare_cached("SELECT body, status, answer FROM answers WHERE key = ?")
                .map_err(sql_error)?;
            let found = select
                .query_row([key], |row| {
                    Ok((row.get::<_, String>(0)?, Answer { status: row.get(1)?, body: row.get(2)? }))
                })
                .optional()
                .map_err(sql_error)?;
            Ok(match found {
                None => Recalled::New,
                Some((known, answer)) if known == body => Recalled::Same(answer),
                Some(_) => Recalled::Other,
            })
        })
        .await
    }

    /// Keeps an answer, and forgets those that are older than `keep`.
    ///
    /// # Errors
    /// `Io` or `DiskFull`.
    pub async fn keep_answer(
        &self,
        key: String,
        body: String,
        answer: Answer,
        now: WallTime,
        keep: Duration,
    ) -> Result<()> {
        self.with("catalog::keep_answer", move |db| {
            let change = db.sql.transaction().map_err(sql_error)?;
            change.execute("DELETE FROM answers WHERE time < ?", [before(now, keep)]).map_err(sql_error)?;
            change
                .execute(
                    "INSERT OR REPLACE INTO answers (key, body, time, status, answer) VALUES (?, ?, ?, ?, ?)",
                    params![key, body, now.as_unix_micros(), answer.status, answer.body],
                )
                .map_err(sql_error)?;
            change.commit().map_err(sql_error)
        })
        .await
    }
}

fn before(now: WallTime, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    now.as_unix_micros().saturating_sub(keep)
}
