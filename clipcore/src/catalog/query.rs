use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};
use serde::Serialize;
use serde_json::value::RawValue;

use super::sink::{clip_state, moment_state};
use super::{Catalog, sql_error};
use crate::cutter::ClipState;
use crate::fusion::MomentState;
use crate::{CameraId, Result, StreamId, Timestamp};

/// The longest page.
const MAX_PAGE: usize = 1000;

/// What a transition is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedKind {
    /// A moment.
    Moment,
    /// A clip.
    Clip,
}

impl FeedKind {
    pub(super) fn code(self) -> i64 {
        match self {
            Self::Moment => 0,
            Self::Clip => 1,
        }
    }

    fn of(code: i64) -> Self {
        if code == 0 { Self::Moment } else { Self::Clip }
    }

    /// `moment` or `clip`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Moment => "moment",
            Self::Clip => "clip",
        }
    }
}

/// Which moments are asked for; what is `None` does not matter. Newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MomentQuery {
    /// Of this stream.
    pub stream: Option<StreamId>,
    /// In this state.
    pub state: Option<MomentState>,
    /// With this label.
    pub label: Option<String>,
    /// With at least this score.
    pub min_score: Option<f64>,
    /// That begin at or after this instant.
    pub from: Option<Timestamp>,
    /// That begin before this instant.
    pub to: Option<Timestamp>,
    /// The `next` of the page before.
    pub cursor: Option<i64>,
    /// How many, at most 1000.
    pub limit: usize,
}

/// Which clips are asked for; what is `None` does not matter. Newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClipQuery {
    /// Of this stream.
    pub stream: Option<StreamId>,
    /// In this state.
    pub state: Option<ClipState>,
    /// Of this moment.
    pub moment: Option<String>,
    /// Of this camera.
    pub camera: Option<CameraId>,
    /// That were to begin at or after this instant.
    pub from: Option<Timestamp>,
    /// That were to begin before this instant.
    pub to: Option<Timestamp>,
    /// The `next` of the page before.
    pub cursor: Option<i64>,
    /// How many, at most 1000.
    pub limit: usize,
}

/// An item as its newest transition says.
pub type Found = Box<RawValue>;

/// A page of items.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The items, newest first.
    pub items: Vec<Found>,
    /// The cursor of the next page, where there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A transition in the order in which transitions came.
#[derive(Debug, Serialize)]
pub struct FeedItem {
    /// Its number.
    pub seq: i64,
    /// What it is of.
    pub kind: FeedKind,
    /// The moment or clip.
    pub item: Found,
}

/// Conditions and their values.
struct Where {
    text: String,
    values: Vec<Value>,
}

impl Where {
    fn new(kind: FeedKind) -> Self {
        Self { text: "kind = ?".to_owned(), values: vec![Value::from(kind.code())] }
    }

    /// `condition` is one of this file's own constants, never a caller's text.
    fn and<V: Into<Value>>(mut self, condition: &'static str, value: Option<V>) -> Self {
        if let Some(value) = value {
            self.text.push_str(" AND ");
            self.text.push_str(condition);
            self.values.push(value.into());
        }
        self
    }
}

impl Catalog {
    /// Moments, each as its newest transition.
    ///
    /// # Errors
    /// `Io` or `Corrupt`.
    pub async fn moments(&self, query: MomentQuery) -> Result<Page> {
        let conditions = Where::new(FeedKind::Moment)
            .and("stream = ?", query.stream.map(|s| s.as_str().to_owned()))
            .and("state = ?", query.state.map(|s| moment_state(s).to_owned()))
            .and("label = ?", query.label)
            .and("score >= ?", query.min_score)
            .and("start_us >= ?", query.from.map(Timestamp::as_micros))
            .and("start_us < ?", query.to.map(Timestamp::as_micros))
            .and("seq < ?", query.cursor);
        self.page(conditions, query.limit).await
    }

    /// Clips, each as its newest transition.
    ///
    /// # Errors
    /// `Io` or `Corrupt`.
    pub async fn clips(&self, query: ClipQuery) -> Result<Page> {
        let conditions = Where::new(FeedKind::Clip)
            .and("stream = ?", query.stream.map(|s| s.as_str().to_owned()))
            .and("state = ?", query.state.map(|s| clip_state(s).to_owned()))
            .and("moment = ?", query.moment)
            .and("camera = ?", query.camera.map(|c| c.as_str().to_owned()))
            .and("start_us >= ?", query.from.map(Timestamp::as_micros))
            .and("start_us < ?", query.to.map(Timestamp::as_micros))
            .and("seq < ?", query.cursor);
        self.page(conditions, query.limit).await
    }

    async fn page(&self, mut conditions: Where, limit: usize) -> Result<Page> {
        let limit = limit.clamp(1, MAX_PAGE);
        conditions.values.push(Value::from(i64::try_from(limit).unwrap_or(i64::MAX)));
        self.with("catalog::page", move |db| {
            let text =
                format!("SELECT seq, json FROM items WHERE {} ORDER BY seq DESC LIMIT ?", conditions.text);
            let mut select = db.sql.prepare_cached(&text).map_err(sql_error)?;
            let rows = select
                .query_map(params_from_iter(conditions.values), |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })
                .map_err(sql_error)?;
            let mut page = Page { items: Vec::new(), next: None };
            let mut last = None;
            for row in rows {
                let (seq, json) = row.map_err(sql_error)?;
                last = Some(seq);
                page.items.push(RawValue::from_string(json)?);
            }
            page.next = last.filter(|_| page.items.len() == limit).map(|seq| seq.to_string());
            Ok(page)
        })
        .await
    }

    /// The moment or clip with this id, as its newest transition.
    ///
    /// # Errors
    /// `Io` or `Corrupt`.
    pub async fn find(&self, kind: FeedKind, id: &str) -> Result<Option<Found>> {
        let id = id.to_owned();
        self.with("catalog::find", move |db| {
            let mut select = db
                .sql
                .prepare_cached("SELECT json FROM items WHERE kind = ? AND id = ?")
                .map_err(sql_error)?;
            let json: Option<String> =
                select.query_row((kind.code(), id), |row| row.get(0)).optional().map_err(sql_error)?;
            Ok(json.map(RawValue::from_string).transpose()?)
        })
        .await
    }

    /// Transitions after the one numbered `after`, oldest first, at most `limit`; of one stream where one is named.
    ///
    /// # Errors
    /// `Io` or `Corrupt`.
    pub async fn feed(&self, after: i64, stream: Option<StreamId>, limit: usize) -> Result<Vec<FeedItem>> {
        self.with("catalog::feed", move |db| {
            let mut select = db
                .sql
                .prepare_cached(
                    "SELECT seq, kind, json FROM transitions WHERE seq > ?1 AND (?2 IS NULL OR stream = ?2)
                     ORDER BY seq LIMIT ?3",
                )
                .map_err(sql_error)?;
            let limit = i64::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(i64::MAX);
            let rows = select
                .query_map((after, stream.as_ref().map(StreamId::as_str), limit), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
                })
                .map_err(sql_error)?;
            rows.map(|row| {
                let (seq, kind, json) = row.map_err(sql_error)?;
                Ok(FeedItem { seq, kind: FeedKind::of(kind), item: RawValue::from_string(json)? })
            })
            .collect()
        })
        .await
    }
}
