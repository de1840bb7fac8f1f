//! Whether the server keeps what it acknowledges.

use std::collections::HashMap;

use redis::FromRedisValue;
use serde::{Deserialize, Serialize};

use crate::redis::Connection;
use crate::{Error, Result};

/// What a server's append-only file must be set to before a log on it is opened.
///
/// | | a crash of Redis | a crash of the machine, a power failure |
/// |---|---|---|
/// | `always` (`appendonly yes`, `appendfsync always`) | nothing lost | nothing lost |
/// | `everysec` (`appendonly yes`, `appendfsync everysec`) | nothing lost, up to two seconds while the disk is slow | up to two seconds lost |
/// | `any` | what the server keeps | what the server keeps |
///
/// With either of the first two, a server that drops keys when its memory is full (`maxmemory-policy allkeys-…`) is refused too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisDurability {
    /// Redis answers after it has synced. The default.
    #[default]
    Always,
    /// Redis syncs once a second.
    EverySec,
    /// Whatever the server does; for tests, and for servers that do not tell.
    Any,
}

/// Refuses a server whose settings would lose acknowledged records.
///
/// # Errors
/// `Config`, naming the setting; `Unavailable` where the server cannot be reached.
pub(super) async fn check(connection: &Connection, wanted: RedisDurability) -> Result<()> {
    if wanted == RedisDurability::Any {
        return Ok(());
    }
    let mut found = HashMap::new();
    for pattern in ["append*", "maxmemory*"] {
        match connection.query::<redis::Value>(redis::cmd("CONFIG").arg("GET").arg(pattern)).await {
            Ok(value) => found.extend(HashMap::<String, String>::from_redis_value(value).unwrap_or_default()),
            Err(e) if e.is_retryable() => return Err(e),
            Err(e) => {
                return Err(Error::config("Redis does not say whether it is durable (CONFIG GET is not allowed)")
                    .with_context("server", connection.url())
                    .with_source(e)
                    .with_hint("see to it that it has appendonly yes and appendfsync always, then set durability = \"any\""));
            }
        }
    }
    let get = |name: &str| found.get(name).map_or("", String::as_str);
    let refused = |why: String, set: &str| {
        Err(Error::config(format!("this Redis would lose acknowledged records: {why}"))
            .with_context("server", connection.url())
            .with_hint(format!(
                "set `{set}` in redis.conf or with CONFIG SET, or durability = \"any\" where they may be lost"
            )))
    };
    if get("appendonly") != "yes" {
        return refused("it has no append-only file (appendonly no)".to_owned(), "appendonly yes");
    }
    if get("maxmemory-policy").starts_with("allkeys") && get("maxmemory") != "0" {
        let why =
            format!("it drops keys when its memory is full (maxmemory-policy {})", get("maxmemory-policy"));
        return refused(why, "maxmemory-policy noeviction");
    }
    let needs = if wanted == RedisDurability::Always { "always" } else { "everysec" };
    match get("appendfsync") {
        "always" => Ok(()),
        "everysec" if wanted == RedisDurability::EverySec => Ok(()),
        other => refused(format!("appendfsync is {other}"), &format!("appendfsync {needs}")),
    }
}
