use std::sync::Arc;

use clipcore::Result;
use clipcore::event::Kinds;
use clipcore::host::{KafkaStreams, StreamStore};
use clipcore::log::{EventLog, KafkaLog, KafkaLogConfig};

use super::SharedConfig;

pub(super) async fn log(
    shared: &SharedConfig,
    brokers: &str,
    name: &str,
    kinds: &Kinds,
) -> Result<Arc<dyn EventLog>> {
    let config = config(shared, brokers);
    let config = KafkaLogConfig { prefix: format!("{}.{name}", shared.prefix), ..config };
    Ok(Arc::new(KafkaLog::open(config, kinds.clone()).await?))
}

pub(super) async fn streams(shared: &SharedConfig, brokers: &str) -> Result<Arc<dyn StreamStore>> {
    Ok(Arc::new(KafkaStreams::open(config(shared, brokers)).await?))
}

fn config(shared: &SharedConfig, brokers: &str) -> KafkaLogConfig {
    KafkaLogConfig {
        brokers: brokers.to_owned(),
        prefix: shared.prefix.clone(),
        partitions: shared.partitions,
        replication: shared.kafka.replication,
        timeout: shared.timeout,
        settings: shared.kafka.settings.clone(),
        ..KafkaLogConfig::default()
    }
}
