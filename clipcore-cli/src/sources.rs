//! Sources of events beside the inputs, as the configuration says.

use std::time::Duration;

use clipcore::event::{Incoming, Kinds};
use clipcore::host::Host;
use clipcore::pipeline::StreamSpec;
use clipcore::source::redis::{Published, RedisSubscriber};
use clipcore::source::{RedisSource, RedisSourceConfig};
use clipcore::{Result, StreamId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Events of one stream that go into the inbox together.
const BATCH: usize = 256;
/// The pause before a full inbox is asked again.
const PAUSE: Duration = Duration::from_millis(200);

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

/// Listens to the channels of all streams until `stop`, and puts what is heard into the host's inbox, from where on
/// nothing is lost. `tell` is given what a person should know. Must be called on a tokio runtime.
pub fn listen(
    config: &SourcesConfig,
    host: &Host,
    stop: &CancellationToken,
    tell: impl Fn(&str) + Send + Sync + 'static,
) -> JoinHandle<Result<()>> {
    let (config, host, stop) = (config.clone(), host.clone(), stop.clone());
    tokio::spawn(async move {
        let Some(redis) = config.redis else { return Ok(()) };
        let (tx, mut rx) = mpsc::channel(BATCH);
        let subscriber = RedisSubscriber::new(redis, Kinds::builtin());
        let take = async {
            let mut heard = Vec::new();
            while rx.recv_many(&mut heard, BATCH).await > 0 {
                for (stream, events) in batches(heard.drain(..), &tell) {
                    accept(&host, &stream, events, &stop, &tell).await;
                }
            }
        };
        let (ran, ()) = futures::join!(subscriber.run(tx, &stop), take);
        if let Err(e) = &ran {
            tell(&format!("nothing is taken from Redis: {e}"));
        }
        ran
    })
}

/// Neighbours of one stream together, in order.
fn batches(
    heard: impl Iterator<Item = Published>,
    tell: &(impl Fn(&str) + Sync),
) -> Vec<(StreamId, Vec<Incoming>)> {
    let mut batches: Vec<(StreamId, Vec<Incoming>)> = Vec::new();
    for published in heard {
        match published {
            Published::Event { stream, event } => match batches.last_mut() {
                Some((last, events)) if *last == stream => events.push(event),
                _ => batches.push((stream, vec![event])),
            },
            Published::Notice(text) => tell(&text),
            Published::Bad(error) => tell(&error.to_string()),
            _ => {}
        }
    }
    batches
}

/// Waits while the inbox is full: meanwhile the subscriber counts what it loses.
async fn accept(
    host: &Host,
    stream: &StreamId,
    events: Vec<Incoming>,
    stop: &CancellationToken,
    tell: &(impl Fn(&str) + Sync),
) {
    loop {
        match host.accept(stream, events.clone()).await {
            Ok(refused) => {
                for error in refused.into_iter().flatten() {
                    tell(&format!("{stream}: {error}"));
                }
                return;
            }
            Err(e) if e.is_retryable() => {
                if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                    return;
                }
            }
            Err(e) => {
                return tell(&format!("{stream}: {} published events are not taken: {e}", events.len()));
            }
        }
    }
}
