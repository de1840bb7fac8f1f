//! The log as a program reads it.

use std::process::Command;

use serde_json::Value;

use super::server::Server;
use crate::deliver::{Receiver, SECRET};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Each line, which has to be an object.
fn entries(said: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str::<Value>(line).ok().filter(Value::is_object);
    said.lines().map(|line| read(line).unwrap_or_else(|| panic!("{line:?} is none\n{said}"))).collect()
}

#[test]
fn every_line_is_an_object_and_says_which_trace_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(usize::MAX);
    let url = format!("http://127.0.0.1:{}/hook", receiver.port);
    let set = [
        ("CLIPCORE_LOG_FORMAT", "json"),
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__URL", &*url),
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__SECRETS", SECRET),
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__ALLOW_PRIVATE", "true"),
    ];
    let server = Server::start_with(dir.path(), &[], &set);
    let streams = ["traced", "other"];
    for stream in streams {
        let marker = ureq::post(format!("{}/v1/streams/{stream}/markers", server.url));
        let marker = match stream {
            "traced" => marker.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")),
            _ => marker,
        };
        assert_eq!(marker.send(r#"{"label":"ace"}"#).unwrap().status(), 202);
        assert_eq!(server.ask("POST", &format!("/v1/streams/{stream}/end"), "").0, 202);
        server.until_state(stream, "ended");
    }
    let moments = streams.map(|stream| {
        let found = server.get(&format!("/v1/moments?stream={stream}"));
        found["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{found}")).to_owned()
    });
    let (status, said) = server.end_with_words("TERM");
    assert!(status.success(), "{said}");

    let entries = entries(&said);
    let told = |what: &str| entries.iter().any(|entry| entry["fields"]["message"].to_string().contains(what));
    assert!(told("listening on") && told("stopping"), "what people are told is there: {said}");
    // The webhook refused all of them, which is a line each.
    for (moment, trace) in moments.iter().zip([Value::from(TRACE), Value::Null]) {
        let about: Vec<_> =
            entries.iter().filter(|entry| entry["fields"]["item"] == moment.as_str()).collect();
        assert!(!about.is_empty(), "nothing is said of {moment}: {said}");
        for entry in about {
            assert_eq!(entry["span"]["trace_id"], trace, "{entry}");
        }
    }
}

#[test]
fn an_error_that_ends_the_program_is_an_object_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
    command.args(["serve", "--listen", "0.0.0.0:0", "--quiet", "--data"]).arg(dir.path());
    let refused = command.env("CLIPCORE_LOG_FORMAT", "json").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let entries = entries(&String::from_utf8(refused.stderr).unwrap());
    let [error] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(error["level"], "ERROR");
    let message = error["fields"]["message"].as_str().unwrap();
    assert!(message.contains("no tokens") && message.contains("serve token"), "{message}");
}
