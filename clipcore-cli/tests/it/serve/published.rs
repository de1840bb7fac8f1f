//! What is published on Redis reaches the streams of a server, and stays.

use super::server::Server;
use crate::support::redis::Redis;

#[test]
fn what_is_published_on_any_streams_channel_is_kept() {
    let Some(mut redis) = Redis::start("what_is_published_on_any_streams_channel_is_kept") else { return };
    let dir = tempfile::tempdir().unwrap();
    let url = redis.url();
    let set = [("CLIPCORE__SOURCES__REDIS__URL", &*url), ("CLIPCORE__SINKS__REDIS__URL", &*url)];
    let server = Server::start_with(dir.path(), &[], &set);
    let subscribed = |_: &Server| redis.cli(&["PUBSUB", "NUMPAT"]) == "1";
    server.until("a subscription", subscribed);
    let marker = |label: &str| format!(r#"{{"type":"marker","data":{{"label":"{label}"}}}}"#);
    for stream in ["one", "two"] {
        assert_eq!(redis.cli(&["PUBLISH", &format!("live:{stream}"), &marker(stream)]), "1");
    }
    redis.cli(&["PUBLISH", "live:one", "nonsense"]);
    let has = |server: &Server, stream: &str, label: &str| {
        server.get(&format!("/v1/streams/{stream}/events")).to_string().contains(label)
    };
    server.until("both events", |s| has(s, "one", "one") && has(s, "two", "two"));
    server.until("word of the bad one", |s| s.said().contains("live:one"));

    // What the moments' sink publishes on the same channels is not heard.
    server.until("a moment", |_| redis.cli(&["XLEN", "{clipcore:one}:moments"]) != "0");
    assert!(!has(&server, "one", "clipcore.moment"));

    redis.stop();
    server.until("word of the loss", |s| s.said().contains("lost the connection"));
    redis.resume();
    server.until("a subscription", |_| redis.cli(&["PUBSUB", "NUMPAT"]) == "1");
    redis.cli(&["PUBLISH", "live:one", &marker("again")]);
    server.until("the event after it", |s| has(s, "one", "again"));
    server.kill();
    let server = Server::start_with(dir.path(), &[], &set);
    server.until("all events after kill -9", |s| has(s, "one", "again") && has(s, "two", "two"));
    assert!(server.end("TERM").success());
}
