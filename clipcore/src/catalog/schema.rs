use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{sink, sql_error};
use crate::cutter::Clip;
use crate::durable::create_dir;
use crate::fusion::Moment;
use crate::sink::Delivery;
use crate::{Error, ErrorKind, Result};

/// Written to the file; another one is another version's.
const VERSION: i32 = 1;

const TABLES: &str = "
CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, id TEXT NOT NULL, rev INTEGER NOT NULL,
    stream TEXT NOT NULL, json TEXT NOT NULL, UNIQUE (kind, id, rev));
-- The newest transition of each item; seq is that of its first one, so that pages stay in order while items change.
CREATE TABLE items (
    kind INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, rev INTEGER NOT NULL, stream TEXT NOT NULL,
    state TEXT NOT NULL, label TEXT, moment TEXT, camera TEXT, score REAL, start_us INTEGER NOT NULL,
    json TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE INDEX items_in_order ON items (kind, seq);
CREATE INDEX items_of_stream ON items (kind, stream, seq);
CREATE INDEX items_of_moment ON items (moment) WHERE moment IS NOT NULL;
CREATE TABLE feedback (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, moment TEXT NOT NULL, clip TEXT, time INTEGER NOT NULL, json TEXT NOT NULL);
CREATE INDEX feedback_of_moment ON feedback (moment);
CREATE TABLE answers (
    key TEXT PRIMARY KEY, body TEXT NOT NULL, time INTEGER NOT NULL, status INTEGER NOT NULL, answer TEXT NOT NULL)
    WITHOUT ROWID;
CREATE INDEX answers_by_age ON answers (time);
";

pub(super) fn open(dir: &Path) -> Result<Connection> {
    create_dir(dir)?;
    let path = dir.join("catalog.db");
    let within = |e: Error| e.with_context("path", path.display());
    let mut sql = Connection::open(&path).map_err(sql_error).map_err(within)?;
    prepare(&sql).map_err(sql_error).map_err(within)?;
    let version: i32 =
        sql.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sql_error).map_err(within)?;
    match version {
        VERSION => {}
        0 => make(&mut sql, dir).map_err(within)?,
        _ => {
            return Err(within(Error::new(
                ErrorKind::Unsupported,
                "this catalog was written by another version of clipcore",
            )));
        }
    }
    Ok(sql)
}

fn prepare(sql: &Connection) -> rusqlite::Result<()> {
    sql.busy_timeout(Duration::from_secs(2))?;
    sql.pragma_update(None, "journal_mode", "WAL")?;
    // A receipt says that the item is on the medium.
    sql.pragma_update(None, "synchronous", "FULL")?;
    sql.pragma_update(None, "locking_mode", "EXCLUSIVE")
}

fn make(sql: &mut Connection, dir: &Path) -> Result<()> {
    let all = sql.transaction().map_err(sql_error)?;
    all.execute_batch(TABLES).map_err(sql_error)?;
    for (name, read) in [("moments.jsonl", moment as fn(&str) -> Option<Delivery>), ("clips.jsonl", clip)] {
        let path = dir.join(name);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io(e, path)),
        };
        for line in std::io::BufReader::new(file).lines() {
            // Lines of other people, and one that a crash left torn, are left alone, as the sink does.
            if let Some(item) = line.ok().and_then(|line| read(&line)) {
                sink::insert(&all, &item)?;
            }
        }
    }
    all.pragma_update(None, "user_version", VERSION).map_err(sql_error)?;
    all.commit().map_err(sql_error)
}

fn moment(line: &str) -> Option<Delivery> {
    serde_json::from_str::<Moment>(line).ok().map(Delivery::Moment)
}

fn clip(line: &str) -> Option<Delivery> {
    serde_json::from_str::<Clip>(line).ok().map(|clip| Delivery::Clip { clip, file: None })
}

pub(super) fn latest(sql: &Connection) -> Result<i64> {
    sql.query_row("SELECT coalesce(max(seq), 0) FROM transitions", [], |row| row.get(0)).map_err(sql_error)
}
