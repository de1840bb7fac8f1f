//! Clip jobs for [RQ](https://python-rq.org): a stock `rq worker -S json` of RQ 2 and 3 runs them.
//!
//! A job calls one fixed function (`rq_jobs.handle` unless configured otherwise) with the keyword arguments `clip`, as in
//! `clips.jsonl`, and `file`, the path of the finished clip on this machine. `meta` holds `stream` and, where there
//! is one, `traceparent`. `examples/rq_jobs.py` is a module of such functions.
//!
//! RQ imports and runs whatever path stands in a job, so whoever can write to that Redis can run code on the workers: give
//! it a password and a private network. Workers need `-S json`; RQ's default reads pickles, and fails on these jobs.

mod job;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::job::Job;
use super::{ClipSink, Delivery};
use crate::clock::{SystemTimeSource, TimeSource};
use crate::log::Receipt;
use crate::redis::{Connection, Lua, RedisUrl};
use crate::{Error, ErrorKind, Result, config};

/// How clip jobs go to RQ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RqSinkConfig {
    /// The server.
    pub url: RedisUrl,
    /// The queue's name.
    pub queue: String,
    /// The Python function that workers call, with its module.
    pub function: String,
    /// What RQ's keys begin with: `rq:`, or what `RQ_KEY_PREFIX` says to RQ 3.
    pub key_prefix: String,
    /// At most so many jobs wait in the queue; 0 knows no limit.
    pub max_queued: u64,
    /// How long a job may run before the worker ends it; in seconds in files.
    #[serde(with = "config::secs")]
    pub job_timeout: Duration,
    /// How long RQ keeps a job's result; in seconds in files.
    #[serde(with = "config::secs")]
    pub result_ttl: Duration,
    /// How long RQ keeps a job that failed; in seconds in files.
    #[serde(with = "config::secs")]
    pub failure_ttl: Duration,
    /// How often RQ runs a job again that failed.
    pub retries: u32,
    /// How long it is remembered that a clip had its job, which RQ itself forgets with the result; in seconds in files.
    #[serde(with = "config::secs")]
    pub remember: Duration,
    /// How long a call may take, attempts after a lost connection included; in seconds in files.
    #[serde(with = "config::secs")]
    pub timeout: Duration,
}

impl Default for RqSinkConfig {
    fn default() -> Self {
        Self {
            url: RedisUrl::default(),
            queue: "clips".to_owned(),
            function: "rq_jobs.handle".to_owned(),
            key_prefix: "rq:".to_owned(),
            max_queued: 1000,
            job_timeout: Duration::from_secs(600),
            result_ttl: Duration::from_secs(500),
            failure_ttl: Duration::from_secs(365 * 86_400),
            retries: 0,
            remember: Duration::from_secs(7 * 86_400),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Makes one job for each finished clip; see the [module](self).
///
/// It [wants](ClipSink::wants) `ready` clips only, and makes one job a clip, however often it is delivered; a clip
/// that gets its pictures later has had its job, one that is cut anew by hand gets another. A receipt's `location` is the job's key.
///
/// # Errors
/// `Unavailable` (retryable) where the queue is full or the server cannot be reached; `Timeout`, `DiskFull` (the
/// server's memory); `NotFound` where the clip's file is on another machine; `Config` where the server refuses.
#[derive(Debug)]
pub struct RqSink {
    name: Arc<str>,
    config: RqSinkConfig,
    connection: Connection,
    script: Lua,
}

impl RqSink {
    /// A sink named `rq`. It connects with the first call; [`check`](ClipSink::check) says whether it can. Must
    /// be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config`.
    pub fn new(config: RqSinkConfig) -> Result<Self> {
        let wrong = |key: &'static str, value: &str, hint: &'static str| {
            let shown = crate::ids::shorten(value);
            Err(Error::config(format!("{shown:?} cannot be the {key}"))
                .with_context("key", key)
                .with_hint(hint))
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if config.queue.is_empty() || !config.queue.bytes().all(|b| word(b) || matches!(b, b'.' | b'-')) {
            return wrong("queue", &config.queue, "a queue's name is made of A-Z a-z 0-9 . _ -");
        }
        if !config.function.contains('.') || !config.function.bytes().all(|b| word(b) || b == b'.') {
            return wrong("function", &config.function, "name module and function: rq_jobs.handle");
        }
        if config.key_prefix.len() > 64 || config.key_prefix.bytes().any(|b| !b.is_ascii_graphic()) {
            return wrong("key_prefix", &config.key_prefix, "it is rq: unless RQ_KEY_PREFIX says otherwise");
        }
        let connection = Connection::new(&config.url, config.timeout)?;
        let script = Lua::new(include_str!("enqueue.lua"));
        Ok(Self { name: "rq".into(), config, connection, script })
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }
}

#[async_trait]
impl ClipSink for RqSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, item: &Delivery) -> bool {
        item.is_finished_clip()
    }

    async fn check(&self) -> Result<()> {
        let pong = self.connection.query::<String>(&redis::cmd("PING")).await;
        pong.map(drop).map_err(|e| e.with_operation("rq::check"))
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(&self.name);
        let finished = item.finished_clip().map_err(|e| e.with_operation("rq::deliver"))?;
        let Some((clip, file)) = finished else { return Ok(receipt) };
        let job = Job::new(clip, file, &self.config, SystemTimeSource::new().wall())?;
        let prefix = &self.config.key_prefix;
        let (key, queue) =
            (format!("{prefix}job:{}", job.id), format!("{prefix}queue:{}", self.config.queue));
        let known = format!("{prefix}clipcore:{}:{}", self.config.queue, job::name_of(clip));
        let mut call = self.script.call(&[&key, &queue, &format!("{prefix}queues"), &known]);
        call.arg(&job.id).arg(self.config.max_queued).arg(self.config.remember.as_secs().max(1));
        for (field, value) in &job.fields {
            call.arg(*field).arg(value);
        }
        let answer: i64 = self
            .connection
            .run(&self.script, &call)
            .await
            .map_err(|e| e.with_context("clip", &clip.id).with_operation("rq::deliver"))?;
        if answer < 0 {
            return Err(Error::new(ErrorKind::Unavailable, "the queue is full")
                .with_context("queue", &self.config.queue)
                .with_context("max_queued", self.config.max_queued)
                .with_hint("start more workers (rq worker -S json), or raise max_queued")
                .with_operation("rq::deliver"));
        }
        receipt.duplicate = answer == 0;
        receipt.location = Some(key);
        Ok(receipt)
    }
}
