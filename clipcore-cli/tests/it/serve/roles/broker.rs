//! The server that the processes of a deployment share.

use std::collections::HashMap;
use std::time::Duration;

use super::way::{Namespace, Way};
#[cfg(feature = "kafka")]
use crate::support::brokers::Brokers;
#[cfg(feature = "kafka")]
use crate::support::kafka::Kafka;
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

/// What holds the logs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Redis,
    /// Workers in network namespaces of their own.
    RedisOverNamespaces,
    #[cfg(feature = "kafka")]
    Kafka,
    /// Three of them.
    #[cfg(feature = "kafka")]
    Brokers,
}

/// A running server, with ways to it that can be cut; ends with its owner.
pub(super) struct Broker {
    server: Server,
    /// The ways of the two workers, and where they lead.
    ways: [(Way, String); 2],
}

enum Server {
    Redis(Redis),
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
    #[cfg(feature = "kafka")]
    Brokers(Brokers),
}

fn by_proxy(proxy: Proxy) -> (Way, String) {
    let address = format!("127.0.0.1:{}", proxy.port);
    (Way::Proxy(proxy), address)
}

impl Broker {
    /// `None`, noted as skipped, where the program is missing.
    pub(super) fn start(kind: Kind, test: &str) -> Option<Self> {
        match kind {
            Kind::Redis => {
                let redis = Redis::start(test)?;
                let ways = [(); 2].map(|()| by_proxy(Proxy::new(redis.port())));
                Some(Self { server: Server::Redis(redis), ways })
            }
            Kind::RedisOverNamespaces => {
                let namespaces = Namespace::several::<2>(test)?;
                let [one, two] = [0, 1].map(|i| namespaces[i].address());
                let args = ["--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no"];
                let bind = ["--bind", "127.0.0.1", &one, &two];
                let redis = Redis::start_with(test, &[&args[..], &bind].concat())?;
                let port = redis.port();
                let ways = namespaces.map(|namespace| {
                    let address = format!("{}:{port}", namespace.address());
                    (Way::Namespace(namespace), address)
                });
                Some(Self { server: Server::Redis(redis), ways })
            }
            #[cfg(feature = "kafka")]
            Kind::Kafka => {
                let mut kafka = Kafka::start_with(test, 2)?;
                let ways = kafka.others.drain(..).map(by_proxy).collect::<Vec<_>>().try_into();
                let ways = ways.unwrap_or_else(|_| panic!("two were asked for"));
                Some(Self { server: Server::Kafka(kafka), ways })
            }
            #[cfg(feature = "kafka")]
            Kind::Brokers => {
                let brokers = Brokers::start(test)?;
                let ways = [(); 2].map(|()| (Way::Whole, brokers.addresses()));
                Some(Self { server: Server::Brokers(brokers), ways })
            }
        }
    }

    fn scheme(&self) -> &'static str {
        match &self.server {
            Server::Redis(_) => "redis",
            #[cfg(feature = "kafka")]
            Server::Kafka(_) | Server::Brokers(_) => "kafka",
        }
    }

    /// The brokers, where there are several.
    #[cfg(feature = "kafka")]
    pub(super) fn brokers(&mut self) -> &mut Brokers {
        match &mut self.server {
            Server::Brokers(brokers) => brokers,
            _ => panic!("there is one server"),
        }
    }

    /// Kills it, as `kill -9` does.
    pub(super) fn stop(&mut self) {
        match &mut self.server {
            Server::Redis(redis) => redis.stop(),
            #[cfg(feature = "kafka")]
            Server::Kafka(kafka) => kafka.stop(),
            #[cfg(feature = "kafka")]
            Server::Brokers(_) => panic!("which of them?"),
        }
    }

    /// Starts it again, with what it kept.
    pub(super) fn resume(&mut self) {
        match &mut self.server {
            Server::Redis(redis) => redis.resume(),
            #[cfg(feature = "kafka")]
            Server::Kafka(kafka) => kafka.resume(),
            #[cfg(feature = "kafka")]
            Server::Brokers(_) => panic!("which of them?"),
        }
    }

    /// What processes are told that reach it directly.
    pub(super) fn settings(&self) -> HashMap<&'static str, String> {
        let (address, claim) = match &self.server {
            Server::Redis(redis) => (format!("127.0.0.1:{}", redis.port()), "1.5"),
            #[cfg(feature = "kafka")]
            Server::Kafka(kafka) => (kafka.brokers(), "2"),
            #[cfg(feature = "kafka")]
            Server::Brokers(brokers) => {
                // As many hosts have it: the defaults.
                return HashMap::from([
                    ("CLIPCORE__SHARED__URL", format!("kafka://{}", brokers.addresses())),
                    ("CLIPCORE__SHARED__PARTITIONS", "4".to_owned()),
                    ("CLIPCORE__SHARED__KAFKA__REPLICATION", "3".to_owned()),
                ]);
            }
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
        format!("{}://{}", self.scheme(), self.ways[worker].1)
    }

    pub(super) fn way_of(&self, worker: usize) -> &Way {
        &self.ways[worker].0
    }

    /// Longer than a claim lasts.
    pub(super) fn longer_than_a_claim(&self) -> Duration {
        match &self.server {
            Server::Redis(_) => Duration::from_millis(2500),
            #[cfg(feature = "kafka")]
            Server::Kafka(_) | Server::Brokers(_) => Duration::from_millis(4000),
        }
    }
}
