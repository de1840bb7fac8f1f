use std::sync::Arc;

use clipcore::Result;
use clipcore::event::Kinds;
use clipcore::host::{RedisStreams, StreamStore};
use clipcore::log::EventLog;
use clipcore::log::redis::{RedisLog, RedisLogConfig};
use clipcore::redis::RedisUrl;

use super::SharedConfig;

pub(super) async fn log(
    shared: &SharedConfig,
    url: &RedisUrl,
    name: &str,
    kinds: &Kinds,
) -> Result<Arc<dyn EventLog>> {
    let config = RedisLogConfig {
        url: url.clone(),
        prefix: format!("{}:{name}", shared.prefix),
        partitions: shared.partitions,
        durability: shared.durability,
        timeout: shared.timeout,
        ..RedisLogConfig::default()
    };
    Ok(Arc::new(RedisLog::open(config, kinds.clone()).await?))
}

pub(super) fn streams(shared: &SharedConfig, url: &RedisUrl) -> Result<Arc<dyn StreamStore>> {
    Ok(Arc::new(RedisStreams::new(url, &shared.prefix, shared.timeout)?))
}
