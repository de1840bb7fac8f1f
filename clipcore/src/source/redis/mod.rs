//! Events from Redis pub/sub, as the usual scaffold publishes them on `live:{stream_id}`.
//!
//! A message is one JSON event: CloudEvents or the short form, older names included (see [`event`](crate::event)). One that
//! says neither `at` nor `time` is of the instant at which it arrived. Messages that clipcore published itself, known
//! by [`OWN_MEMBER`] or by a type that begins with `clipcore.`, are passed over, so that programs which publish where they
//! subscribe do not hear themselves.
//!
//! Pub/sub is at most once: what is published while nobody is connected is lost, and a notice says that this may have
//! happened. Producers that must lose nothing post to the gateway or append to a log.

mod subscriber;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
pub use subscriber::{Published, RedisSubscriber};
use tokio::sync::mpsc;

use super::{Item, Source, SourceOutput};
use crate::event::Kinds;
use crate::redis::{Channels, RedisUrl};
use crate::{Result, StreamId, Timestamp};

/// The CloudEvents extension that messages of clipcore's own carry.
pub const OWN_MEMBER: &str = "clipcore";

/// Where events are published.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSourceConfig {
    /// The server.
    pub url: RedisUrl,
    /// The channels' names.
    pub channels: Channels,
}

/// Feeds a stream with what is published on its channel; see the [module](self).
///
/// A lost connection is made again, with growing pauses; a notice says so.
#[derive(Debug)]
pub struct RedisSource {
    subscriber: RedisSubscriber,
    channels: Channels,
    name: String,
}

impl RedisSource {
    /// Subscribes, once it runs, to the stream's channel.
    pub fn new(config: RedisSourceConfig, kinds: Kinds) -> Self {
        let name = format!("{} {}", config.url, config.channels);
        Self { channels: config.channels.clone(), subscriber: RedisSubscriber::new(config, kinds), name }
    }
}

#[async_trait]
impl Source for RedisSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let (tx, mut rx) = mpsc::channel(1);
        let stream: &StreamId = out.stream();
        let subscriber = self.subscriber.only(stream);
        tracing::debug!(channel = self.channels.of(stream), "subscribing");
        let forward = async {
            while let Some(published) = rx.recv().await {
                out.send(item(published)).await?;
            }
            Ok(())
        };
        // Whichever ends, ends both: the queue between them closes.
        let (ran, forwarded) = futures::join!(subscriber.run(tx, out.stop()), forward);
        forwarded.and(ran)
    }
}

fn item(published: Published) -> Item {
    match published {
        Published::Event { event, .. } if event.at().is_some() || event.time().is_none() => {
            match event.resolve(&mut |_| None) {
                Ok(event) => Item::Event(event),
                Err(error) => Item::Bad(error.into()),
            }
        }
        Published::Event { event, .. } => match event.clone().resolve(&mut |_| Some(Timestamp::ZERO)) {
            Ok(_) => Item::Incoming(event),
            Err(error) => Item::Bad(error.into()),
        },
        Published::Notice(text) => Item::Notice(text),
        Published::Bad(error) => Item::Bad(error),
    }
}
