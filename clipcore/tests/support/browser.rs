//! Plays a clip in a real Chromium and reads the numbers of the pictures that it shows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering};
use std::time::Duration;

use serde::Deserialize;

use super::programs::{find, skipped};

const PAGE: &str = include_str!("browser.html");
const PATIENCE: Duration = Duration::from_secs(90);

/// What Chromium showed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Playback {
    /// The number in the first picture shown, before playing.
    pub first: Option<u32>,
    /// The number in the picture that stays when the clip has ended.
    pub last: Option<u32>,
    /// Pictures presented; a busy machine presents fewer than there are.
    pub shown: u32,
    /// The duration that the player says, in seconds.
    pub duration: f64,
    /// Whether it played to the end.
    pub ended: bool,
    /// The player's error.
    pub error: Option<String>,
}

/// Plays `clip` from start to end. `None`, noted as skipped, where there is no Chromium or it does not start here.
///
/// # Panics
/// Where the clip cannot be read or the loopback cannot be listened on.
pub fn play(test: &str, clip: &Path) -> Option<Playback> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let Some(program) = names.iter().find_map(|name| find(name)) else {
        skipped(test, "chromium is not installed (make setup)");
        return None;
    };
    let bytes: Arc<[u8]> = std::fs::read(clip).expect("the clip can be read").into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("a bound address");
    let (reports, report) = channel();
    let asked = Arc::new(AtomicBool::new(false));
    let page_asked = asked.clone();
    std::thread::spawn(move || {
        // Ends with the test's process; a browser opens connections that it never uses, so each has its thread.
        for stream in listener.incoming().flatten() {
            let (bytes, reports, asked) = (bytes.clone(), reports.clone(), page_asked.clone());
            std::thread::spawn(move || serve(stream, &bytes, &reports, &asked));
        }
    });

    let profile = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(program);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--mute-audio",
    ]);
    command.args(["--no-first-run", "--disable-extensions", "--autoplay-policy=no-user-gesture-required"]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg(format!("http://{address}/"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        skipped(test, "chromium does not start");
        return None;
    };
    let browser = Browser(child);
    let playback = report.recv_timeout(PATIENCE).ok();
    drop(browser);
    if playback.is_none() && !asked.load(Ordering::Relaxed) {
        skipped(test, "chromium does not start");
        return None;
    }
    Some(playback.expect("chromium reports within 90 s"))
}

struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers one request: the page, the clip (with ranges, without which Chromium cannot seek), or the report.
fn serve(stream: TcpStream, clip: &[u8], reports: &Sender<Playback>, asked: &AtomicBool) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let (mut range, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("range: bytes=") {
            let (from, to) = value.split_once('-')?;
            let last = clip.len().saturating_sub(1);
            range = Some((from.parse::<usize>().ok()?, to.parse().unwrap_or(last).min(last)));
        } else if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    asked.store(true, Ordering::Relaxed);
    let answer = |status: &str, kind: &str, extra: String, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{extra}Connection: close\r\n\r\n",
            body.len()
        );
        let mut stream = &stream;
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()
    };
    match request.split_whitespace().nth(1)? {
        "/" => answer("200 OK", "text/html", String::new(), PAGE.as_bytes()),
        "/clip.mp4" => match range {
            Some((from, to)) if from <= to => {
                let extra =
                    format!("Accept-Ranges: bytes\r\nContent-Range: bytes {from}-{to}/{}\r\n", clip.len());
                answer("206 Partial Content", "video/mp4", extra, &clip[from..=to])
            }
            _ => answer("200 OK", "video/mp4", "Accept-Ranges: bytes\r\n".into(), clip),
        },
        "/report" => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            reports.send(serde_json::from_slice(&body).ok()?).ok()?;
            answer("204 No Content", "text/plain", String::new(), b"")
        }
        _ => answer("404 Not Found", "text/plain", String::new(), b""),
    }
}
