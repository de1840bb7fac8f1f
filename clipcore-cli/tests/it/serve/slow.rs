//! Readers of the live feed that do not read: what they cost the server, its producers, and themselves.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::client;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::server::Server;

/// Readers of each kind.
const READERS: usize = 8;
/// Moments from before, and the bytes of each: more than all buffers between a server and one reader hold.
const BEFORE: usize = 4000;
const BYTES: usize = 5000;
const MARKERS: usize = 100;
const LAST: &str = "the last of them";

/// What is found in a folder in which another run has found so much.
fn found_before(dir: &Path) {
    let label = "x".repeat(BYTES);
    let lines: String = (0..BEFORE)
        .map(|n| {
            let moment = json!({
                "id": format!("{n:032x}"), "rev": 1, "stream": "before", "state": "closed", "start": n, "peak": n + 1,
                "end": n + 2, "decided_at": n + 3, "score": 1.0, "label": label, "evidence": [],
            });
            format!("{moment}\n")
        })
        .collect();
    std::fs::write(dir.join("moments.jsonl"), lines).unwrap();
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://")).unwrap()
}

/// An open event stream, of which nothing has been read.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(server: &Server, last: i64) -> Self {
        let mut stream = connect(server);
        // Of the older version, in which a body has no frames of its own.
        let head = format!("GET /v1/feed HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {last}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next transition, with its number.
    fn next(&mut self) -> (i64, Value) {
        let mut id = 0;
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the event stream ends after {id}");
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim_end().parse().unwrap();
            } else if let Some(text) = line.strip_prefix("data: ") {
                return (id, serde_json::from_str(text).unwrap());
            }
        }
    }
}

/// An open socket, of which nothing has been read.
fn socket(server: &Server, after: i64) -> WebSocket<TcpStream> {
    let url = format!("{}/v1/feed/ws?after={after}", server.url.replace("http:", "ws:"));
    client(url, connect(server)).unwrap().0
}

/// The next transition; nothing once the server has closed it.
fn next_of(socket: &mut WebSocket<TcpStream>) -> Option<(i64, Value)> {
    loop {
        if let Message::Text(text) = socket.read().ok()? {
            let mut value: Value = serde_json::from_str(&text).unwrap();
            return Some((value["seq"].as_i64().unwrap(), value["item"].take()));
        }
    }
}

/// Reads up to the last transition of all, none of which may be missing or come twice; gives its number.
fn to_the_end(mut after: i64, mut next: impl FnMut() -> (i64, Value)) -> i64 {
    loop {
        let (seq, item) = next();
        assert_eq!(seq, after + 1, "the feed goes on exactly");
        after = seq;
        if item["label"] == LAST && item["state"] == "closed" {
            return seq;
        }
    }
}

fn open_connections(server: &Server) -> usize {
    let metrics = server.get("/metrics");
    let mut lines = metrics.as_str().unwrap().lines();
    lines.find_map(|line| line.strip_prefix("clipcore_open_connections ")).unwrap().parse().unwrap()
}

/// Memory that a process has of its own, in bytes; nothing where the system does not tell.
fn memory(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().unwrap() * 1024)
}

#[test]
fn readers_that_do_not_read_hold_nobody_up_and_miss_nothing_once_they_do() {
    let dir = tempfile::tempdir().unwrap();
    found_before(dir.path());
    let server = Server::start_with(dir.path(), &[], &[("CLIPCORE__GATEWAY__PATIENCE", "1")]);
    // One that reads shows what serving it takes.
    let mut reader = Events::open(&server, 0);
    for seq in 1..=BEFORE {
        assert_eq!(reader.next().0, seq as i64);
    }
    drop(reader);
    let before = memory(server.id());

    let mut streams: Vec<Events> = (0..READERS).map(|_| Events::open(&server, 0)).collect();
    let mut sockets: Vec<_> = (0..READERS).map(|_| socket(&server, 0)).collect();
    server.until("the sockets' end", |s| open_connections(s) == READERS);
    let begun = server.ask("PUT", "/v1/streams/live", r#"{"clock":"events"}"#);
    assert_eq!(begun.0, 200, "{begun:?}");
    for n in 1..=MARKERS {
        let label = if n == MARKERS { LAST } else { "ace" };
        let marker = json!({"type": "marker", "at": n * 70, "data": {"label": label}}).to_string();
        let (status, said) = server.ask("POST", "/v1/streams/live/events", &marker);
        assert_eq!((status, &said["accepted"]), (202, &Value::from(1)), "{said}");
    }
    assert_eq!(server.ask("POST", "/v1/streams/live/end", "").0, 202);
    server.until_state("live", "ended");
    let known = server.get("/v1/moments?stream=live&state=closed&limit=1000");
    assert_eq!(known["items"].as_array().unwrap().len(), MARKERS);
    assert_eq!(open_connections(&server), READERS, "event streams wait for their readers");
    if let Some((before, now)) = before.zip(memory(server.id())) {
        let waiting = 2 * READERS * BEFORE * BYTES;
        let grown = now.saturating_sub(before);
        println!("{} MiB wait for readers, memory has grown by {} MiB", waiting >> 20, grown >> 20);
        assert!(grown < waiting / 4, "{grown} of {waiting} bytes are kept in memory");
    }

    // An event stream goes on as if nothing had been, and another that is opened anew does, too.
    let mut stream = streams.pop().unwrap();
    let last = to_the_end(0, || stream.next());
    assert!(last >= (BEFORE + 2 * MARKERS) as i64, "{last}: transitions are missing");
    let mut stream = streams.pop().unwrap();
    let seen = (0..700).map(|_| stream.next().0).last().unwrap();
    let mut again = Events::open(&server, seen);
    assert_eq!(to_the_end(seen, || again.next()), last);
    // A socket was cut off, and goes on after what it has got.
    let mut seen = 0;
    let mut cut = sockets.pop().unwrap();
    while let Some((seq, _)) = next_of(&mut cut) {
        assert_eq!(seq, seen + 1);
        seen = seq;
    }
    assert!((1..BEFORE as i64).contains(&seen), "it was cut off after {seen}");
    let mut again = socket(&server, seen);
    assert_eq!(to_the_end(seen, || next_of(&mut again).expect("it stays open")), last);
    drop(streams);
    assert!(server.end("TERM").success());
}
