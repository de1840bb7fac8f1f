//! Settings of clients, topics, and errors.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::FutureProducer;
use rdkafka::{ClientConfig, ClientContext};

use super::KafkaLogConfig;
use crate::{Error, ErrorKind, Result};

/// The longest message: a call's records go in one, as far as they fit.
pub(super) const MESSAGE_BYTES: usize = 16 << 20;

/// The segments of compacted topics.
const COMPACTED_SEGMENT: &str = "33554432";

/// What librdkafka says is for those who look for a fault: what matters comes as the error of a call, too.
#[derive(Debug)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ConsumerContext for Quiet {}

pub(super) type PartitionConsumer = BaseConsumer<Quiet>;
pub(crate) type Producer = FutureProducer<Quiet>;

pub(crate) fn producer(config: &KafkaLogConfig, client: &mut ClientConfig) -> Result<Producer> {
    client
        .set("message.timeout.ms", config.timeout.as_millis().to_string())
        .set("linger.ms", "0")
        .create_with_context(Quiet)
        .map_err(|e| explain(&e, config))
}

/// What all clients are told.
pub(crate) fn settings(config: &KafkaLogConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    let millis = |duration: Duration| duration.as_millis().to_string();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", "clipcore")
        .set("message.max.bytes", (MESSAGE_BYTES + (1 << 20)).to_string())
        .set("socket.timeout.ms", millis(config.timeout / 2))
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "200");
    for (key, value) in &config.settings {
        client.set(key, value);
    }
    client
}

pub(super) fn consumer(config: &KafkaLogConfig) -> Result<PartitionConsumer> {
    settings(config)
        .set("isolation.level", "read_committed")
        .set("group.id", format!("{}-reader", config.prefix))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        // Whoever reads at the end is told so at once.
        .set("fetch.wait.max.ms", "10")
        .set("fetch.error.backoff.ms", "20")
        .set("queued.max.messages.kbytes", "16384")
        .create_with_context(Quiet)
        .map_err(|e| explain(&e, config))
}

/// A client that makes topics and deletes records.
pub(super) struct Admin(AdminClient<Quiet>);

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

impl std::ops::Deref for Admin {
    type Target = AdminClient<Quiet>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

pub(super) fn admin(config: &KafkaLogConfig) -> Result<Admin> {
    settings(config).create_with_context(Quiet).map(Admin).map_err(|e| explain(&e, config))
}

/// Makes topics (name, clean-up policy, partitions) where they are missing; gives how many partitions each has.
pub(crate) async fn topics(config: &KafkaLogConfig, wanted: &[(String, &str, u32)]) -> Result<Vec<u32>> {
    let admin = admin(config)?;
    let replicas = if config.replication == 0 { -1 } else { i32::from(config.replication) };
    let longest = MESSAGE_BYTES.to_string();
    let topics = wanted.iter().map(|(name, policy, partitions)| {
        let topic = NewTopic::new(name, *partitions as i32, TopicReplication::Fixed(replicas))
            .set("cleanup.policy", policy)
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("max.message.bytes", &longest);
        match *policy {
            // What was replaced goes only once its segment is closed, and whoever opens the topic reads all of it.
            "compact" => topic
                .set("segment.bytes", COMPACTED_SEGMENT)
                .set("segment.ms", "600000")
                .set("min.cleanable.dirty.ratio", "0.2"),
            _ => topic,
        }
    });
    let topics: Vec<_> = topics.collect();
    let options =
        AdminOptions::new().request_timeout(Some(config.timeout)).operation_timeout(Some(config.timeout));
    let made = admin.create_topics(&topics, &options).await.map_err(|e| explain(&e, config))?;
    for result in made {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(explain(&KafkaError::AdminOp(code), config).with_context("topic", topic));
            }
        }
    }
    let config = config.clone();
    let names: Vec<String> = wanted.iter().map(|(name, ..)| name.clone()).collect();
    crate::durable::blocking(move || {
        let consumer = consumer(&config)?;
        names.iter().map(|topic| count(&consumer, topic, &config)).collect()
    })
    .await
}

/// How many partitions a topic has.
fn count(consumer: &PartitionConsumer, topic: &str, config: &KafkaLogConfig) -> Result<u32> {
    // One that was made a moment ago may not be known everywhere yet.
    for _ in 0..100 {
        let metadata = consumer
            .fetch_metadata(Some(topic), config.timeout)
            .map_err(|e| explain(&e, config).with_context("topic", topic))?;
        match metadata.topics().first() {
            Some(found) if !found.partitions().is_empty() && found.error().is_none() => {
                return Ok(found.partitions().len() as u32);
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Err(Error::new(ErrorKind::Unavailable, "Kafka does not know the topic yet").with_context("topic", topic))
}

/// rdkafka's error as one of clipcore's.
pub(crate) fn explain(e: &KafkaError, config: &KafkaLogConfig) -> Error {
    let code = match e {
        KafkaError::Transaction(e) => Some(e.code()),
        KafkaError::AdminOp(code) => Some(*code),
        e => e.rdkafka_error_code(),
    };
    let error = match code {
        Some(Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut | Code::TimedOutQueue) => {
            Error::new(ErrorKind::Timeout, "Kafka did not answer in time")
                .with_hint("are the brokers running and reachable under the names that they advertise?")
        }
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::DestroyBroker
            | Code::Resolve
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NetworkException
            | Code::ConcurrentTransactions
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::InProgress
            | Code::PurgeInflight
            | Code::PurgeQueue
            | Code::Retry,
        ) => Error::new(ErrorKind::Unavailable, "Kafka cannot be reached, or is not ready")
            .with_hint("are the brokers running and reachable under the names that they advertise?"),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => {
            Error::invalid("this message is too long for Kafka")
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed,
        ) => Error::config("Kafka does not allow this client what it needs")
            .with_hint("it reads, writes, makes and trims the topics PREFIX.log and PREFIX.checkpoints, with transactions"),
        _ if matches!(e, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) => {
            let error = Error::config("the settings for Kafka are wrong");
            match cfg!(feature = "kafka-tls") || !e.to_string().contains("not available at build time") {
                true => error,
                false => error.with_hint("TLS and SASL/SCRAM need clipcore built with --features kafka-tls"),
            }
        }
        _ => Error::new(ErrorKind::Unavailable, "Kafka refused a request"),
    };
    error.with_context("brokers", &config.brokers).with_source(e.to_string())
}
