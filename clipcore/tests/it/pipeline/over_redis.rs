//! A pipeline whose log is in Redis: it dies again and again, and so do its connections.

use std::sync::Arc;

use clipcore::event::Kinds;
use clipcore::log::{MemoryLog, RedisLog, RedisLogConfig};

use super::restart::{World, last_clock, uninterrupted};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;

#[test]
fn a_log_in_redis_is_opened_again_by_each_process() {
    let Some(redis) = Redis::start("a_log_in_redis_is_opened_again_by_each_process") else { return };
    let proxy = Proxy::new(redis.port());
    let config = RedisLogConfig {
        url: format!("redis://127.0.0.1:{}", proxy.port).parse().unwrap(),
        ..RedisLogConfig::default()
    };
    let whole = uninterrupted();
    let mut world = World::new();
    let mut lives = 0;
    loop {
        // The log's own tasks: they end with the process, connections and all.
        let process =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let open = RedisLog::open(config.clone(), Kinds::builtin());
        world.log = Arc::new(process.block_on(open).unwrap());
        let from = last_clock(&world);
        proxy.drop_all();
        lives += 1;
        let ended = world.live(17, lives % 2 == 0, from);
        if ended {
            world.check(&whole, &format!("{lives} lives on one server"));
            break;
        }
        world.log = Arc::new(MemoryLog::new(1));
        process.shutdown_background();
        assert!(lives < 500);
    }
    assert!(lives > 3, "only {lives} lives");
}
