//! Webhooks and an object store as a run's sinks, what they refuse, and what is told and erased afterwards.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::program::{Clipcore, clips, lines, markers, ready};
use crate::support::programs::require;
use crate::support::stream::TestStream;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Takes posts, once for each `webhook-id`; refuses as many of them as it is told to.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    taken: Arc<Mutex<HashSet<String>>>,
    refuse: Arc<Mutex<usize>>,
}

impl Receiver {
    pub(crate) fn start(refuse: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            taken: Arc::default(),
            refuse: Arc::new(Mutex::new(refuse)),
        };
        let (taken, refuse) = (receiver.taken.clone(), receiver.refuse.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, refuse) = (taken.clone(), refuse.clone());
                std::thread::spawn(move || while answer(&stream, &taken, &refuse).is_some() {});
            }
        });
        receiver
    }
}

fn answer(stream: &TcpStream, taken: &Mutex<HashSet<String>>, refuse: &Mutex<usize>) -> Option<()> {
    let mut input = BufReader::new(stream);
    let (mut first, mut id, mut length) = (String::new(), None, 0);
    input.read_line(&mut first).ok().filter(|n| *n > 0)?;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name {
            "webhook-id" => id = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    input.read_exact(&mut vec![0; length]).ok()?;
    let mut status = "204 No Content";
    if let Some(id) = id {
        let mut left = refuse.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            status = "422 Unprocessable Content";
        } else {
            taken.lock().unwrap().insert(id);
        }
    }
    let mut output = stream;
    output.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).ok()
}

fn clipcore(args: &[&str], set: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
    let out = command.args(args).envs(set.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout) + &text(&out.stderr))
}

fn holds(dir: &Path, word: &str) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => holds(&path, word),
            false => String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(word),
        }
    })
}

#[test]
fn secrets_are_never_printed_and_what_is_wrong_is_said() {
    let url = "http://127.0.0.1:1/hook?key=hush";
    let set = [
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__URL", url),
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__SECRETS", SECRET),
        ("CLIPCORE__SINKS__OBJECT_STORE__URL", "s3://clips"),
        ("CLIPCORE__SINKS__OBJECT_STORE__SECRET_ACCESS_KEY", "hush"),
        ("CLIPCORE__SHARED__KAFKA__SETTINGS", "{\"sasl.username\"=\"ann\",\"sasl.password\"=\"hush\"}"),
    ];
    let (code, said) = clipcore(&["run", "x.mp4", "--print-config"], &set);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("[sinks.webhook.studio]") && said.contains("[sinks.object_store]"), "{said}");
    assert!(said.contains("\"sasl.username\" = \"ann\""), "{said}");
    assert!(!said.contains(&SECRET[6..]) && !said.contains("hush"), "{said}");

    let (code, said) = clipcore(&["doctor"], &set[..2]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("allow_private = true") && said.contains("sinks.webhook.studio"), "{said}");
    let open = [set[0], set[1], ("CLIPCORE__SINKS__WEBHOOK__STUDIO__ALLOW_PRIVATE", "true")];
    let (_, said) = clipcore(&["doctor"], &open);
    let line = said.lines().find(|line| line.contains("sink webhook.studio")).unwrap();
    assert!(line.contains("MISSING") && line.contains("cannot be reached"), "{said}");
}

#[test]
fn what_was_refused_is_delivered_again_and_what_is_held_is_told_and_erased() {
    let test = "what_was_refused_is_delivered_again_and_what_is_held_is_told_and_erased";
    if !require(test, &["ffmpeg"]) {
        return;
    }
    let made = TestStream { size: (320, 180), pictures: 60 * 30, ..TestStream::default() };
    let source = made.kept("mp4");
    let dir = tempfile::tempdir().unwrap();
    let chat = markers(dir.path(), &[16.0, 30.5, 44.0]);
    let mut text = std::fs::read_to_string(&chat).unwrap();
    text.push_str("{\"type\":\"chat.message\",\"at\":20.0,\"source\":\"twitch:irc\",\"data\":{\"user\":\"ann_of_cleves\",\"text\":\"zanzibar\"}}\n");
    std::fs::write(&chat, text).unwrap();
    let receiver = Receiver::start(3);
    let url = format!("http://127.0.0.1:{}/hook", receiver.port);
    let store = dir.path().join("store");
    let set = [
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__URL", &*url),
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__SECRETS", SECRET),
        ("CLIPCORE__SINKS__WEBHOOK__STUDIO__ALLOW_PRIVATE", "true"),
        ("CLIPCORE__SINKS__OBJECT_STORE__URL", store.to_str().unwrap()),
        ("CLIPCORE__SINKS__OBJECT_STORE__KEY", "{stream}/{clip}.mp4"),
    ];
    let mut program = Clipcore::start(source.to_str().unwrap(), &dir.path().join("out"), Some(&chat), &set);
    assert_eq!(program.wait().code(), Some(4), "{}", program.said());
    let out = program.out.clone();
    let folder = out.to_str().unwrap();
    let due = lines(&out.join("moments.jsonl")).len() + clips(&out).len();
    assert_eq!(receiver.taken.lock().unwrap().len(), due - 3);
    let stored = std::fs::read_dir(store.join("show")).unwrap().count();
    assert_eq!((ready(&out).len(), stored), (3, 6), "each clip, and what is known of it");

    let (code, said) = clipcore(&["redeliver", folder], &set);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 delivered"), "{said}");
    assert_eq!(receiver.taken.lock().unwrap().len(), due);
    let (code, said) = clipcore(&["redeliver", folder], &set);
    assert!(code == Some(0) && said.contains("0 delivered"), "{said}");

    let (code, said) = clipcore(&["privacy", "report", folder], &set);
    assert_eq!(code, Some(0), "{said}");
    for part in
        ["show: ", "1 messages (1 with words", "3 clips", "24.0 hours after they were said", &url, "whole"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(holds(&out, "zanzibar") && !holds(&out, "ann_of_cleves"));
    let erase = ["privacy", "erase", folder, "--user", "ann_of_cleves", "--why", "she asked", "--by", "desk"];
    let (code, said) = clipcore(&erase, &[]);
    assert!(code == Some(0) && said.contains("\"records\":1"), "{said}");
    assert!(!holds(&out, "zanzibar") && !holds(&out, "ann_of_cleves"));
    let (code, said) = clipcore(&["privacy", "erase", folder, "--stream", "show"], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(ready(&out).is_empty() && !out.join("recordings/show").exists(), "{said}");
    assert!(store.join("show").exists(), "what a sink took is its owner's");
    let (code, said) = clipcore(&["privacy", "audit", folder], &[]);
    assert!(code == Some(0) && said.contains("3 entries"), "{said}");
    let audit = std::fs::read_to_string(out.join("audit.jsonl")).unwrap();
    assert!(audit.contains("she asked") && audit.contains("consent chat_text"), "{audit}");
    std::fs::write(out.join("audit.jsonl"), audit.replace("she asked", "nobody asked")).unwrap();
    let (code, said) = clipcore(&["privacy", "audit", folder], &[]);
    assert!(code != Some(0) && said.contains("line"), "{said}");
}
