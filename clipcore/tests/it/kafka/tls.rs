//! A broker that speaks TLS alone, and asks for its clients' certificates.

use std::path::Path;
use std::time::Duration;

use clipcore::conformance::log as kit;
use clipcore::log::KafkaLogConfig;

use super::open;
use crate::support::certificates::certificates;
use crate::support::kafka::Kafka;
use crate::support::programs::require;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_spoken_over_tls_and_only_with_whom_it_trusts() {
    let test = "kafka::the_log_is_spoken_over_tls_and_only_with_whom_it_trusts";
    if !require(test, &["openssl"]) {
        return;
    }
    let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    certificates(dir.path());
    certificates(other.path());
    let Some(kafka) = Kafka::start_tls(test, dir.path()) else { return };
    let config = |settings: &[(&str, &str)]| KafkaLogConfig {
        brokers: format!("localhost:{}", kafka.proxy.port),
        prefix: "tls".to_owned(),
        timeout: Duration::from_secs(5),
        settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..KafkaLogConfig::default()
    };
    let file = |dir: &Path, name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (authority, stranger) = (file(dir.path(), "ca.crt"), file(other.path(), "ca.crt"));
    let (certificate, key) = (file(dir.path(), "client.crt"), file(dir.path(), "client.key"));
    let secure = ("security.protocol", "ssl");
    let own = [("ssl.certificate.location", &*certificate), ("ssl.key.location", &*key)];
    let trusted = [secure, ("ssl.ca.location", &*authority), own[0], own[1]];

    kit::log_reopened(async || open(&config(&trusted)).await).await;

    for (what, settings) in [
        ("no TLS", &[][..]),
        ("a broker that another authority knows", &[secure, ("ssl.ca.location", &*stranger), own[0], own[1]]),
        ("a broker that nobody here knows", &[secure, own[0], own[1]]),
        ("a client without a certificate", &[secure, ("ssl.ca.location", &*authority)]),
    ] {
        let refused = open(&config(settings)).await;
        assert!(refused.as_ref().is_err_and(|error| error.is_retryable()), "{what}: {refused:?}");
    }
}
