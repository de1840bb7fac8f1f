//! A real Kafka broker (KRaft, one node) on free ports, with its files in a folder of its own. Clients reach it through a
//! proxy whose address it advertises, so that the network can fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::{require, run, skipped};
use super::proxy::Proxy;
use super::server::{Server, free_port};

/// A running broker; ends with its owner.
pub struct Kafka {
    dir: tempfile::TempDir,
    server: Server,
    pub proxy: Proxy,
    /// Further ways to it, each with a listener of its own.
    pub others: Vec<Proxy>,
}

impl Kafka {
    /// Starts one. `None`, noted as skipped, where Java or the broker's files are missing.
    ///
    /// # Panics
    /// Where it does not listen.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, 0)
    }

    /// As [`start`](Self::start), with so many further ways to it: clients that begin with one go on with it.
    ///
    /// # Panics
    /// As there.
    pub fn start_with(test: &str, others: usize) -> Option<Self> {
        Self::start_as(test, others, "127.0.0.1", "PLAINTEXT", "")
    }

    /// As [`start`](Self::start), by TLS alone, with the [certificates](super::certificates) of a folder: clients need one,
    /// too.
    ///
    /// # Panics
    /// As there.
    pub fn start_tls(test: &str, certificates: &Path) -> Option<Self> {
        let read = |name: &str| std::fs::read_to_string(certificates.join(name)).expect("a certificate");
        let own = certificates.join("server.pem");
        std::fs::write(&own, read("server.key") + &read("server.crt")).expect("a folder");
        let settings = format!(
            "ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\n\
             ssl.truststore.location={}\nssl.client.auth=required\n",
            own.display(),
            certificates.join("ca.crt").display(),
        );
        Self::start_as(test, 0, "localhost", "SSL", &settings)
    }

    fn start_as(test: &str, others: usize, host: &str, protocol: &str, more: &str) -> Option<Self> {
        if !is_here(test) {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let server = Server::new();
        let (port, controller, internal) = (server.port, free_port(), free_port());
        let proxy = Proxy::new(port);
        let ports: Vec<u16> = (0..others).map(|_| free_port()).collect();
        let others: Vec<Proxy> = ports.iter().map(|port| Proxy::new(*port)).collect();
        let (mut listeners, mut advertised, mut protocols) = (
            format!("CLIENT://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal}"),
            format!("CLIENT://{host}:{},INTERNAL://127.0.0.1:{internal}", proxy.port),
            format!("CLIENT:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        );
        for (number, (port, other)) in ports.iter().zip(&others).enumerate() {
            listeners += &format!(",OTHER{number}://127.0.0.1:{port}");
            advertised += &format!(",OTHER{number}://127.0.0.1:{}", other.port);
            protocols += &format!(",OTHER{number}:PLAINTEXT");
        }
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners={listeners},CONTROLLER://127.0.0.1:{controller}\nadvertised.listeners={advertised}\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=INTERNAL\n\
             listener.security.protocol.map={protocols}\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\n\
             transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\ngroup.initial.rebalance.delay.ms=0\n\
             num.network.threads=2\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=2097152\n\
             {more}",
            dir.path().join("data").display(),
        );
        std::fs::write(dir.path().join("server.properties"), settings).expect("the settings can be written");
        format(&dir.path().join("server.properties"));
        let mut kafka = Self { dir, server, proxy, others };
        kafka.resume();
        Some(kafka)
    }

    /// Where clients find it.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port)
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
        let command = broker(&self.dir.path().join("server.properties"));
        // A busy machine may take longer than the ten seconds of one attempt to wait.
        let up = self.server.start(command) || (0..5).any(|_| self.server.listens());
        assert!(up, "the broker does not listen on port {}", self.server.port);
    }
}

/// Whether a broker can be run here; otherwise the test is noted as skipped.
pub(super) fn is_here(test: &str) -> bool {
    if !lib().is_dir() {
        skipped(test, "target/kafka is not there (scripts/kafka.sh makes it; needs Maven)");
        return false;
    }
    require(test, &["java"])
}

/// Makes the folder that the settings name, as one of a cluster that all tests' brokers have the name of.
pub(super) fn format(settings: &Path) {
    let mut format = java("kafka.tools.StorageTool");
    run(format.args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"]).arg(settings));
}

/// A broker that is to be started.
pub(super) fn broker(settings: &Path) -> Command {
    let mut command = java("kafka.Kafka");
    command.arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn lib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kafka/lib")
}

fn java(class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(format!("{}/*", lib().display())).arg(class);
    command
}
