//! Several real Kafka brokers (KRaft, each of them a controller, too) that hold everything three times, of which any one may
//! die.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use super::kafka;
use super::server::{Server, free_port};

/// How many there are.
pub const BROKERS: usize = 3;

/// Running brokers; they end with their owner.
pub struct Brokers {
    dir: tempfile::TempDir,
    servers: [Server; BROKERS],
}

impl Brokers {
    /// Starts them. `None`, noted as skipped, where Java or the brokers' files are missing.
    ///
    /// # Panics
    /// Where they do not come up.
    pub fn start(test: &str) -> Option<Self> {
        if !kafka::is_here(test) {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary folder");
        let servers = [(); BROKERS].map(|()| Server::new());
        let controllers = [(); BROKERS].map(|()| free_port());
        let voters = (1..).zip(controllers).map(|(id, port)| format!("{id}@127.0.0.1:{port}"));
        let voters = voters.collect::<Vec<_>>().join(",");
        let mut brokers = Self { dir, servers };
        for (which, controller) in controllers.into_iter().enumerate() {
            let (id, port) = (which + 1, brokers.servers[which].port);
            let settings = format!(
                "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
                 listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=CLIENT://127.0.0.1:{port}\n\
                 controller.listener.names=CONTROLLER\ninter.broker.listener.name=CLIENT\n\
                 listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
                 default.replication.factor=3\nmin.insync.replicas=2\n\
                 offsets.topic.num.partitions=3\ntransaction.state.log.num.partitions=3\n\
                 num.network.threads=2\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=2097152\n",
                brokers.dir.path().join(format!("data-{id}")).display(),
            );
            std::fs::write(brokers.settings(which), settings).expect("the settings can be written");
            kafka::format(&brokers.settings(which));
        }
        // None of them has a quorum alone.
        for which in 0..BROKERS {
            let command = kafka::broker(&brokers.settings(which));
            brokers.servers[which].spawn(command);
        }
        brokers.until_in_sync();
        Some(brokers)
    }

    fn settings(&self, which: usize) -> PathBuf {
        self.dir.path().join(format!("broker-{}.properties", which + 1))
    }

    /// Where clients find them.
    pub fn addresses(&self) -> String {
        let each = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        each.collect::<Vec<_>>().join(",")
    }

    /// Kills one, as `kill -9` does.
    pub fn stop(&mut self, which: usize) {
        self.servers[which].stop();
    }

    /// Starts one again, with what it kept.
    pub fn resume(&mut self, which: usize) {
        let command = kafka::broker(&self.settings(which));
        self.servers[which].spawn(command);
    }

    /// Waits until each of them has all that the others have.
    ///
    /// # Panics
    /// Where that takes minutes.
    pub fn until_in_sync(&self) {
        let mut seen = Vec::new();
        for _ in 0..1200 {
            // One that has just come may know less than the others.
            seen = self.servers.iter().map(|server| replicas(server.port)).collect();
            if seen.iter().all(|seen| seen.as_ref().is_some_and(Replicas::are_whole)) {
                return;
            }
            sleep(Duration::from_millis(250));
        }
        panic!("the brokers are not in sync: {seen:?}");
    }
}

/// What a broker says of all.
#[derive(Debug)]
struct Replicas {
    brokers: usize,
    partitions: usize,
    /// Partitions of which a broker is missing or behind.
    behind: usize,
}

impl Replicas {
    fn are_whole(&self) -> bool {
        self.brokers == BROKERS && self.behind == 0
    }
}

/// Asks a broker for its metadata (version 1 of that request); nothing where it gives none.
fn replicas(port: u16) -> Option<Replicas> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    // Length, key, version, correlation, no client, all topics.
    stream.write_all(&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
    stream.read_exact(&mut bytes).ok()?;
    let mut answer = Answer(bytes.get(4..)?);
    let mut found = Replicas { brokers: answer.count()?, partitions: 0, behind: 0 };
    for _ in 0..found.brokers {
        answer.take(4)?;
        answer.text()?;
        answer.take(4)?;
        answer.text()?;
    }
    answer.take(4)?;
    for _ in 0..answer.count()? {
        answer.take(2)?;
        answer.text()?;
        answer.take(1)?;
        for _ in 0..answer.count()? {
            let error = answer.take(2)?;
            answer.take(8)?;
            let replicas = answer.count()?;
            answer.take(4 * replicas)?;
            let in_sync = answer.count()?;
            answer.take(4 * in_sync)?;
            found.partitions += 1;
            found.behind += usize::from(error != [0, 0] || in_sync < BROKERS);
        }
    }
    Some(found)
}

/// What is left of an answer.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn count(&mut self) -> Option<usize> {
        self.take(4).map(|bytes| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
    }

    /// A string, or none.
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.take(2)?;
        match u16::from_be_bytes([length[0], length[1]]) {
            u16::MAX => Some(&[]),
            length => self.take(length.into()),
        }
    }
}
