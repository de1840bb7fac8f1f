//! A real RTMP relay: nginx with its RTMP module, on a free port, with its files in a folder of its own.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::{find, require, skipped};
use super::server::Server;

/// A running relay; ends with its owner.
pub struct Relay {
    dir: tempfile::TempDir,
    server: Server,
}

impl Relay {
    /// Starts a relay. `None`, noted as skipped, where nginx or its RTMP module is missing.
    ///
    /// # Panics
    /// Where nginx refuses the configuration or does not listen.
    pub fn start(test: &str) -> Option<Self> {
        if !require(test, &["nginx", "ffmpeg"]) {
            return None;
        }
        let Some(module) = rtmp_module() else {
            skipped(test, "nginx has no RTMP module (make setup)");
            return None;
        };
        let dir = tempfile::tempdir().expect("a temporary folder");
        let server = Server::new();
        let port = server.port;
        let mut conf = String::new();
        if let Some(path) = module.path {
            writeln!(conf, "load_module {};", path.display()).expect("text grows");
        }
        // A long queue: on a busy machine the relay would leave out packets of players that are a little behind.
        // One process, so that ending it ends all; no http block, so nginx wants no folders of its own.
        write!(
            conf,
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log info;\n\
             events {{ worker_connections 256; }}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; out_queue 8192;\n\
             application live {{ live on; wait_key on; idle_streams off; }} }} }}\n"
        )
        .expect("text grows");
        std::fs::write(dir.path().join("nginx.conf"), conf).expect("the configuration can be written");
        let checked = nginx(dir.path()).arg("-t").output().expect("nginx starts");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let mut relay = Self { dir, server };
        relay.resume();
        Some(relay)
    }

    /// Where a stream is published and played.
    pub fn url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{stream}", self.server.port)
    }

    /// Ends the server: publishers and players lose their connections. [`resume`](Self::resume) brings it back.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts the server again on the same port.
    ///
    /// # Panics
    /// Where it does not listen within ten seconds.
    pub fn resume(&mut self) {
        if !self.server.start(nginx(self.dir.path())) {
            let log = std::fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default();
            panic!("nginx does not listen on port {}:\n{log}", self.server.port);
        }
    }
}

fn nginx(dir: &Path) -> Command {
    let mut command = Command::new(find("nginx").unwrap_or_else(|| "nginx".into()));
    command.arg("-p").arg(dir).args(["-e", "error.log", "-c", "nginx.conf"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

struct RtmpModule {
    /// `None` where it is compiled in.
    path: Option<PathBuf>,
}

fn rtmp_module() -> Option<RtmpModule> {
    let built = Command::new(find("nginx")?).arg("-V").output().ok()?;
    let flags = String::from_utf8_lossy(&built.stderr).into_owned();
    if flags.contains("--add-module") && flags.contains("rtmp") {
        return Some(RtmpModule { path: None });
    }
    let named = flags.split_whitespace().find_map(|f| f.strip_prefix("--modules-path=")).map(PathBuf::from);
    let places =
        named.into_iter().chain(["/usr/lib/nginx/modules".into(), "/usr/lib64/nginx/modules".into()]);
    let path = places.map(|dir| dir.join("ngx_rtmp_module.so")).find(|p| p.is_file())?;
    Some(RtmpModule { path: Some(path) })
}
