//! A server process on a port of its own, that can be ended and brought back.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

/// Where a server listens, and its process while it runs; ends with its owner.
pub struct Server {
    pub port: u16,
    process: Option<Child>,
}

impl Server {
    /// None yet, on a free port.
    pub fn new() -> Self {
        Self { port: free_port(), process: None }
    }

    /// Ends it: whoever is connected loses the connection.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends what runs and starts `command`, which is to listen on the port; says whether it does within ten seconds.
    ///
    /// # Panics
    /// Where the program cannot be started.
    pub fn start(&mut self, command: Command) -> bool {
        self.spawn(command);
        self.listens()
    }

    /// The same without waiting for it.
    ///
    /// # Panics
    /// As there.
    pub fn spawn(&mut self, mut command: Command) {
        self.stop();
        self.process = Some(command.spawn().expect("the server starts"));
    }

    /// Whether somebody listens on the port within ten seconds.
    pub fn listens(&self) -> bool {
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on just now.
///
/// # Panics
/// Where the machine has no loopback.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("a bound address").port()
}
