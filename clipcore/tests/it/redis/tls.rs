use std::path::Path;
use std::process::Command;

use clipcore::ErrorKind;
use clipcore::conformance::log as kit;
use clipcore::event::Kinds;
use clipcore::log::{EventLog, RedisLog, RedisLogConfig};

use crate::support::programs::{find, require, run};
use crate::support::redis::Redis;

fn openssl(dir: &Path, args: &str) {
    let mut command = Command::new(find("openssl").expect("checked"));
    run(command.current_dir(dir).args(args.split(' ')));
}

/// An authority, and what it signed: for the server, and for a client.
fn certificates(dir: &Path) {
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=authority");
    std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost").unwrap();
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

async fn open(url: &str) -> clipcore::Result<RedisLog> {
    let config = RedisLogConfig {
        url: url.parse()?,
        timeout: std::time::Duration::from_secs(5),
        ..RedisLogConfig::default()
    };
    RedisLog::open(config, Kinds::builtin()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_spoken_to_under_tls_where_its_certificate_is_good() {
    if !require("redis::tls", &["openssl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    certificates(dir);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [ca, crt, key] =
        ["ca.crt", "server.crt", "server.key"].map(|name| dir.join(name).display().to_string());
    let port_text = port.to_string();
    let args = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--tls-port",
        &port_text,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &crt,
        "--tls-key-file",
        &key,
    ];
    let Some(_redis) = Redis::start_with("redis::tls", &args) else { return };
    let server = format!("rediss://localhost:{port}");
    let file = |name: &str| dir.join(name).display().to_string();

    let strange = open(&server).await.unwrap_err();
    assert_eq!(strange.kind(), ErrorKind::Config, "{strange}");
    assert!(strange.to_string().contains("certificate") && !strange.is_retryable(), "{strange}");
    let trusting = format!("{server}?ssl_ca_certs={}", file("ca.crt"));
    // This server wants to know who asks.
    assert!(open(&trusting).await.is_err());
    let known = format!("{trusting}&ssl_certfile={}&ssl_keyfile={}", file("client.crt"), file("client.key"));
    let log = open(&known).await.unwrap();
    log.append(0, &[kit::marker("under TLS")]).await.unwrap();
    assert_eq!(log.read(0, 0, 10).await.unwrap().len(), 1);

    let elsewhere = known.replace("localhost", "127.0.0.1");
    let elsewhere = open(&elsewhere).await.unwrap_err();
    assert!(elsewhere.to_string().contains("a name that it has"), "{elsewhere}");
    let missing = open(&format!("{server}?ssl_ca_certs={}", file("none"))).await.unwrap_err();
    assert!(missing.to_string().contains("ssl_ca_certs"), "{missing}");
}
