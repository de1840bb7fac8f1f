//! What a run leaves on disk about people, and what is left once it is to be gone: every file is searched.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clipcore::clock::{ManualTimeSource, SystemTimeSource, TimeSource};
use clipcore::conformance::sink as kit;
use clipcore::cutter::ClipState;
use clipcore::detector::{ChatBurst, ChatKeyword, ChatLexicon, MarkerDetector};
use clipcore::event::Kinds;
use clipcore::fusion::FusionConfig;
use clipcore::log::{Arrival, EventLog, FileLog, FileLogConfig, Record};
use clipcore::pipeline::{Pipeline, StreamSpec};
use clipcore::privacy::{DataFolder, Erased, Expiry, ExpiryConfig, KeyRing, Pseudonymizer, Rotation, redact};
use clipcore::sink::{ClipSink, Delivery, JsonlSink};
use clipcore::source::{Item, Source, SourceOutput};
use clipcore::{CameraId, Consent, ErrorKind, Result, StreamId, Timestamp, WallTime};

const WORDS: [&str; 3] = ["zanzibar", "quixotic", "Xylophone"];
const PEOPLE: [&str; 3] = ["ann_of_cleves", "bob_the_third", "cyd_unnamed"];

/// Everybody says one thing each second for a minute; Cyd's messages are taken back.
fn events(stream: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for second in 0..60 {
        for (n, (who, word)) in PEOPLE.iter().zip(WORDS).enumerate() {
            lines.push(format!(
                r#"{{"type":"chat.message","stream":"{stream}","id":"{stream}-{second}-{n}","source":"twitch:irc","at":{second}.{n},
                "time":"2026-11-23T10:00:{second:02}Z","data":{{"user":"{who}","text":"{word} pog","emotes":["{word}"]}}}}"#
            ));
        }
    }
    lines.push(format!(
        r#"{{"type":"chat.delete","stream":"{stream}","source":"twitch:irc","at":59.5,"time":"2026-11-23T10:00:59Z",
        "data":{{"user":"cyd_unnamed"}}}}"#
    ));
    lines.push(format!(
        r#"{{"type":"marker","stream":"{stream}","source":"bot","at":59.6,"data":{{"label":"ace"}}}}"#
    ));
    lines
}

struct Chat(String);

#[async_trait]
impl Source for Chat {
    fn name(&self) -> String {
        "chat".to_owned()
    }

    fn has_clock(&self) -> bool {
        true
    }

    async fn run(self: Box<Self>, out: SourceOutput) -> Result<()> {
        let start = WallTime::parse("2026-11-23T10:00:00Z")?;
        for line in events(&self.0) {
            let event = Kinds::builtin().parse(line.as_bytes())?.resolve(&mut |_| None)?;
            let at = Timestamp::from_secs(event.at().as_micros() / 1_000_000);
            let wall = Some(start.offset_micros(at.as_micros()));
            out.send(Item::Progress { camera: CameraId::main(), at, wall }).await?;
            out.send(Item::Event(event)).await?;
        }
        out.send(Item::Progress { camera: CameraId::main(), at: Timestamp::from_secs(90), wall: None }).await
    }
}

fn id(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

fn pseudonyms(dir: &Path) -> Pseudonymizer {
    Pseudonymizer::rotating(KeyRing::new(DataFolder::keys_dir(dir), Rotation::Day))
}

/// A run of two streams into `dir`, as the program sets it up.
async fn run(dir: &Path, consent: Consent) {
    let log = FileLog::open(
        dir.join("log"),
        FileLogConfig { segment_bytes: 8192, ..FileLogConfig::default() },
        Kinds::builtin(),
    );
    let fusion = FusionConfig::default().factory().unwrap();
    let mut builder = Pipeline::builder()
        .with_fusion(move |stream| fusion(stream))
        .with_log(Arc::new(log.await.unwrap()))
        .with_pseudonyms(pseudonyms(dir))
        .with_sink(Arc::new(JsonlSink::open(dir).await.unwrap()))
        .with_detector(|_| Ok(Box::new(MarkerDetector::default())))
        .with_detector(|_| Ok(Box::new(ChatBurst::default())));
    if consent.chat_text {
        builder = builder
            .with_detector(|_| Ok(Box::new(ChatKeyword::default())))
            .with_detector(|_| Ok(Box::new(ChatLexicon::default())));
    }
    for name in ["show", "other"] {
        builder = builder
            .with_stream(StreamSpec::new(id(name)).with_consent(consent).with_source(Chat(name.to_owned())));
    }
    let summary = builder.build().unwrap().run().await.unwrap();
    assert!(summary.stream_error().or(summary.sink_error()).is_none(), "{summary:?}");
    assert!(
        std::fs::read_to_string(dir.join("moments.jsonl")).unwrap().contains("show"),
        "nothing was found"
    );
}

/// How often a text is in any file under `dir`.
fn count(dir: &Path, text: &str) -> usize {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().matches(text).count();
            name + match path.is_dir() {
                true => count(&path, text),
                false => String::from_utf8_lossy(&std::fs::read(&path).unwrap()).matches(text).count(),
            }
        })
        .sum()
}

async fn records(dir: &Path) -> usize {
    let log = FileLog::open(dir.join("log"), FileLogConfig::default(), Kinds::builtin()).await.unwrap();
    let (mut from, mut all) = (0, 0);
    loop {
        let read = log.read(0, from, 1000).await.unwrap();
        let Some((last, _)) = read.last() else { return all };
        from = last + 1;
        all += read.len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_no_file_holds_a_word_or_a_name() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), Consent::NONE).await;
    for text in WORDS.iter().chain(&PEOPLE) {
        assert_eq!(count(dir.path(), text), 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_go_when_they_are_taken_back_or_old_and_the_log_still_reads() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, Consent::ALL).await;
    for name in PEOPLE {
        assert_eq!(count(dir, name), 0, "{name}: there are pseudonyms");
    }
    assert!(WORDS.iter().all(|word| count(dir, word) >= 240), "consent lets words in");
    let before = records(dir).await;

    let now = WallTime::parse("2026-11-23T11:00:00Z").unwrap();
    let (hour, never) = (Duration::from_secs(3600), Duration::ZERO);
    let erased = DataFolder::open(dir).unwrap().expire(2 * hour, never, now).unwrap();
    assert_eq!(erased.records, 120, "{erased:?}");
    assert_eq!(count(dir, WORDS[2]), 0, "it was taken back");
    assert!(count(dir, WORDS[0]) >= 240);

    let later = now.offset_micros(3_600_000_000);
    let folder = DataFolder::open(dir).unwrap();
    folder.expire(hour, never, later).unwrap();
    assert!(WORDS.iter().all(|word| count(dir, word) == 0), "it is old");
    assert_eq!(folder.expire(hour, never, later).unwrap(), Default::default(), "there is nothing left to do");
    let held = folder.holdings().unwrap();
    assert_eq!((held["show"].messages, held["show"].with_text, held["show"].keys), (180, 0, 2));
    drop(folder);
    assert_eq!(records(dir).await, before, "offsets stay");

    // Keys that are gone make everything under them anonymous.
    let who = pseudonyms(dir).of(&id("show"), Some(now)).unwrap().pseudonym("twitch", PEOPLE[0]);
    assert!(count(dir, &who) >= 60);
    let erased =
        DataFolder::open(dir).unwrap().expire(hour, hour, now.offset_micros(2 * 86_400_000_000)).unwrap();
    assert!(erased.keys >= 2, "{erased:?}");
    let again = pseudonyms(dir).of(&id("show"), Some(now)).unwrap().pseudonym("twitch", PEOPLE[0]);
    assert_ne!(who, again);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_is_taken_out_of_log_inbox_and_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, Consent::ALL).await;
    // What waits in an inbox, and in an engine when its process dies.
    let line = events("show")[0].clone();
    let event = Kinds::builtin().parse(line.as_bytes()).unwrap().resolve(&mut |_| None).unwrap();
    let event = redact(&event, Consent::ALL, Some(&pseudonyms(dir))).unwrap();
    let incoming = Kinds::builtin().parse(event.to_json().unwrap().as_bytes()).unwrap();
    let inbox = FileLog::open(dir.join("inbox"), FileLogConfig::default(), Kinds::builtin()).await.unwrap();
    let received = WallTime::parse("2026-11-23T10:00:00Z").unwrap();
    inbox.append(0, &[Record::Arrival(Arrival::event(&id("show"), received, incoming))]).await.unwrap();
    let lease = inbox.acquire(0, "test").await.unwrap();
    let state = serde_json::json!({"engine": {"events": [event.to_json().unwrap()]}});
    inbox.checkpoint(&lease, "reader", &clipcore::log::Checkpoint { next: 0, state }).await.unwrap();
    let busy = DataFolder::open(dir).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Conflict, "{busy}");
    assert!(busy.hint().unwrap().contains("stop clipcore first"), "{busy}");
    drop(inbox);

    let others = count(dir, WORDS[1]);
    let who = pseudonyms(dir).of(&id("show"), Some(received)).unwrap().pseudonym("twitch", PEOPLE[0]);
    assert!(count(dir, &who) >= 62);
    let erased = DataFolder::open(dir).unwrap().erase_user(Some("twitch"), PEOPLE[0]).unwrap();
    assert_eq!((erased.records, erased.checkpoints), (121, 1), "{erased:?}");
    for gone in [&who, WORDS[0], "show-0-0", "show-59-0"] {
        assert_eq!(count(dir, gone), 0, "{gone}");
    }
    assert_eq!(count(dir, WORDS[1]), others, "nobody else is concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_taken_out_of_everything_and_the_other_stays() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, Consent::ALL).await;
    std::fs::create_dir_all(dir.join("clips")).unwrap();
    std::fs::create_dir_all(dir.join("recordings/show/main")).unwrap();
    std::fs::write(dir.join("recordings/show/main/0.mp4"), b"media").unwrap();
    for name in ["show", "other"] {
        let file = dir.join(format!("clips/{name}.mp4"));
        std::fs::write(&file, b"media").unwrap();
        let Delivery::Clip { mut clip, file } = kit::clip(name, "c", ClipState::Ready, Some(&file)) else {
            unreachable!()
        };
        clip.id = format!("{name}-clip").into();
        clip.path = Some(format!("clips/{name}.mp4").into());
        let sink = JsonlSink::open(dir).await.unwrap();
        sink.deliver(&Delivery::Clip { clip: clip.clone(), file: file.clone() }).await.unwrap();
        // Its pictures come later.
        clip.thumbnail = Some(format!("clips/{name}.jpg").into());
        sink.deliver(&Delivery::Clip { clip, file }).await.unwrap();
    }
    let held = DataFolder::open(dir).unwrap().holdings().unwrap();
    assert_eq!((held["show"].clips, held["other"].clips), (1, 1), "however many lines tell of them");
    let (before, others) = (records(dir).await, count(dir, "other"));
    let erased = DataFolder::open(dir).unwrap().erase_stream(&id("show")).unwrap();
    assert!(erased.records > 180 && erased.keys == 2 && erased.files >= 2 && erased.lines >= 2, "{erased:?}");
    assert_eq!(count(dir, "show"), 0, "{erased:?}");
    assert_eq!(count(dir, "other"), others);
    assert!(dir.join("clips/other.mp4").exists());
    assert_eq!(records(dir).await, before, "offsets stay");
}

/// Chat of one stream into a log that is in use: what was said, at which record.
async fn said(log: &FileLog, from: u32, words: &str) {
    for n in from..from + 20 {
        let json = format!(
            r#"{{"type":"chat.message","stream":"show","id":"m{n}","at":{n},"data":{{"user":"u","text":"{words} {n}"}}}}"#
        );
        let event = Kinds::builtin().parse(json.as_bytes()).unwrap().resolve(&mut |_| None).unwrap();
        log.append(0, &[Record::Event(event)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_runs_on_takes_words_out_by_its_own_clock_and_reads_none_of_it_twice() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let open = || FileLog::open(dir.join("log"), FileLogConfig::default(), Kinds::builtin());
    let log = Arc::new(open().await.unwrap());
    let time = Arc::new(ManualTimeSource::new(SystemTimeSource::new().wall()));
    let day = Duration::from_secs(86_400);
    let config = ExpiryConfig { text_retain: day, key_retain: Duration::ZERO };
    let mut expiry = Expiry::new(dir, vec![log.clone()], config, time.clone());
    let nothing = Erased::default();

    assert_eq!(expiry.pass().await.unwrap(), nothing);
    said(&log, 0, "hush").await;
    let back = r#"{"type":"chat.delete","stream":"show","at":30,"data":{"message":"m7"}}"#;
    let back = Kinds::builtin().parse(back.as_bytes()).unwrap().resolve(&mut |_| None).unwrap();
    log.append(0, &[Record::Event(back)]).await.unwrap();
    let reader = tokio::spawn({
        let log = log.clone();
        async move {
            for _ in 0..500 {
                assert!(log.read(0, 0, 100).await.unwrap().len() >= 21, "a reader is not disturbed");
            }
        }
    });

    // The newest segment is closed after an eighth of the time, and what was taken back in it goes at once.
    time.advance(day / 8);
    assert_eq!(expiry.pass().await.unwrap().records, 1);
    assert_eq!((count(dir, "hush 7"), count(dir, "hush")), (0, 19));
    said(&log, 40, "loud").await;
    time.advance(day / 2);
    assert_eq!(expiry.pass().await.unwrap(), nothing, "nothing is old yet");
    // A day after it was written, by the expiry's clock, and not before.
    time.advance(day / 2);
    assert_eq!(expiry.pass().await.unwrap().records, 19 + 20);
    assert_eq!((count(dir, "hush"), count(dir, "loud")), (0, 0));
    assert_eq!(expiry.pass().await.unwrap(), nothing);
    reader.await.unwrap();
    assert_eq!(log.read(0, 0, 100).await.unwrap().len(), 41, "offsets stay");

    // What is free of words is not read again, by this process or another: words that somebody puts there stay.
    let oldest = dir.join("log/0/00000000000000000000.log");
    let text = std::fs::read_to_string(&oldest).unwrap();
    let (line, rest) = text.split_once('\n').unwrap();
    let line = line[9..].replacen("\"u\"", "\"u\",\"text\":\"left\"", 1);
    std::fs::write(&oldest, format!("{:08x} {line}\n{rest}", crc32fast::hash(line.as_bytes()))).unwrap();
    said(&log, 60, "late").await;
    time.advance(2 * day);
    expiry.pass().await.unwrap();
    expiry.pass().await.unwrap();
    drop(expiry);
    drop(log);
    DataFolder::open(dir).unwrap().expire(day, Duration::ZERO, time.wall()).unwrap();
    assert_eq!((count(dir, "late"), count(dir, "left")), (0, 1));
    let entries = clipcore::privacy::audit_verify(&DataFolder::audit_path(dir)).unwrap().0;
    assert!(entries >= 3, "each pass that took something out is noted: {entries}");
}
