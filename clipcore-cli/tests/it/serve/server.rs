//! `clipcore serve` as a person runs it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use serde_json::Value;

use crate::support::publisher::signal;

/// A running server; killed with its owner.
pub(super) struct Server {
    child: Child,
    pub(super) url: String,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(data: &Path, args: &[&str]) -> Self {
        Self::start_with(data, args, &[])
    }

    pub(super) fn start_with(data: &Path, args: &[&str], set: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(args);
        command.envs(set.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("clipcore starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe was asked for")).lines();
        let mut text = String::new();
        let url = loop {
            let Some(line) = lines.next() else { panic!("the server ended: {text}") };
            let line = line.unwrap();
            text.push_str(&line);
            text.push('\n');
            let entry: Option<Value> = serde_json::from_str(&line).ok();
            let told = entry.as_ref().and_then(|entry| entry["fields"]["message"].as_str()).unwrap_or(&line);
            if let Some(url) = told.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        let said = Arc::new(Mutex::new(text));
        let into = said.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = into.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, url, said, reader: Some(reader) }
    }

    pub(super) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it can be waited for");
    }

    /// Sends a signal and waits for the end.
    pub(super) fn end(self, name: &str) -> ExitStatus {
        self.end_with_words(name).0
    }

    /// The same, with all that it said.
    pub(super) fn end_with_words(mut self, name: &str) -> (ExitStatus, String) {
        signal(self.child.id(), name);
        let status = self.child.wait().expect("it can be waited for");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it reads to the end");
        }
        (status, self.said())
    }

    pub(super) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").1
    }

    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.try_ask(method, path, body).expect("an answer");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Nothing where there is no answer.
    pub(super) fn try_ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let mut response = agent.run(request.body(body.to_owned()).unwrap()).ok()?;
        Some((response.status().as_u16(), response.body_mut().read_to_string().ok()?))
    }

    pub(super) fn until(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if reached(self) {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("{what} did not come\n{}", self.said());
    }

    pub(super) fn until_state(&self, stream: &str, state: &str) {
        self.until(state, |s| s.get(&format!("/v1/streams/{stream}"))["state"] == state);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
