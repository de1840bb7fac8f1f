//! A network that can be made to fail: passes bytes on to a server on this machine, or loses them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PASS: u8 = 0;
const LOSE_ANSWERS: u8 = 1;
const REFUSE: u8 = 2;

/// A relay of TCP connections; its threads end with the connections.
pub struct Proxy {
    pub port: u16,
    mode: Arc<AtomicU8>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Relays to `port` on this machine.
    ///
    /// # Panics
    /// Where the machine has no loopback.
    pub fn new(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let (mode, connections) = (Arc::new(AtomicU8::new(PASS)), Arc::new(Mutex::new(Vec::new())));
        let proxy = Self {
            port: listener.local_addr().expect("a bound address").port(),
            mode: mode.clone(),
            connections: connections.clone(),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if mode.load(Ordering::SeqCst) == REFUSE {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let mut open = connections.lock().unwrap_or_else(PoisonError::into_inner);
                for (from, to, answers) in [(&client, &server, false), (&server, &client, true)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    open.extend(from.try_clone());
                    let mode = mode.clone();
                    std::thread::spawn(move || relay(from, to, answers, &mode));
                }
            }
        });
        proxy
    }

    /// Requests arrive, answers do not.
    pub fn lose_answers(&self) {
        self.mode.store(LOSE_ANSWERS, Ordering::SeqCst);
    }

    /// Ends all connections, and lets nobody in.
    pub fn refuse(&self) {
        self.mode.store(REFUSE, Ordering::SeqCst);
        self.drop_all();
    }

    /// Ends what was open, and relays from now on.
    pub fn mend(&self) {
        self.drop_all();
        self.mode.store(PASS, Ordering::SeqCst);
    }

    /// Ends all connections; new ones are made as before.
    pub fn drop_all(&self) {
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, answers: bool, mode: &AtomicU8) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut bytes) {
        if read == 0 {
            break;
        }
        if answers && mode.load(Ordering::SeqCst) == LOSE_ANSWERS {
            continue;
        }
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
