use std::sync::Arc;

use clipcore::event::Kinds;
use clipcore::host::RedisStreams;
use clipcore::log::EventLog;
use clipcore::log::redis::{RedisLog, RedisLogConfig};
use clipcore::redis::RedisUrl;
use clipcore::{Error, Result};

use super::{Shared, SharedConfig};

pub(super) async fn open(shared: &SharedConfig, url: &RedisUrl, kinds: &Kinds) -> Result<Shared> {
    let log = async |name: &str, partitions: u32| {
        let config = RedisLogConfig {
            url: url.clone(),
            prefix: format!("{}:{name}", shared.prefix),
            partitions,
            durability: shared.durability,
            timeout: shared.timeout,
            ..RedisLogConfig::default()
        };
        Ok::<Arc<dyn EventLog>, Error>(Arc::new(RedisLog::open(config, kinds.clone()).await?))
    };
    Ok(Shared {
        inbox: log("inbox", shared.partitions).await?,
        log: log("log", shared.partitions).await?,
        offsets: log("offsets", shared.partitions).await?,
        turn: Some(log("expiry", 1).await?),
        streams: Arc::new(RedisStreams::new(url, &shared.prefix, shared.timeout)?),
    })
}
