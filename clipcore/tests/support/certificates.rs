//! Certificates that nobody else knows, made by openssl.

use std::path::Path;
use std::process::Command;

use super::programs::{find, run};

fn openssl(dir: &Path, args: &str) {
    let mut command = Command::new(find("openssl").expect("checked"));
    run(command.current_dir(dir).args(args.split(' ')));
}

/// An authority (`ca.crt`), and what it signed for `localhost`: `server.crt` and `client.crt`, with their keys.
///
/// # Panics
/// Where openssl fails.
pub fn certificates(dir: &Path) {
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority");
    std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost").expect("a folder");
    for name in ["server", "client"] {
        openssl(
            dir,
            &format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        );
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {name}.crt -days 2 -extfile names"
            ),
        );
    }
}
