//! Connections under TLS.

use redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};

use super::explain;
use crate::{Error, Result};

/// A client for `info`, with the certificates that the query of `url` names.
pub(super) fn client(info: ConnectionInfo, url: &str, shown: &str) -> Result<Client> {
    if CryptoProvider::get_default().is_none() {
        // Where another thread was quicker, that one is as good.
        let _ = ring::default_provider().install_default();
    }
    let file = |name: &'static str| option(url, name).map(|path| read(name, &path)).transpose();
    let root_cert = file("ssl_ca_certs")?;
    let client_tls = match (file("ssl_certfile")?, file("ssl_keyfile")?) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        _ => {
            return Err(Error::config("a certificate for Redis needs its key, and the key its certificate")
                .with_hint("give both: ssl_certfile=FILE&ssl_keyfile=FILE"));
        }
    };
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert }).map_err(|e| explain(&e, shown))
}

/// What the query of the URL says under this name.
fn option(url: &str, name: &str) -> Option<String> {
    let url = redis::parse_redis_url(url)?;
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn read(name: &'static str, path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        Error::config("a file of certificates for Redis cannot be read")
            .with_context(name, path)
            .with_source(e)
            .with_hint("it is named in the query of the URL; its form is PEM")
    })
}
