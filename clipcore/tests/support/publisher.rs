//! A publisher that can be frozen, killed and started again: ffmpeg that sends a file in real time.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running publisher; ends with its owner.
pub struct Publisher {
    file: PathBuf,
    url: String,
    child: Child,
}

impl Publisher {
    /// Sends `file` to `url` in real time, packets unchanged, as FLV over RTMP.
    ///
    /// # Panics
    /// Where ffmpeg does not start.
    pub fn start(file: &Path, url: &str) -> Self {
        Self { file: file.into(), url: url.into(), child: send(file, url, 0.0) }
    }

    /// Stops sending without closing the connection, as a publisher whose machine hangs.
    pub fn freeze(&self) {
        signal(self.child.id(), "STOP");
    }

    /// Goes on after [`freeze`](Self::freeze), first sending what is overdue.
    pub fn thaw(&self) {
        signal(self.child.id(), "CONT");
    }

    /// Ends at once, without a farewell.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it and sends the file again from `from` seconds on, with timestamps that start from zero.
    pub fn restart(&mut self, from: f64) {
        self.kill();
        self.child = send(&self.file, &self.url, from);
    }

    /// Waits until the whole file is sent.
    ///
    /// # Panics
    /// Where the publisher cannot be waited for.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the publisher can be waited for")
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(file: &Path, url: &str, from: f64) -> Child {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-re", "-ss", &from.to_string(), "-i"]).arg(file);
    command.args(["-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("ffmpeg starts")
}

/// Sends a process a signal by name (`STOP`, `CONT`, `TERM`, `INT`, `KILL`).
///
/// # Panics
/// Where there is no such process.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill` is everywhere; the program is not.
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("sh starts");
    assert!(status.success(), "no process {pid} to send {name}");
}
