//! The way to a Redis server that log, source and sinks share: no call waits for ever, and errors say what to do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, ErrorKind as Kind, FromRedisValue, IntoConnectionInfo, RedisError, ServerErrorKind,
};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// The first pause before a call is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Where a Redis server is: `redis://[[user]:password@]host[:port][/database]` or `redis+unix:///path?db=0`.
///
/// Its password is shown neither in messages nor by `Debug`; it is written when the URL is serialised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedisUrl {
    url: String,
    shown: Arc<str>,
}

impl RedisUrl {
    /// The server without user and password, as messages name it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// A client that sends small commands at once instead of collecting them (Nagle's algorithm, on by default in
    /// redis-rs 1), and that notices within `limit` when the other side does not acknowledge what was sent.
    pub(crate) fn client(&self, limit: Duration) -> Result<Client> {
        let tcp = TcpSettings::default().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(limit);
        #[cfg(not(target_os = "linux"))]
        let _ = limit;
        let info = self.url.as_str().into_connection_info();
        let client = info.and_then(|info| Client::open(info.set_tcp_settings(tcp)));
        client.map_err(|e| explain(&e, &self.shown))
    }
}

impl FromStr for RedisUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self> {
        let wrong = |why: String| {
            Error::config(format!("this is not the address of a Redis server: {why}")).with_hint(
                "it looks like redis://localhost:6379/0, with a password redis://:secret@localhost",
            )
        };
        if url.starts_with("rediss:") {
            return Err(wrong("TLS is not built in".to_owned())
                .with_hint("use redis:// through a tunnel (stunnel, spiped) or in a private network"));
        }
        let info = url.into_connection_info().map_err(|e| wrong(e.to_string()))?;
        let database = info.redis_settings().db();
        let shown = match database {
            0 => format!("redis://{}", info.addr()),
            _ => format!("redis://{}/{database}", info.addr()),
        };
        Ok(Self { url: url.to_owned(), shown: shown.into() })
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = Error;

    fn try_from(url: String) -> Result<Self> {
        url.parse()
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.url
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.shown).finish()
    }
}

/// A server at its usual place on this machine.
impl Default for RedisUrl {
    fn default() -> Self {
        Self { url: "redis://127.0.0.1:6379".to_owned(), shown: "redis://127.0.0.1:6379".into() }
    }
}

/// A Lua script that the server keeps under its hash.
#[derive(Debug)]
pub(crate) struct Lua {
    code: &'static str,
    hash: String,
}

impl Lua {
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call with its keys; arguments are added to it.
    pub(crate) fn call(&self, keys: &[&str]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(keys.len()).arg(keys);
        cmd
    }
}

/// A connection that mends itself. Clones share it.
///
/// Commands are tried again until they are answered or the time is up, so only such may be sent as do no harm when
/// they are run twice.
#[derive(Clone)]
pub(crate) struct Connection {
    manager: ConnectionManager,
    url: RedisUrl,
    timeout: Duration,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Connection {
    /// Prepares a connection that is made with the first call; a call takes at most `timeout` in all. Must be called on a
    /// tokio runtime.
    pub(crate) fn new(url: &RedisUrl, timeout: Duration) -> Result<Self> {
        if timeout.is_zero() {
            return Err(Error::config("timeout is 0").with_hint("give Redis some seconds to answer"));
        }
        let attempt = timeout / 2;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(attempt))
            .set_response_timeout(Some(attempt))
            .set_number_of_retries(0);
        let manager = ConnectionManager::new_lazy_with_config(url.client(attempt)?, config)
            .map_err(|e| explain(&e, url.shown()))?;
        Ok(Self { manager, url: url.clone(), timeout })
    }

    pub(crate) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Runs a command.
    pub(crate) async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T> {
        self.answered(cmd, None).await
    }

    /// Runs a [call](Lua::call) of `script`, which the server is given where it lacks it.
    pub(crate) async fn run<T: FromRedisValue>(&self, script: &Lua, call: &Cmd) -> Result<T> {
        self.answered(call, Some(script)).await
    }

    async fn answered<T: FromRedisValue>(&self, cmd: &Cmd, script: Option<&Lua>) -> Result<T> {
        let mut last = None;
        let work = async {
            let mut manager = self.manager.clone();
            let mut pause = PAUSES.0;
            loop {
                match cmd.query_async(&mut manager).await {
                    Err(e) if e.kind() == Kind::Server(ServerErrorKind::NoScript) => {
                        let Some(script) = script else { return Err(e) };
                        let load = redis::cmd("SCRIPT").arg("LOAD").arg(script.code).to_owned();
                        match load.query_async::<()>(&mut manager).await {
                            Err(e) if !passes(&e) => return Err(e),
                            _ => continue,
                        }
                    }
                    Err(e) if passes(&e) => last = Some(e),
                    result => return result,
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(explain(&e, self.url.shown())),
            Err(_) => Err(match last {
                Some(e) => explain(&e, self.url.shown()),
                None => late(self.url.shown()),
            }),
        }
    }
}

/// Whether trying again within the call can help.
fn passes(e: &RedisError) -> bool {
    use ServerErrorKind as Server;
    match e.kind() {
        Kind::Io | Kind::Parse => true,
        Kind::Server(kind) => {
            matches!(kind, Server::BusyLoading | Server::TryAgain | Server::MasterDown | Server::ClusterDown)
        }
        _ => e.code() == Some("BUSY"),
    }
}

fn late(server: &str) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let url: RedisUrl = "redis://bob:hush@example.org:7000/3".parse().unwrap();
        assert_eq!(url.to_string(), "redis://example.org:7000/3");
        assert!(!format!("{url:?}").contains("hush"));
        assert_eq!(String::from(url), "redis://bob:hush@example.org:7000/3");
    }

    #[test]
    fn wrong_addresses_say_what_a_right_one_looks_like() {
        for wrong in
            ["", "localhost", "http://localhost", "redis://:x", "rediss://localhost", "redis://h:99999"]
        {
            let err = wrong.parse::<RedisUrl>().unwrap_err();
            assert_eq!(err.kind(), ErrorKind::Config, "{wrong}");
            assert!(err.to_string().contains("redis://"), "{err}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_within_the_timeout() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url: RedisUrl = format!("redis://:hush@127.0.0.1:{port}").parse().unwrap();
        let connection = Connection::new(&url, Duration::from_millis(200)).unwrap();
        let err = connection.query::<()>(&redis::cmd("PING")).await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Unavailable);
        assert!(err.is_retryable());
        let text = err.to_string();
        assert!(text.contains(&port.to_string()) && !text.contains("hush"), "{text}");
    }
}
