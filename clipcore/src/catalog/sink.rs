use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::query::FeedKind;
use super::{Catalog, erase, sql_error};
use crate::cutter::{Clip, ClipState};
use crate::fusion::{Moment, MomentState};
use crate::log::Receipt;
use crate::sink::{ClipSink, Delivery};
use crate::{Result, StreamId};

/// Keeps a transition; gives its number, or nothing where it was there.
pub(super) fn insert(sql: &Connection, item: &Delivery) -> Result<Option<i64>> {
    match item {
        Delivery::Moment(moment) => put(sql, FeedKind::Moment, item, &row_of_moment(moment)?),
        Delivery::Clip { clip, .. } => put(sql, FeedKind::Clip, item, &row_of_clip(clip)?),
    }
}

struct Row<'a> {
    state: &'static str,
    label: Option<&'a str>,
    moment: Option<&'a str>,
    camera: Option<&'a str>,
    score: Option<f64>,
    start: i64,
    json: String,
}

pub(super) fn moment_state(state: MomentState) -> &'static str {
    match state {
        MomentState::Provisional => "provisional",
        MomentState::Open => "open",
        MomentState::Closed => "closed",
        MomentState::Dropped => "dropped",
    }
}

pub(super) fn clip_state(state: ClipState) -> &'static str {
    match state {
        ClipState::Pending => "pending",
        ClipState::Ready => "ready",
        ClipState::Failed => "failed",
    }
}

fn row_of_moment(moment: &Moment) -> Result<Row<'_>> {
    Ok(Row {
        state: moment_state(moment.state),
        label: Some(&moment.label),
        moment: None,
        camera: None,
        score: Some(moment.score),
        start: moment.start.as_micros(),
        json: serde_json::to_string(moment)?,
    })
}

fn row_of_clip(clip: &Clip) -> Result<Row<'_>> {
    Ok(Row {
        state: clip_state(clip.state),
        label: None,
        moment: Some(&clip.moment),
        camera: Some(clip.camera.as_str()),
        score: None,
        start: clip.asked.start.as_micros(),
        json: serde_json::to_string(clip)?,
    })
}

fn put(sql: &Connection, kind: FeedKind, item: &Delivery, row: &Row<'_>) -> Result<Option<i64>> {
    let (id, rev, stream) = (&**item.item(), item.rev(), item.stream().as_str());
    let mut insert = sql
        .prepare_cached(
            "INSERT INTO transitions (kind, id, rev, stream, json) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO NOTHING RETURNING seq",
        )
        .map_err(sql_error)?;
    let seq: Option<i64> = insert
        .query_row(params![kind.code(), id, rev, stream, row.json], |row| row.get(0))
        .optional()
        .map_err(sql_error)?;
    let Some(seq) = seq else { return Ok(None) };
    sql.prepare_cached(
        "INSERT INTO items (kind, id, seq, rev, stream, state, label, moment, camera, score, start_us, json)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (kind, id) DO UPDATE SET rev = excluded.rev, state = excluded.state, label = excluded.label,
             score = excluded.score, start_us = excluded.start_us, json = excluded.json
         WHERE excluded.rev > items.rev",
    )
    .and_then(|mut update| {
        update.execute(params![
            kind.code(),
            id,
            seq,
            rev,
            stream,
            row.state,
            row.label,
            row.moment,
            row.camera,
            row.score,
            row.start,
            row.json
        ])
    })
    .map_err(sql_error)?;
    Ok(Some(seq))
}

#[async_trait]
impl ClipSink for Catalog {
    fn name(&self) -> &str {
        "catalog"
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(self.name());
        let item = item.clone();
        let latest = self.inner.latest.clone();
        let seq = self
            .with("catalog::deliver", move |db| {
                let change = db.sql.transaction().map_err(sql_error)?;
                let seq = insert(&change, &item)?;
                change.commit().map_err(sql_error)?;
                // Told before the next one can be written, so that the number never goes back.
                if let Some(seq) = seq {
                    latest.send_replace(seq);
                }
                Ok(seq)
            })
            .await?;
        receipt.duplicate = seq.is_none();
        Ok(receipt)
    }

    async fn erase(&self, stream: &StreamId) -> Result<usize> {
        let stream = stream.clone();
        self.with("catalog::erase", move |db| erase::erase(db, &stream)).await
    }
}
