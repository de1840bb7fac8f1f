use std::sync::Arc;

use clipcore::event::Kinds;
use clipcore::host::KafkaStreams;
use clipcore::log::{EventLog, KafkaLog, KafkaLogConfig};
use clipcore::{Error, Result};

use super::{Shared, SharedConfig};

pub(super) async fn open(shared: &SharedConfig, brokers: &str, kinds: &Kinds) -> Result<Shared> {
    let config = KafkaLogConfig {
        brokers: brokers.to_owned(),
        prefix: shared.prefix.clone(),
        partitions: shared.partitions,
        replication: shared.kafka.replication,
        timeout: shared.timeout,
        settings: shared.kafka.settings.clone(),
        ..KafkaLogConfig::default()
    };
    let log = async |name: &str| {
        let config = KafkaLogConfig { prefix: format!("{}.{name}", shared.prefix), ..config.clone() };
        Ok::<Arc<dyn EventLog>, Error>(Arc::new(KafkaLog::open(config, kinds.clone()).await?))
    };
    let (inbox, log, offsets) = (log("inbox").await?, log("log").await?, log("offsets").await?);
    Ok(Shared { inbox, log, offsets, streams: Arc::new(KafkaStreams::open(config).await?), turn: None })
}
