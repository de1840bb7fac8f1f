//! Processes with some of the roles.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::super::server::Server;
use super::broker::Broker;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clipcore");

/// A process without a listener; killed with its owner.
pub(super) struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Starts a process whose data lie in folder `data` of `dir`.
    pub(super) fn start(
        dir: &Path,
        mut command: Command,
        name: &str,
        data: &str,
        role: &str,
        env: &HashMap<&'static str, String>,
    ) -> Self {
        let said = dir.join(format!("{name}.err"));
        let into = File::options().append(true).create(true).open(&said).unwrap();
        command
            .args(["serve", "--role", role, "--consent", "chat_text", "--data"])
            .arg(dir.join(data))
            .envs(env);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(into);
        Self { child: command.spawn().expect("clipcore starts"), said }
    }

    pub(super) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().unwrap();
    }

    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A deployment's gateway, and what its other processes are told.
pub(super) struct Deployment<'a> {
    dir: &'a Path,
    pub(super) env: HashMap<&'static str, String>,
    /// Whether workers have names of their own, under which they have at once what they had before.
    pub(super) named: bool,
    gateway: Option<Server>,
    /// What has died, by role.
    pub(super) kills: HashMap<&'static str, u32>,
}

impl<'a> Deployment<'a> {
    pub(super) fn new(dir: &'a Path, broker: &Broker) -> Self {
        Self { dir, env: broker.settings(), named: false, gateway: None, kills: HashMap::new() }
    }

    pub(super) fn gateway(&mut self) -> &Server {
        let set: Vec<(&str, &str)> = self.env.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let args = ["--role", "gateway", "--consent", "chat_text"];
        self.gateway.get_or_insert_with(|| Server::start_with(&self.dir.join("gateway"), &args, &set))
    }

    pub(super) fn kill_gateway(&mut self) {
        self.gateway.take().expect("it runs").kill();
    }

    pub(super) fn deliverer(&self, data: &str) -> Process {
        Process::start(self.dir, Command::new(PROGRAM), "deliver", data, "deliver", &self.env)
    }

    /// A worker whose way to the server can be cut.
    pub(super) fn worker(&self, which: usize, data: &str, broker: &Broker) -> Process {
        let mut env = self.env.clone();
        env.insert("CLIPCORE__SHARED__URL", broker.url_of(which));
        if self.named {
            env.insert("CLIPCORE__SHARED__WORKER__NAME", format!("host-{which}"));
        }
        let command = broker.way_of(which).command(PROGRAM);
        Process::start(self.dir, command, &format!("worker-{which}"), data, "fuse", &env)
    }

    /// Runs the detectors of pools.
    pub(super) fn listener(&self, which: usize) -> Process {
        let name = format!("listener-{which}");
        Process::start(self.dir, Command::new(PROGRAM), &name, &name, "detect", &self.env)
    }

    /// Asks until it is answered with success, as a producer does.
    pub(super) fn post(&mut self, path: &str, method: &str, body: &str) {
        for _ in 0..600 {
            match self.gateway().try_ask(method, path, body) {
                Some((200..=299, _)) => return,
                Some((503, _)) | None => sleep(Duration::from_millis(50)),
                Some((status, said)) => panic!("{status} {said}"),
            }
        }
        panic!("{path} is not answered: {}", self.gateway().said());
    }

    pub(super) fn killed(&mut self, role: &'static str) {
        *self.kills.entry(role).or_default() += 1;
    }
}

pub(super) fn until(limit: Duration, what: impl Fn() -> String, mut reached: impl FnMut() -> bool) {
    let look = Duration::from_millis(100);
    let mut waited = Duration::ZERO;
    while !reached() {
        assert!(waited < limit, "it takes too long: {}", what());
        sleep(look);
        waited += look;
    }
}

pub(super) fn lines_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
