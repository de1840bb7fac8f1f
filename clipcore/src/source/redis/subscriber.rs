//! A subscription that is made again when it breaks.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use redis::Msg;
use redis::aio::{PubSubSink, PubSubStream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::jsonl::MAX_LINE;
use super::RedisSourceConfig;
use crate::clock::{SystemTimeSource, TimeSource};
use crate::event::{Incoming, Kinds, OWN};
use crate::redis::{Channels, RedisUrl, explain};
use crate::{Error, Result, StreamId};

/// Messages, and their bytes, that wait for whoever takes them; further ones are lost, as a slow subscriber's are.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 64 << 20;
/// How long connecting, subscribing or an answer to a ping may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it still lives.
const PING: Duration = Duration::from_secs(15);
/// The first pause before connecting again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What a subscriber hears.
#[derive(Debug)]
#[non_exhaustive]
pub enum Published {
    /// An event, filed under the stream of its channel where it names none itself.
    Event {
        /// The stream of the channel.
        stream: StreamId,
        /// The event.
        event: Incoming,
    },
    /// Something a person should know: the connection broke, messages were lost.
    Notice(String),
    /// A message that is no event.
    Bad(Arc<Error>),
}

/// Listens to the channels of many streams.
#[derive(Debug)]
pub struct RedisSubscriber {
    url: RedisUrl,
    channels: Channels,
    kinds: Kinds,
    only: Option<StreamId>,
}

/// Why a subscription ended.
enum End {
    Stopped,
    Broken(Error),
}

impl RedisSubscriber {
    /// Listens, once it runs, to every channel that `config` names.
    pub fn new(config: RedisSourceConfig, kinds: Kinds) -> Self {
        Self { url: config.url, channels: config.channels, kinds, only: None }
    }

    /// Listens to one stream's channel only.
    #[must_use]
    pub fn only(mut self, stream: &StreamId) -> Self {
        self.only = Some(stream.clone());
        self
    }

    /// Hands over what is published until `stop` is cancelled or nobody takes it any more.
    ///
    /// At most 4096 messages or 64 MiB wait for `out`; those that come while it is full are lost, and counted in a notice.
    ///
    /// # Errors
    /// `Config` where the server refuses user or password, or the user may not subscribe. Everything else passes.
    pub async fn run(self, out: mpsc::Sender<Published>, stop: &CancellationToken) -> Result<()> {
        let mut pause = PAUSES.0;
        let mut broken = false;
        loop {
            let connect = tokio::time::timeout(LIMIT, self.connect());
            let Some(connected) = stop.run_until_cancelled(connect).await else { return Ok(()) };
            let error = match connected {
                Ok(Ok(subscription)) => {
                    if broken && !say(&out, format!("connected to {} again", self.url)).await {
                        return Ok(());
                    }
                    pause = PAUSES.0;
                    match self.listen(subscription, &out, stop).await {
                        End::Stopped => return Ok(()),
                        End::Broken(error) => error,
                    }
                }
                Ok(Err(error)) if !error.is_retryable() => {
                    return Err(error.with_operation("redis::subscribe"));
                }
                Ok(Err(error)) => error,
                Err(_) => silent(&self.url),
            };
            if !broken || pause == PAUSES.0 {
                let text = format!("{error}; what is published before the connection is made again is lost");
                if !say(&out, text).await {
                    return Ok(());
                }
            }
            broken = true;
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Ok(());
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn connect(&self) -> Result<(PubSubSink, PubSubStream)> {
        let subscribe = async || {
            let mut pubsub =
                self.url.client(LIMIT)?.get_async_pubsub().await.map_err(|e| self.explain(&e))?;
            match &self.only {
                Some(stream) => pubsub.subscribe(self.channels.of(stream)).await,
                None => pubsub.psubscribe(self.channels.pattern()).await,
            }
            .map_err(|e| self.explain(&e))?;
            Ok(pubsub.split())
        };
        subscribe().await
    }

    fn explain(&self, e: &redis::RedisError) -> Error {
        explain(e, self.url.shown())
    }

    async fn listen(
        &self,
        (mut commands, mut messages): (PubSubSink, PubSubStream),
        out: &mpsc::Sender<Published>,
        stop: &CancellationToken,
    ) -> End {
        // The client's own queue has no bound, so it is emptied whatever happens behind it.
        let (tx, mut rx) = mpsc::channel::<Msg>(QUEUE);
        let (lost, waiting) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, bytes) = (lost.clone(), waiting.clone());
        let pump = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let size = message.get_payload_bytes().len();
                // Added first, so that it is never taken off before.
                let before = bytes.fetch_add(size, Ordering::Relaxed);
                if before + size > QUEUE_BYTES || tx.try_send(message).is_err() {
                    bytes.fetch_sub(size, Ordering::Relaxed);
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + PING, PING);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let hand_over = async {
            loop {
                let message = tokio::select! {
                    message = rx.recv() => message,
                    _ = pings.tick() => {
                        if !self.tell_lost(&lost, out).await {
                            return End::Stopped;
                        }
                        match tokio::time::timeout(LIMIT, commands.ping::<redis::Value>()).await {
                            Ok(Ok(_)) => continue,
                            Ok(Err(e)) => return End::Broken(self.explain(&e)),
                            Err(_) => return End::Broken(silent(&self.url)),
                        }
                    }
                };
                let Some(message) = message else {
                    return End::Broken(
                        Error::new(crate::ErrorKind::Unavailable, "lost the connection to Redis")
                            .with_context("server", &self.url),
                    );
                };
                waiting.fetch_sub(message.get_payload_bytes().len(), Ordering::Relaxed);
                if !self.tell_lost(&lost, out).await {
                    return End::Stopped;
                }
                if let Some(published) = self.read(message.get_channel_name(), message.get_payload_bytes())
                    && out.send(published).await.is_err()
                {
                    return End::Stopped;
                }
            }
        };
        let end = stop.run_until_cancelled(hand_over).await.unwrap_or(End::Stopped);
        pump.abort();
        end
    }

    /// Says how many messages found no room since it was last said; whether somebody still listens.
    async fn tell_lost(&self, lost: &AtomicU64, out: &mpsc::Sender<Published>) -> bool {
        match lost.swap(0, Ordering::Relaxed) {
            0 => true,
            lost => {
                say(out, format!("{lost} messages from {} were lost: the pipeline is behind", self.url)).await
            }
        }
    }

    /// What a message on a channel says; nothing where clipcore published it.
    pub fn read(&self, channel: &str, json: &[u8]) -> Option<Published> {
        let bad = |e: Error| {
            Some(Published::Bad(Arc::new(e.with_context("channel", crate::ids::shorten(channel)))))
        };
        let Some(stream) = self.channels.stream(channel) else {
            return bad(Error::invalid("the channel's name holds no stream id"));
        };
        if json.len() > MAX_LINE {
            return bad(Error::invalid(format!("a message is longer than {MAX_LINE} bytes")));
        }
        if is_own(json) {
            return None;
        }
        match self.kinds.parse(json) {
            Ok(event) => {
                let event =
                    event.with_default_stream(&stream).with_default_time(SystemTimeSource::new().wall());
                Some(Published::Event { stream, event })
            }
            Err(e) => bad(e),
        }
    }
}

/// Whether clipcore published this message itself.
fn is_own(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Mark<'a> {
        #[serde(borrow, default)]
        r#type: Cow<'a, str>,
        clipcore: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Mark<'_>>(json).is_ok_and(|m| m.clipcore.is_some() || m.r#type.starts_with(OWN))
}

fn silent(url: &RedisUrl) -> Error {
    Error::new(crate::ErrorKind::Timeout, "Redis does not answer").with_context("server", url)
}

/// Whether somebody still listens.
async fn say(out: &mpsc::Sender<Published>, text: String) -> bool {
    out.send(Published::Notice(text)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_messages_are_told_from_others() {
        for (json, own) in [
            (r#"{"type":"clipcore.moment","data":{}}"#, true),
            (r#"{"type":"chat.message","clipcore":"1-0","data":{}}"#, true),
            (r#"{"type":"chat.message","data":{"clipcore":1}}"#, false),
            (r#"{"type":"chat.message","source":"clipcore","data":{}}"#, false),
            ("nonsense", false),
        ] {
            assert_eq!(is_own(json.as_bytes()), own, "{json}");
        }
    }
}
