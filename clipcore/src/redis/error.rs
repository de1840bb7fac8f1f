use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};

use crate::{Error, ErrorKind};

/// Whether trying again within the call can help.
pub(super) fn passes(e: &RedisError) -> bool {
    use ServerErrorKind as Server;
    match e.kind() {
        Kind::Io if untrusted(&e.to_string()) => false,
        Kind::Io | Kind::Parse => true,
        Kind::Server(kind) => {
            matches!(kind, Server::BusyLoading | Server::TryAgain | Server::MasterDown | Server::ClusterDown)
        }
        _ => e.code() == Some("BUSY"),
    }
}

/// What rustls says of certificates that it refuses.
fn untrusted(text: &str) -> bool {
    text.contains("invalid peer certificate")
}

pub(super) fn late(server: &str) -> Error {
    Error::new(ErrorKind::Timeout, "Redis did not answer in time")
        .with_context("server", server)
        .with_hint("it may be overloaded or stopped; a longer timeout helps where its disk is slow")
}

/// redis-rs's error as one of clipcore's.
pub(crate) fn explain(e: &RedisError, server: &str) -> Error {
    use ServerErrorKind as Server;
    let text = e.to_string();
    let code = e.code().unwrap_or_default();
    let error = match e.kind() {
        Kind::Io if e.is_timeout() => return late(server),
        Kind::Io if untrusted(&text) => Error::config("the certificate of the Redis server is not trusted")
            .with_hint("name the authority that signed it: rediss://HOST?ssl_ca_certs=FILE; HOST must be a name that it has"),
        Kind::Io | Kind::Parse => Error::new(ErrorKind::Unavailable, "Redis cannot be reached")
            .with_hint("is it running there? `redis-cli -u URL ping` should answer PONG"),
        Kind::InvalidClientConfig => Error::config("this is not the address of a Redis server"),
        Kind::Server(Server::NoPerm) => {
            Error::config("Redis does not allow this user a command that is needed")
                .with_hint("give the user the commands and keys that the error names (ACL SETUSER)")
        }
        _ if e.kind() == Kind::AuthenticationFailed || matches!(code, "NOAUTH" | "WRONGPASS") => {
            Error::config("Redis refused user or password").with_hint(
                "put them into the URL: redis://user:password@host (redis://:password@host without a user)",
            )
        }
        Kind::Server(Server::Moved | Server::Ask | Server::CrossSlot) => Error::new(
            ErrorKind::Unsupported,
            "this server is part of a Redis Cluster, which clipcore cannot follow",
        )
        .with_hint("use a server of its own, or a proxy that speaks for the cluster"),
        Kind::Server(Server::ReadOnly) => {
            Error::new(ErrorKind::Unavailable, "this Redis server is a read-only replica")
                .with_hint("name the primary in the URL")
        }
        _ if code == "OOM" || text.contains("OOM command not allowed") => {
            Error::new(ErrorKind::DiskFull, "Redis has used up its memory (maxmemory)")
                .with_retryable(true)
                .with_hint("raise maxmemory, or let the log be trimmed (pipeline.log_retain)")
        }
        _ if code == "MISCONF" || text.contains("MISCONF") => {
            Error::new(ErrorKind::DiskFull, "Redis cannot write to its disk, and takes nothing in")
                .with_retryable(true)
                .with_hint("make room on its disk; its own log says more")
        }
        _ if passes(e) => Error::new(ErrorKind::Unavailable, "Redis is not ready yet"),
        _ if code == "WRONGTYPE" || text.contains("WRONGTYPE") => {
            Error::config("a key of that name in Redis holds something else")
                .with_hint("choose another prefix")
        }
        _ => Error::new(ErrorKind::Internal, "Redis refused a command"),
    };
    error.with_context("server", server).with_source(text)
}
