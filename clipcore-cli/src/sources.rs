//! Sources of events beside the inputs, as the configuration says.

use clipcore::event::Kinds;
use clipcore::pipeline::StreamSpec;
use clipcore::source::{RedisSource, RedisSourceConfig};
use serde::{Deserialize, Serialize};

/// Where events come from beside the inputs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourcesConfig {
    /// What is published on a stream's Redis channel; the stream's id says which that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSourceConfig>,
}

/// A stream with the configured sources. They end with its media.
pub fn add(config: &SourcesConfig, spec: StreamSpec) -> StreamSpec {
    match &config.redis {
        Some(redis) => spec.with_source(RedisSource::new(redis.clone(), Kinds::builtin())),
        None => spec,
    }
}
