//! The smallest web server that a video element is content with: one page, one clip with byte ranges, and a place to
//! report to. On loopback only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Server {
    address: SocketAddr,
    reports: Receiver<String>,
}

struct Shared {
    page: &'static str,
    clip: Vec<u8>,
    reports: Mutex<Sender<String>>,
}

impl Server {
    pub(crate) fn start(page: &'static str, clip: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, reports) = channel();
        let shared = Arc::new(Shared { page, clip, reports: Mutex::new(tx) });
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = shared.clone();
                // A browser that hangs up in the middle of a range has what it wanted.
                std::thread::spawn(move || drop(shared.answer(connection)));
            }
        });
        Self { address, reports }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What the page reported; `None` where it did not in time.
    pub(crate) fn report(&self, patience: Duration) -> Option<String> {
        self.reports.recv_timeout(patience).ok()
    }
}

impl Shared {
    fn answer(&self, connection: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let mut out = connection;
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
            let (mut range, mut length) = (None, 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let line = line.trim().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(bytes) = line.strip_prefix("range: bytes=") {
                    range = bytes.split_once('-').map(|(a, b)| (a.parse().ok(), b.parse().ok()));
                }
                if let Some(n) = line.strip_prefix("content-length: ") {
                    length = n.parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            match request.split(' ').nth(1).unwrap_or_default() {
                "/" => send(&mut out, "200 OK", "text/html", "", self.page.as_bytes())?,
                "/clip.mp4" => self.clip(&mut out, range)?,
                "/report" => {
                    send(&mut out, "204 No Content", "text/plain", "", b"")?;
                    let _ = self.reports.lock().unwrap().send(String::from_utf8_lossy(&body).into_owned());
                }
                _ => send(&mut out, "404 Not Found", "text/plain", "", b"")?,
            }
        }
    }

    fn clip(
        &self,
        out: &mut TcpStream,
        range: Option<(Option<usize>, Option<usize>)>,
    ) -> std::io::Result<()> {
        let len = self.clip.len();
        let Some((from, to)) = range else {
            return send(out, "200 OK", "video/mp4", "Accept-Ranges: bytes\r\n", &self.clip);
        };
        let (from, end) = match (from, to) {
            (Some(from), to) => (from.min(len), to.map_or(len, |to| (to + 1).min(len))),
            // The last `to` bytes.
            (None, to) => (len - to.unwrap_or(0).min(len), len),
        };
        let range =
            format!("Accept-Ranges: bytes\r\nContent-Range: bytes {from}-{}/{len}\r\n", end.max(1) - 1);
        send(out, "206 Partial Content", "video/mp4", &range, &self.clip[from..end.max(from)])
    }
}

fn send(out: &mut TcpStream, status: &str, kind: &str, more: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{more}\r\n",
        body.len()
    );
    out.write_all(head.as_bytes())?;
    out.write_all(body)
}
