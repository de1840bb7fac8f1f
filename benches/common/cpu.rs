//! Processor time and memory, of this process, of children that have ended, and of running trees (Linux).

use std::collections::HashMap;
use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Processor seconds (user and system) of this process, all threads.
pub fn own() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Processor seconds of children that have ended and been waited for; in steps of a tick (10 ms).
pub fn reaped() -> f64 {
    Stat::read("self").map_or(0.0, |stat| stat.children)
}

/// Both together: what work that runs here and in children of its own has cost.
pub fn total() -> f64 {
    own() + reaped()
}

/// Largest resident memory of this process so far, and what it has now, in bytes.
pub fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    (field(&status, "VmHWM:"), field(&status, "VmRSS:"))
}

/// What a running process and everything below it has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds of the process itself.
    pub root: f64,
    /// Seconds of everything below it.
    pub below: f64,
    /// Resident bytes, shared pages divided among those who share them.
    pub root_bytes: u64,
    pub below_bytes: u64,
}

/// Reads a running tree.
pub fn tree(pid: u32) -> Usage {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(child) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        if let Some(stat) = Stat::read(&child.to_string()) {
            children.entry(stat.parent).or_default().push(child);
        }
    }
    let mut usage = Usage::default();
    let mut queue = vec![pid];
    while let Some(next) = queue.pop() {
        let Some(stat) = Stat::read(&next.to_string()) else { continue };
        let map = fs::read_to_string(format!("/proc/{next}/smaps_rollup")).unwrap_or_default();
        if next == pid {
            usage.root += stat.own;
            usage.root_bytes += field(&map, "Pss:");
        } else {
            usage.below += stat.own;
            usage.below_bytes += field(&map, "Pss:");
        }
        usage.below += stat.children;
        queue.extend(children.get(&next).into_iter().flatten());
    }
    usage
}

/// A child of this process by the name of its program.
pub fn child_named(name: &str) -> Option<u32> {
    let me = std::process::id();
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let stat = Stat::read(&pid.to_string())?;
        (stat.parent == me && stat.name == name).then_some(pid)
    })
}

/// The processor's name and the number of cores.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("?");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let cores = info.lines().filter(|l| l.starts_with("processor")).count();
    format!("{}, {cores} cores, load {load}", name.trim_start_matches([':', '\t', ' ']))
}

struct Stat {
    name: String,
    parent: u32,
    own: f64,
    children: f64,
}

impl Stat {
    fn read(pid: &str) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold spaces and brackets; the last bracket ends it.
        let (head, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let secs = |i: usize| fields.get(i)?.parse::<f64>().ok().map(|ticks| ticks / hertz);
        Some(Self {
            name: head.split_once('(')?.1.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            own: secs(11)? + secs(12)?,
            children: secs(13)? + secs(14)?,
        })
    }
}

/// A line such as `VmRSS:  123 kB`, in bytes.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}
