//! A real Redis server on a free port, with its files in a folder of its own.

use std::process::{Command, Stdio};

use super::programs::{find, require, run};
use super::server::Server;

/// A running server; ends with its owner.
pub struct Redis {
    dir: tempfile::TempDir,
    server: Server,
    args: Vec<String>,
}

impl Redis {
    /// Starts one that keeps everything it acknowledged. `None`, noted as skipped, where the program is missing.
    ///
    /// # Panics
    /// Where it does not listen.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// As [`start`](Self::start), with other settings.
    ///
    /// # Panics
    /// As there.
    pub fn start_with(test: &str, args: &[&str]) -> Option<Self> {
        if !require(test, &["redis-server", "redis-cli"]) {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut redis = Self { dir, server: Server::new(), args };
        redis.resume();
        Some(redis)
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port)
    }

    /// Kills it, as `kill -9` does.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again, with what it kept.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn resume(&mut self) {
        let mut command = Command::new(find("redis-server").expect("checked"));
        command.current_dir(self.dir.path()).args(["--bind", "127.0.0.1", "--save", "", "--port"]);
        command.arg(self.server.port.to_string()).args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(self.server.start(command), "redis-server does not listen on port {}", self.server.port);
    }

    /// What `redis-cli` says to a command.
    ///
    /// # Panics
    /// Where it fails.
    pub fn cli(&self, args: &[&str]) -> String {
        let mut command = Command::new(find("redis-cli").expect("checked"));
        command.args(["-p", &self.server.port.to_string()]).args(args);
        String::from_utf8_lossy(&run(&mut command)).trim_end().to_owned()
    }
}
