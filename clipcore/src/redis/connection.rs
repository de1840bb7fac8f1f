use std::fmt;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, ErrorKind as Kind, FromRedisValue, ServerErrorKind};

use super::RedisUrl;
use super::error::{explain, late, passes};
use crate::{Error, Result};

/// The first pause before a call is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

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
