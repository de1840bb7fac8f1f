//! Ways from a process to a server that can be cut.

use std::process::{Command, Stdio};

use crate::support::programs::skipped;
use crate::support::proxy::Proxy;

/// A way from a process to a server.
pub(super) enum Way {
    /// Cut, it ends connections and refuses new ones.
    Proxy(Proxy),
    /// Cut, it loses every packet.
    Namespace(Namespace),
    /// It is never cut.
    #[cfg(feature = "kafka")]
    Whole,
}

impl Way {
    pub(super) fn cut(&self) {
        match self {
            Self::Proxy(proxy) => proxy.refuse(),
            Self::Namespace(namespace) => namespace.link("down"),
            #[cfg(feature = "kafka")]
            Self::Whole => panic!("it cannot be cut"),
        }
    }

    pub(super) fn mend(&self) {
        match self {
            Self::Proxy(proxy) => proxy.mend(),
            Self::Namespace(namespace) => namespace.link("up"),
            #[cfg(feature = "kafka")]
            Self::Whole => {}
        }
    }

    /// How the program is started that goes this way.
    pub(super) fn command(&self, program: &str) -> Command {
        match self {
            Self::Proxy(_) => Command::new(program),
            #[cfg(feature = "kafka")]
            Self::Whole => Command::new(program),
            Self::Namespace(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &namespace.name, program]);
                command
            }
        }
    }
}

/// A network namespace with a cable to this one; taken down with its owner.
pub(super) struct Namespace {
    name: String,
    /// Its number among those of this process, and the process.
    net: (u8, u8),
}

impl Namespace {
    /// So many of them. `None`, noted as skipped, where this may not be done here.
    pub(super) fn several<const N: usize>(test: &str) -> Option<[Self; N]> {
        let made: Vec<Self> = (0..N).map_while(|number| Self::new(number as u8)).collect();
        let made = made.try_into().ok();
        if made.is_none() {
            skipped(test, "network namespaces cannot be made here (needs root and iproute2)");
        }
        made
    }

    fn new(number: u8) -> Option<Self> {
        let process = std::process::id();
        let namespace = Self { name: format!("cc{process}-{number}"), net: (number, process as u8) };
        let (name, near, far) = (&*namespace.name, namespace.end('a'), namespace.end('b'));
        let all = [
            format!("netns add {name}"),
            format!("link add {near} type veth peer name {far}"),
            format!("link set {far} netns {name}"),
            format!("addr add {}/30 dev {near}", namespace.address()),
            format!("link set {near} up"),
            format!("-n {name} addr add {}/30 dev {far}", namespace.at(2)),
            format!("-n {name} link set {far} up"),
            format!("-n {name} link set lo up"),
        ];
        all.iter().all(|line| ip(line)).then_some(namespace)
    }

    fn end(&self, end: char) -> String {
        format!("{}{end}", self.name)
    }

    fn at(&self, host: u8) -> String {
        format!("10.{}.{}.{host}", 200 + self.net.0, self.net.1)
    }

    /// This side's address.
    pub(super) fn address(&self) -> String {
        self.at(1)
    }

    fn link(&self, state: &str) {
        assert!(ip(&format!("link set {} {state}", self.end('a'))), "the cable can be switched");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("link del {}", self.end('a')));
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(line: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
