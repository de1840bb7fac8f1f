//! Any channel and any message of Redis pub/sub: an event of the channel's stream, an error, or nothing.
#![no_main]

use std::sync::LazyLock;

use clipcore::event::Kinds;
use clipcore::redis::Channels;
use clipcore::source::redis::{Published, RedisSubscriber};
use libfuzzer_sys::fuzz_target;

static SUBSCRIBER: LazyLock<RedisSubscriber> =
    LazyLock::new(|| RedisSubscriber::new(Default::default(), Kinds::builtin()));

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (template, channel, message) = input;
    if let Ok(channels) = template.parse::<Channels>() {
        assert_eq!(channels.to_string().parse::<Channels>().expect("what was written can be read"), channels);
        if let Some(stream) = channels.stream(channel) {
            assert_eq!(channels.of(&stream), channel);
        }
    }
    for channel in [channel, "live:s1"] {
        if let Some(Published::Event { stream, event }) = SUBSCRIBER.read(channel, message) {
            assert_eq!(format!("live:{stream}"), channel);
            assert!(!event.kind().starts_with("clipcore."), "clipcore hears itself");
            assert!(event.at().is_some() || event.time().is_some());
        }
    }
});
