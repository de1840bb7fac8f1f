//! The server that the processes of a deployment share.

use std::collections::HashMap;
use std::time::Duration;

#[cfg(feature = "kafka")]
use crate::support::kafka::Kafka;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

/// What holds the logs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Redis,
    #[cfg(feature = "kafka")]
    Kafka,
}

/// A running server, with ways to it that can be cut; ends with its owner.
pub(super) struct Broker {
    server: Server,
    /// The ways of the two workers.
    pub(super) proxies: [Proxy; 2],
}

enum Server {
    Redis(Redis),
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
}

impl Broker {
    /// `None`, noted as skipped, where the program is missing.
    pub(super) fn start(kind: Kind, test: &str) -> Option<Self> {
        match kind {
            Kind::Redis => {
                let redis = Redis::start(test)?;
                let proxies = [(); 2].map(|()| Proxy::new(redis.port()));
                Some(Self { server: Server::Redis(redis), proxies })
            }
            #[cfg(feature = "kafka")]
            Kind::Kafka => {
                let mut kafka = Kafka::start_with(test, 2)?;
                let proxies = kafka.others.drain(..).collect::<Vec<_>>().try_into();
                let proxies = proxies.unwrap_or_else(|_| panic!("two were asked for"));
                Some(Self { server: Server::Kafka(kafka), proxies })
            }
        }
    }

    fn scheme(&self) -> &'static str {
        match &self.server {
            Server::Redis(_) => "redis",
            #[cfg(feature = "kafka")]
            Server::Kafka(_) => "kafka",
        }
    }

    /// Kills it, as `kill -9` does.
    pub(super) fn stop(&mut self) {
        match &mut self.server {
            Server::Redis(redis) => redis.stop(),
            #[cfg(feature = "kafka")]
            Server::Kafka(kafka) => kafka.stop(),
        }
    }

    /// Starts it again, with what it kept.
    pub(super) fn resume(&mut self) {
        match &mut self.server {
            Server::Redis(redis) => redis.resume(),
            #[cfg(feature = "kafka")]
            Server::Kafka(kafka) => kafka.resume(),
        }
    }

    /// What processes are told that reach it directly.
    pub(super) fn settings(&self) -> HashMap<&'static str, String> {
        let (address, claim) = match &self.server {
            Server::Redis(redis) => (format!("127.0.0.1:{}", redis.port()), "1.5"),
            #[cfg(feature = "kafka")]
            Server::Kafka(kafka) => (kafka.brokers(), "2"),
        };
        HashMap::from([
            ("CLIPCORE__SHARED__URL", format!("{}://{address}", self.scheme())),
            ("CLIPCORE__SHARED__PARTITIONS", "4".to_owned()),
            ("CLIPCORE__SHARED__TIMEOUT", "4".to_owned()),
            ("CLIPCORE__SHARED__WORKER__CLAIM", claim.to_owned()),
        ])
    }

    /// Where a worker finds it, by a way that can be cut.
    pub(super) fn url_of(&self, worker: usize) -> String {
        format!("{}://127.0.0.1:{}", self.scheme(), self.proxies[worker].port)
    }

    /// Longer than a claim lasts.
    pub(super) fn longer_than_a_claim(&self) -> Duration {
        match &self.server {
            Server::Redis(_) => Duration::from_millis(2500),
            #[cfg(feature = "kafka")]
            Server::Kafka(_) => Duration::from_millis(4000),
        }
    }
}
