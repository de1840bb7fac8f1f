//! Sound over a socket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::server::{Server, Settings, marker};

const RATE: usize = 16_000;

struct Microphone(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Microphone {
    async fn open(server: &Server, stream: &str) -> Self {
        let url = format!("ws://{}/v1/streams/{stream}/ws", server.address);
        Self(connect_async(&url).await.unwrap().0)
    }

    async fn send(&mut self, message: Message) -> Value {
        self.0.send(message).await.unwrap();
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn say(&mut self, pcm: Value) -> Value {
        self.send(Message::text(json!({"pcm": pcm}).to_string())).await
    }

    async fn play(&mut self, samples: &[f32]) -> Value {
        self.send(Message::binary(samples.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())).await
    }
}

/// Noise of this loudness, the same each time.
fn noise(level: f32, secs: f32, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        level * (state as f32 / u32::MAX as f32 * 2.0 - 1.0)
    };
    (0..(secs * RATE as f32) as usize).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loud_is_heard_where_it_was_and_nothing_of_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let mut microphone = Microphone::open(&server, "show").await;
    let now = clipcore::clock::TimeSource::wall(&clipcore::clock::SystemTimeSource::new());
    // Events and sound share the socket.
    assert_eq!(microphone.send(Message::text(marker(1))).await, json!({"ack": 1, "accepted": 1}));
    let began = microphone.say(json!({"format": "f32le", "rate": RATE, "time": now})).await;
    let begin = began["at"].as_f64().unwrap_or_else(|| panic!("{began}"));
    assert_eq!(began["ack"], 2);
    let (mut pieces, mut until) = (2, 0.0);
    for (level, secs) in [(0.01, 20), (0.5, 2), (0.01, 3)] {
        for piece in 0..2 * secs {
            let said = microphone.play(&noise(level, 0.5, piece)).await;
            pieces += 1;
            assert_eq!(said["ack"], pieces, "{said}");
            until = said["until"].as_f64().unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!((until - begin - 25.0).abs() < 1e-3, "{begin} to {until}");
    let mut loud = Vec::new();
    for _ in 0..200 {
        let (_, found) = server.get("/v1/streams/show/signals?detector=loudness").await;
        loud = found["items"].as_array().unwrap().clone();
        if loud.last().is_some_and(|s| s["at"].as_f64().unwrap() > begin + 21.5) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!loud.is_empty(), "nothing is loud: {}", server.get("/v1/streams/show").await.1);
    for signal in &loud {
        let (at, onset) = (signal["at"].as_f64().unwrap() - begin, signal["onset"].as_f64().unwrap() - begin);
        assert!(
            signal["label"] == "loud" && (19.5..20.6).contains(&onset) && at < 25.0,
            "{signal}: {onset}, {at}"
        );
    }
    // Another piece of the same time is refused, and so is what lies before.
    let said = microphone.say(json!({"format": "f32le", "rate": RATE, "at": begin + 1.0})).await;
    assert!(said["error"]["detail"].as_str().unwrap().contains("was taken"), "{said}");
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("clipcore_ingest_sounds_total 50"), "{metrics}");
    let (_, logged) = server.get("/v1/streams/show/events?limit=1000").await;
    let kinds: Vec<&Value> = logged["items"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert!(kinds.iter().all(|kind| *kind == "marker" || *kind == "clock"), "{kinds:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_can_be_wrong_has_an_answer_and_the_socket_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), Settings::default()).await;
    let mut microphone = Microphone::open(&server, "show").await;
    let said = microphone.play(&[0.0; 160]).await;
    assert_eq!((&said["nack"], &said["error"]["status"]), (&json!(1), &json!(400)), "{said}");
    assert!(said["error"]["hint"].as_str().unwrap().contains("pcm"), "{said}");
    assert_eq!(microphone.send(Message::text(marker(1))).await["accepted"], 1);
    for (pcm, says) in [
        (json!({"format": "f32le", "rate": 16000}), "where the first sample lies"),
        (json!({"format": "f32le", "rate": 0, "at": 1}), "0 samples a second"),
        (json!({"format": "opus", "rate": 48000, "at": 1}), "opus"),
        (json!({"format": "f32le", "rate": 48000, "at": 900_000_000}), "ahead of the stream"),
        (json!({"format": "f32le", "rate": 48000, "time": "1970-01-01T00:00:00Z"}), "is decided up to"),
        (json!(7), "what the sound is"),
    ] {
        // It has a clock before anything can be ahead of it, and has decided something before anything can be late.
        while server.get("/v1/streams/show").await.1["stats"]["watermark"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let said = microphone.say(pcm.clone()).await;
        assert!(said["error"]["detail"].as_str().unwrap().contains(says), "{pcm}: {said}");
    }
    let clock = server.get("/v1/streams/show").await.1["stats"]["clock"].as_f64().unwrap();
    let said = microphone.say(json!({"format": "f32le", "rate": 16000, "at": clock + 5.0})).await;
    assert_eq!(said["at"], clock + 5.0, "{said}");
    for (bytes, says) in [
        (vec![0; 7], "7 bytes"),
        (vec![], "0 bytes"),
        (vec![0; 4 * RATE + 4], "too long"),
        (f32::NAN.to_le_bytes().to_vec(), "NaN"),
        (1e9_f32.to_le_bytes().to_vec(), "1000000000"),
    ] {
        let said = microphone.send(Message::binary(bytes)).await;
        assert!(said["error"]["detail"].as_str().unwrap().contains(says), "{said}");
    }
    // What was refused has passed all the same: 1 + 16001 + 1 + 1 samples.
    let said = microphone.play(&[0.0; 160]).await;
    let until = said["until"].as_f64().unwrap() - clock - 5.0;
    assert!((until - 16164.0 / 16000.0).abs() < 1e-4, "{said}");
    assert_eq!(microphone.send(Message::text(marker(3))).await["accepted"], 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_comes_faster_than_it_is_listened_to_is_left_out_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { slow_ears: Duration::from_secs(3), ..Settings::default() };
    let server = Server::start(dir.path(), settings).await;
    let mut microphone = Microphone::open(&server, "show").await;
    let now = clipcore::clock::TimeSource::wall(&clipcore::clock::SystemTimeSource::new());
    let said = microphone.say(json!({"format": "f32le", "rate": RATE, "time": now})).await;
    assert!(said["at"].is_number(), "{said}");
    let mut left_out = None;
    for piece in 0..40 {
        let said = microphone.play(&[0.0; 1600]).await;
        if said["nack"].is_number() {
            left_out.get_or_insert((piece, said));
        }
    }
    let (piece, said) = left_out.expect("there is room for 40 pieces");
    assert!((16..20).contains(&piece), "{piece}");
    assert_eq!(
        (&said["error"]["status"], &said["error"]["retryable"]),
        (&json!(503), &json!(true)),
        "{said}"
    );
    // Once it listens, it goes on.
    let mut taken = false;
    for _ in 0..400 {
        taken = microphone.play(&[0.0; 160]).await["until"].is_number();
        if taken {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(taken);
    server.end().await;
}

/// As a sound card would hand it over: 44.1 kHz, two channels, whole numbers.
#[cfg(feature = "onnx")]
fn recorded(path: &std::path::Path) -> Vec<u8> {
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path);
    command.args(["-t", "6", "-ac", "2", "-ar", "44100", "-f", "s16le", "pipe:1"]);
    crate::support::programs::run(&mut command)
}

#[cfg(feature = "onnx")]
#[tokio::test(flavor = "multi_thread")]
async fn applause_is_heard_by_the_model_that_is_built_in() {
    use clipcore::detector::{AudioTagger, AudioTaggerConfig};
    use clipcore::model::{ModelRegistry, ModelStore, Runtime, RuntimeConfig};

    let name = "applause_is_heard_by_the_model_that_is_built_in";
    let Some(audio) = crate::support::programs::shared(name, "media/audio/ibm_max") else { return };
    if !crate::support::programs::require(name, &["ffmpeg"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ears: clipcore::source::Listeners = std::sync::Arc::new(|| {
        let stored = ModelStore::new("nowhere").find("tagger")?;
        let model = stored.load(&Runtime::open(&RuntimeConfig::default())?)?;
        let tagger = AudioTagger::try_new(&stored.card, AudioTaggerConfig::default())?;
        Ok((vec![Box::new(tagger)], ModelRegistry::default().with_model(std::sync::Arc::new(model))))
    });
    let server = Server::start(dir.path(), Settings { ears: Some(ears), ..Settings::default() }).await;
    let mut microphone = Microphone::open(&server, "show").await;
    let now = clipcore::clock::TimeSource::wall(&clipcore::clock::SystemTimeSource::new());
    let said = microphone.say(json!({"format": "s16le", "rate": 44100, "channels": 2, "time": now})).await;
    let begin = said["at"].as_f64().unwrap();
    // Ten seconds of something else before it.
    let mut bytes: Vec<u8> = recorded(&audio.join("rain.wav"));
    bytes.extend(recorded(&audio.join("rain.wav")));
    let applause = bytes.len() as f64 / 4.0 / 44100.0;
    bytes.extend(recorded(&audio.join("applause.wav")));
    let mut at = begin;
    for piece in bytes.chunks(44100 / 5 * 4) {
        loop {
            let said = microphone.send(Message::binary(piece.to_vec())).await;
            if said["until"].is_number() {
                break;
            }
            // It listens more slowly than this sends: the piece goes where it belongs once more.
            assert_eq!(said["error"]["retryable"], true, "{said}");
            tokio::time::sleep(Duration::from_millis(300)).await;
            let again = json!({"format": "s16le", "rate": 44100, "channels": 2, "at": at});
            assert!(microphone.say(again).await["at"].is_number());
        }
        at += piece.len() as f64 / 4.0 / 44100.0;
    }
    let mut found = Vec::new();
    for _ in 0..200 {
        let (_, signals) = server.get("/v1/streams/show/signals?detector=audio_tagger").await;
        found = signals["items"].as_array().unwrap().clone();
        if found.iter().any(|signal| signal["label"] == "applause") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let onset = found.iter().find(|signal| signal["label"] == "applause").map(|signal| &signal["onset"]);
    let onset = onset.unwrap_or_else(|| panic!("no applause: {found:?}")).as_f64().unwrap() - begin;
    assert!((applause - 1.5..applause + 3.0).contains(&onset), "{onset} where {applause} was meant");
    server.end().await;
}
