//! The log in Redis Streams beside a bare `XADD` of the same JSON, on one server that syncs every write.
//!
//!     cargo bench -p clipcore-benches --bench redis_log
//!
//! The bare `XADD` goes over the same client with Nagle's algorithm off. It knows no duplicates, no offsets of its own and
//! no sizes. `REDIS_LOG_CALLS` calls a row.

#![allow(clippy::disallowed_methods, reason = "a bench measures elapsed time")]
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;
use std::time::Instant;

use clipcore::conformance::log::marker;
use clipcore::event::Kinds;
use clipcore::log::{EventLog, Record, RedisLog, RedisLogConfig};
use common::cpu;
use common::support::redis::Redis;
use futures::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo};

const RUNS: usize = 5;

/// How many calls are under way at once, and how many records each has.
const SHAPES: [(usize, usize); 4] = [(1, 1), (16, 1), (256, 1), (4, 100)];

#[derive(Clone)]
enum Subject {
    Bare(MultiplexedConnection),
    Log(Arc<RedisLog>),
}

impl Subject {
    async fn append(&mut self, records: &[Record]) {
        match self {
            Self::Bare(connection) => {
                let mut pipe = redis::pipe();
                for record in records {
                    let json = record.to_json().unwrap();
                    pipe.cmd("XADD").arg("bare").arg("*").arg("r").arg(json).ignore();
                }
                pipe.query_async::<()>(connection).await.unwrap();
            }
            Self::Log(log) => {
                log.append(0, records).await.unwrap();
            }
        }
    }
}

fn main() {
    if !common::wanted() {
        return;
    }
    let Some(redis) = Redis::start("bench") else { return };
    let calls = common::size("REDIS_LOG_CALLS", 4000);
    println!("{}; {calls} calls a row, median of {RUNS} runs\n", cpu::machine());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = redis.url().into_connection_info().unwrap().set_tcp_settings(tcp);
        let bare = Client::open(info).unwrap().get_multiplexed_async_connection().await.unwrap();
        let config = RedisLogConfig { url: redis.url().parse().unwrap(), ..RedisLogConfig::default() };
        let log = RedisLog::open(config, Kinds::builtin()).await.unwrap();
        let (bare, log) = (Subject::Bare(bare), Subject::Log(Arc::new(log)));
        common::head(&[
            "calls at once",
            "records a call",
            "`XADD`: records/s",
            "p50, p99 in ms",
            "log: records/s",
            "p50, p99 in ms",
            "log / `XADD`",
        ]);
        for (at_once, each) in SHAPES {
            let calls = calls / each.min(10);
            let (mut theirs, mut ours) = (Vec::new(), Vec::new());
            for _ in 0..RUNS {
                theirs.push(run(&bare, calls, at_once, each).await);
                ours.push(run(&log, calls, at_once, each).await);
            }
            let rate = |runs: &[Run]| common::quantile(&runs.iter().map(|r| r.rate).collect::<Vec<_>>(), 0.5);
            let spread = |runs: &[Run]| {
                let all: Vec<f64> = runs.iter().flat_map(|r| r.ms.iter().copied()).collect();
                format!("{:.2}, {:.2}", common::quantile(&all, 0.5), common::quantile(&all, 0.99))
            };
            common::row(&[
                at_once.to_string(),
                each.to_string(),
                format!("{:.0}", rate(&theirs)),
                spread(&theirs),
                format!("{:.0}", rate(&ours)),
                spread(&ours),
                format!("{:.2}", rate(&ours) / rate(&theirs)),
            ]);
            redis.cli(&["DEL", "bare"]);
        }
    });
}

struct Run {
    rate: f64,
    ms: Vec<f64>,
}

async fn run(subject: &Subject, calls: usize, at_once: usize, each: usize) -> Run {
    let records: Arc<Vec<Record>> = Arc::new((0..each).map(|i| marker(&format!("record-{i:06}"))).collect());
    let begun = Instant::now();
    let tasks = (0..at_once).map(|_| {
        let (mut subject, records) = (subject.clone(), records.clone());
        tokio::spawn(async move {
            let mut ms = Vec::new();
            for _ in 0..calls.div_ceil(at_once) {
                let begun = Instant::now();
                subject.append(&records).await;
                ms.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
            ms
        })
    });
    let ms: Vec<f64> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    Run { rate: (ms.len() * each) as f64 / begun.elapsed().as_secs_f64(), ms }
}
