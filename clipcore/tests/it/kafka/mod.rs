//! The log in Kafka, against a real broker: its contract, lost answers, a broker that is killed. Few tests, since a
//! broker takes seconds to start.

#[cfg(feature = "kafka-tls")]
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clipcore::conformance::log as kit;
use clipcore::event::Kinds;
use clipcore::host::{KafkaStreams, Known, StreamSettings, StreamState, StreamStore};
use clipcore::log::{Checkpoint, EventLog, KafkaLog, KafkaLogConfig};
use clipcore::{ErrorKind, Result, StreamId};
use serde_json::json;

use crate::log_writers::Writers;
use crate::support::kafka::Kafka;

async fn open(config: &KafkaLogConfig) -> Result<KafkaLog> {
    KafkaLog::open(config.clone(), Kinds::builtin()).await
}

fn config(kafka: &Kafka, prefix: &str) -> KafkaLogConfig {
    KafkaLogConfig { brokers: kafka.brokers(), prefix: prefix.to_owned(), ..KafkaLogConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(kafka) = Kafka::start("kafka::conforms") else { return };
    let number = AtomicU32::new(0);
    let fresh = || format!("fresh{}", number.fetch_add(1, Ordering::Relaxed));
    let make = async || open(&KafkaLogConfig { partitions: 2, ..config(&kafka, &fresh()) }).await;
    let (reopened, shared) = (config(&kafka, "reopened"), config(&kafka, "shared"));
    let claimed = config(&kafka, "claimed");
    futures::join!(
        kit::log(make),
        kit::log_reopened(async || open(&reopened).await),
        kit::log_shared(async || open(&shared).await),
        kit::log_claimed(async || open(&claimed).await, Duration::from_millis(1500), tokio::time::sleep),
        streams_are_the_same_everywhere(&kafka),
    );
}

async fn streams_are_the_same_everywhere(kafka: &Kafka) {
    let open = async || KafkaStreams::open(config(kafka, "streams")).await.unwrap();
    let (one, two) = (open().await, open().await);
    assert!(one.load().await.unwrap().is_empty());
    let known = |state, input: &str| Known {
        state,
        settings: StreamSettings { inputs: vec![input.to_owned()], ..StreamSettings::default() },
        recorded_at: None,
    };
    let [a, b] = ["a", "b"].map(|id| StreamId::new(id).unwrap());
    one.save(&a, &known(StreamState::Live, "first")).await.unwrap();
    two.save(&b, &known(StreamState::Live, "b")).await.unwrap();
    let second = known(StreamState::Ended, "second");
    two.save(&a, &second).await.unwrap();
    for store in [&one, &two, &open().await] {
        let all = store.load().await.unwrap();
        assert_eq!((all.len(), &all[&a]), (2, &second));
    }
    one.remove(&a).await.unwrap();
    for store in [&one, &two, &open().await] {
        assert_eq!(store.load().await.unwrap().into_keys().collect::<Vec<_>>(), std::slice::from_ref(&b));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_network_and_broker_cost_nothing() {
    let Some(mut kafka) = Kafka::start("kafka::failures_of_network_and_broker_cost_nothing") else { return };
    let config = KafkaLogConfig { timeout: Duration::from_secs(3), ..config(&kafka, "cut") };
    let log = open(&config).await.unwrap();
    let mend = async || kafka.proxy.mend();
    kit::log_interrupted(&log, async || kafka.proxy.lose_answers(), mend).await;

    a_killed_broker_costs_nothing(
        &mut kafka,
        &KafkaLogConfig { prefix: "killed".to_owned(), ..config.clone() },
    )
    .await;

    kafka.stop();
    let error = open(&config).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let text = error.to_string();
    assert!(text.contains(&kafka.brokers()) && text.contains("are the brokers running"), "{text}");
    let wrong = KafkaLogConfig { prefix: "a b".to_owned(), ..config.clone() };
    assert_eq!(open(&wrong).await.unwrap_err().kind(), ErrorKind::Config);
    let settings = [("no.such.setting".to_owned(), "1".to_owned())].into();
    let error = open(&KafkaLogConfig { settings, ..config.clone() }).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("no.such.setting"), "{error}");
    if cfg!(not(feature = "kafka-tls")) {
        let settings = [("security.protocol".to_owned(), "ssl".to_owned())].into();
        let error = open(&KafkaLogConfig { settings, ..config }).await.unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::Config && text.contains("--features kafka-tls"), "{text}");
    }
}

async fn a_killed_broker_costs_nothing(kafka: &mut Kafka, config: &KafkaLogConfig) {
    let log = Arc::new(open(config).await.unwrap());
    let lease = log.acquire(0, "owner").await.unwrap();
    let writers = Writers::start(&log, 3);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let checkpoint = Checkpoint { next: 7, state: json!("before") };
    log.checkpoint(&lease, "c", &checkpoint).await.unwrap();
    for pause in [13, 57, 31, 97, 44, 71, 22, 88] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        kafka.proxy.drop_all();
    }
    kafka.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    kafka.resume();
    tokio::time::sleep(Duration::from_millis(2000)).await;
    writers.compare(&*log, 20).await;
    assert_eq!(log.last_checkpoint(0, "c").await.unwrap(), Some(checkpoint));
    log.checkpoint(&lease, "c", &Checkpoint { next: 9, state: json!(1) }).await.unwrap();
}
