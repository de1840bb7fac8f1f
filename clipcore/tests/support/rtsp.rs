//! A real RTSP server, as a camera is one: GStreamer's, which sends a file in real time to whoever asks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::skipped;
use super::server::Server;

/// Debian's own: its packages are unknown to any other Python.
const PYTHON: &str = "/usr/bin/python3";
const CHECK: &str = "\
import gi
gi.require_version('Gst', '1.0')
gi.require_version('GstRtspServer', '1.0')
from gi.repository import Gst, GstRtspServer
Gst.init(None)
exit(Gst.ElementFactory.find('rtph264pay') is None)";
const SCRIPT: &str = include_str!("rtsp_server.py");

/// A running server; ends with its owner.
pub struct RtspServer {
    file: PathBuf,
    server: Server,
}

impl RtspServer {
    /// Serves `file` (H.264 and AAC in MP4). `None`, noted as skipped, where GStreamer's server is missing.
    ///
    /// # Panics
    /// Where it does not listen.
    pub fn start(test: &str, file: &Path) -> Option<Self> {
        let mut check = Command::new(PYTHON);
        check.args(["-c", CHECK]);
        if !check.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            skipped(test, "GStreamer's RTSP server is not installed (make setup)");
            return None;
        }
        let mut server = Self { file: file.into(), server: Server::new() };
        server.resume();
        Some(server)
    }

    /// Where the stream is played.
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/live/show", self.server.port)
    }

    /// Ends the server: players lose their connections. [`resume`](Self::resume) brings it back.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts the server again on the same port; the file begins anew with the first player.
    ///
    /// # Panics
    /// Where it does not listen within ten seconds.
    pub fn resume(&mut self) {
        let mut command = Command::new(PYTHON);
        command.args(["-c", SCRIPT]).arg(&self.file).arg(self.server.port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(self.server.start(command), "the RTSP server does not listen on port {}", self.server.port);
    }
}
