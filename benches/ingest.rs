//! Events in over HTTP and WebSocket, beside a bare axum handler that only answers 202, in one run on one machine.
//!
//! `CLIPCORE_BENCH_SECS` says how long each row is measured (default 5), `CLIPCORE_BENCH_CONNECTIONS` over how many connections
//! (default 32). The client is in the same process and costs all rows of a kind the same; the processor time is the whole process's,
//! client and pipelines included (the Python server's is not in it). A word on the
//! command line picks the rows whose names have it, such as `"1 a request"`. With `PYTHON` naming a Python that has fastapi, uvicorn and redis,
//! `benches/compare/ingest_scaffold.py` is measured, too. Last comes what a WebSocket costs on which nothing is said.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)] // a bench is a test that reads a clock

mod common;
#[path = "ingest/socket.rs"]
mod socket;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::routing::{get, post};
use clipcore::StreamId;
use clipcore::catalog::Catalog;
use clipcore::clock::SystemTimeSource;
use clipcore::detector::{ChatBurst, MarkerDetector};
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::gateway::{Gateway, GatewayConfig, GatewayParts, ServeConfig, Tokens, serve};
use clipcore::host::{Host, HostParts, StreamMake, StreamSettings};
use clipcore::log::{EventLog, FileLog, FileLogConfig, MemoryLog};
use clipcore::pipeline::{Pipeline, StreamSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use common::support::redis::Redis;
use common::{cpu, head, quantile, row, size};
use socket::Socket;

const BATCH: usize = 100;
const WINDOW: usize = 64;

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    host: Option<Host>,
    _dir: tempfile::TempDir,
}

/// The usual beginning in Python, with the Redis server it publishes to.
struct Scaffold {
    program: Child,
    address: SocketAddr,
    _redis: Redis,
}

impl Scaffold {
    fn start() -> Option<Self> {
        let python = std::env::var_os("PYTHON")?;
        let redis = Redis::start_with("ingest", &[])?;
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/ingest_scaffold.py");
        let mut command = Command::new(python);
        command.arg(script).arg(address.port().to_string()).arg(redis.url());
        let started = Self { program: command.spawn().unwrap(), address, _redis: redis };
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(started);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the scaffold does not listen");
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Running {
    async fn bare() -> Self {
        let take = |body: Bytes| async move {
            drop(body);
            StatusCode::ACCEPTED
        };
        let answer = |upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(async |mut socket| {
                let mut number = 0;
                while let Some(Ok(message)) = socket.recv().await {
                    if let Message::Text(_) = message {
                        number += 1;
                        let ack = Message::text(format!(r#"{{"ack":{number}}}"#));
                        if socket.send(ack).await.is_err() {
                            return;
                        }
                    }
                }
            })
        };
        let routes = Router::new()
            .route("/v1/streams/{id}/events", post(take))
            .route("/v1/streams/{id}/ws", get(answer));
        Self::serve(routes, None, tempfile::tempdir().unwrap()).await
    }

    async fn gateway(durable: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [inbox, log] = if durable {
            // As `clipcore serve` has them.
            [file_log(&dir.path().join("inbox"), 1).await, file_log(&dir.path().join("log"), 8).await]
        } else {
            [0, 1].map(|_| Arc::new(MemoryLog::new(4).with_max_records(100_000_000)) as Arc<dyn EventLog>)
        };
        let fusion = FusionConfig::default().factory().unwrap();
        let factory = move |stream: &StreamId, _: &StreamSettings| {
            let fusion = fusion.clone();
            let pipeline = Pipeline::builder()
                .with_fusion(move |stream| fusion(stream))
                .with_detector(|_| Ok(Box::new(ChatBurst::default())))
                .with_detector(|_| Ok(Box::new(MarkerDetector::default())));
            Ok(StreamMake::new(pipeline, StreamSpec::new(stream.clone())))
        };
        let host = Host::open(dir.path().join("streams"), HostParts::new(inbox, log, Arc::new(factory)));
        let host = host.await.unwrap();
        let gateway = Gateway::new(GatewayParts {
            host: host.clone(),
            catalog: Catalog::open(dir.path()).await.unwrap(),
            tokens: Tokens::default(),
            kinds: Kinds::builtin(),
            config: GatewayConfig { rate: 1e9, burst: 1e9, connections: 10_000, ..GatewayConfig::default() },
            time: Arc::new(SystemTimeSource::new()),
        });
        Self::serve(gateway.unwrap().router(), Some(host), dir).await
    }

    async fn serve(router: Router, host: Option<Host>, dir: tempfile::TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, router, ServeConfig::default(), stop.clone()));
        Self { address, stop, host, _dir: dir }
    }

    async fn end(self) {
        self.stop.cancel();
        if let Some(host) = self.host {
            host.drain().await;
        }
    }
}

async fn file_log(dir: &Path, partitions: u32) -> Arc<dyn EventLog> {
    let config = FileLogConfig { partitions, ..FileLogConfig::default() };
    Arc::new(FileLog::open(dir, config, Kinds::builtin()).await.unwrap())
}

fn event(n: u64) -> String {
    format!(
        r#"{{"type":"chat.message","id":"m{n}","source":"bench","data":{{"user":"u{}","text":"what a shot that was, number {n}"}}}}"#,
        n % 500
    )
}

/// How events are sent.
#[derive(Clone, Copy)]
enum Way {
    Http,
    /// With so many messages sent before the first of them is acknowledged.
    Socket(usize),
}

/// What came of a row.
struct Load {
    /// Events a second.
    rate: f64,
    /// Processor time of this process for each event, in microseconds.
    cost: f64,
    /// Times to an answer in milliseconds.
    times: Vec<f64>,
}

async fn load(address: SocketAddr, way: Way, batch: usize, secs: usize, connections: usize) -> Load {
    let (number, began, before) = (Arc::new(AtomicU64::new(0)), Instant::now(), cpu::own());
    let until = began + Duration::from_secs(secs as u64);
    let tasks = (0..connections).map(|connection| {
        let number = number.clone();
        tokio::spawn(async move {
            match way {
                Way::Http => by_http(address, connection, batch, &number, until).await,
                Way::Socket(window) => by_socket(address, connection, batch, window, &number, until).await,
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let (mut taken, mut times) = (0, Vec::new());
    for task in tasks {
        let (events, took) = task.await.unwrap();
        taken += events;
        times.extend(took);
    }
    let cost = (cpu::own() - before) / taken as f64 * 1e6;
    Load { rate: taken as f64 / began.elapsed().as_secs_f64(), cost, times }
}

fn body(number: &AtomicU64, batch: usize) -> String {
    let first = number.fetch_add(batch as u64, Ordering::Relaxed);
    let lines: Vec<String> = (first..first + batch as u64).map(event).collect();
    lines.join("\n")
}

async fn by_http(
    address: SocketAddr,
    connection: usize,
    batch: usize,
    number: &AtomicU64,
    until: Instant,
) -> (usize, Vec<f64>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut taken, mut times, mut answer) = (0, Vec::new(), vec![0; 4096]);
    while Instant::now() < until {
        let body = body(number, batch);
        let request = format!(
            "POST /v1/streams/s{}/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            connection % 4,
            body.len()
        );
        let asked = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream, &mut answer).await;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        taken += batch;
    }
    (taken, times)
}

async fn by_socket(
    address: SocketAddr,
    connection: usize,
    batch: usize,
    window: usize,
    number: &AtomicU64,
    until: Instant,
) -> (usize, Vec<f64>) {
    let mut socket = Socket::open(address, &format!("/v1/streams/s{}/ws", connection % 4)).await;
    let (mut taken, mut times) = (0, Vec::new());
    while Instant::now() < until {
        let bodies: Vec<String> = (0..window).map(|_| body(number, batch)).collect();
        let asked = Instant::now();
        socket.send(bodies.iter().map(String::as_str)).await;
        for _ in 0..window {
            socket.acknowledged().await;
            times.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        taken += batch * window;
    }
    (taken, times)
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut have = 0;
    loop {
        have += stream.read(&mut buffer[have..]).await.unwrap();
        let text = std::str::from_utf8(&buffer[..have]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 202"), "{text}");
        let length =
            head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
        if body.len() >= length {
            return;
        }
    }
}

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        println!("skipped: run it with cargo bench");
        return;
    }
    let (secs, connections) = (size("CLIPCORE_BENCH_SECS", 5), size("CLIPCORE_BENCH_CONNECTIONS", 32));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // First, while the process has no memory left over that sockets could take up unseen.
        println!("1000 idle WebSockets on the feed: {:.1} kB each\n", idle_sockets(1000).await / 1e3);
        head(&["events", "in", "server", "events/s", "of bare", "CPU µs/event", "p50 ms", "p99 ms"]);
        let servers = [
            ("bare axum", None),
            ("gateway, log in memory", Some(false)),
            ("gateway, durable log", Some(true)),
        ];
        for (batch, way, what) in [
            (1, Way::Http, "a request"),
            (BATCH, Way::Http, "a request"),
            (1, Way::Socket(1), "a message"),
            (1, Way::Socket(WINDOW), "a message, 64 at once"),
            (BATCH, Way::Socket(1), "a message"),
        ] {
            let mut bare = f64::NAN;
            for (name, kind) in servers {
                if !wanted(&format!("{batch} {what} {name}")) {
                    continue;
                }
                let running = match kind {
                    None => Running::bare().await,
                    Some(durable) => Running::gateway(durable).await,
                };
                let load = load(running.address, way, batch, secs, connections).await;
                running.end().await;
                if kind.is_none() {
                    bare = load.rate;
                }
                tell(batch, what, name, bare, &load);
            }
            let name = "Python: FastAPI, uvicorn, pub/sub";
            if !matches!(way, Way::Http) || !wanted(&format!("{batch} {what} {name}")) {
                continue;
            }
            if let Some(scaffold) = Scaffold::start() {
                let load = load(scaffold.address, way, batch, secs, connections).await;
                tell(batch, what, name, bare, &load);
            }
        }
    });
}

/// Bytes of memory for each of `count` sockets that are open and silent, both ends in this process.
async fn idle_sockets(count: usize) -> f64 {
    let running = Running::gateway(false).await;
    let open = async || Socket::open(running.address, "/v1/feed/ws").await;
    // What the first one sets up is not every one's.
    let mut sockets = vec![open().await];
    let before = cpu::resident().1;
    for _ in 0..count {
        sockets.push(open().await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = cpu::resident().1.saturating_sub(before);
    drop(sockets);
    running.end().await;
    grown as f64 / count as f64
}

/// Whether a row is to be measured: a word of the command line is part of its name.
fn wanted(row: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|a| !a.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| row.contains(&word))
}

fn tell(batch: usize, what: &str, name: &str, bare: f64, load: &Load) {
    row(&[
        format!("{batch}"),
        what.to_owned(),
        name.to_owned(),
        format!("{:.0}", load.rate),
        format!("{:.2}", load.rate / bare),
        format!("{:.1}", load.cost),
        format!("{:.1}", quantile(&load.times, 0.5)),
        format!("{:.1}", quantile(&load.times, 0.99)),
    ]);
}
