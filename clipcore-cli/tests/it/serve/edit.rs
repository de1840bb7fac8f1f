//! Clips that people change, and streams that are to be gone with their recordings.

use std::path::Path;

use serde_json::{Value, json};

use super::server::Server;
use super::text;
use crate::support::programs::require;
use crate::support::reading;
use crate::support::stream::TestStream;

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_clip_is_cut_anew_exactly_as_long_as_its_recording_lasts_and_a_stream_goes_with_its_media() {
    let name = "a_clip_is_cut_anew_exactly_as_long_as_its_recording_lasts_and_a_stream_goes_with_its_media";
    if !require(name, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let made = TestStream { size: (320, 180), pictures: 40 * 30, ..TestStream::default() };
    let source = made.kept("mp4");
    let data = dir.path().join("data");
    let store = dir.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let env = [
        ("CLIPCORE__DETECTORS__OFF", r#"["loudness","audio_tagger"]"#),
        ("CLIPCORE__SINKS__OBJECT_STORE__URL", store.to_str().unwrap()),
        ("CLIPCORE__SINKS__OBJECT_STORE__KEY", "{stream}/{clip}.mp4"),
    ];
    let server = Server::start_with(&data, &[], &env);
    assert_eq!(server.ask("POST", "/v1/streams/show/markers", r#"{"label":"ace","at":15}"#).0, 202);
    let (status, said) =
        server.ask("PUT", "/v1/streams/show", &json!({"inputs": [text(&source)]}).to_string());
    assert_eq!(status, 200, "{said}");
    server.until_state("show", "ended");
    server.until("pictures", |s| s.get("/v1/clips?stream=show")["items"][0]["thumbnail"].is_string());
    let first = server.get("/v1/clips?stream=show")["items"][0].clone();
    let path = format!("/v1/clips/{}", first["id"].as_str().unwrap());
    let feed = server.get("/v1/moments")["items"][0]["peak"].as_f64().unwrap();
    assert!((14.0..16.0).contains(&feed));

    // Between any two pictures of what was recorded.
    let (status, clip) = server.ask("PATCH", &path, r#"{"start":3.21,"end":9.87}"#);
    assert_eq!(status, 200, "{clip}");
    assert_eq!(
        (&clip["id"], &clip["edit"], &clip["exact"]),
        (&first["id"], &json!(1), &json!(true)),
        "{clip}"
    );
    assert_eq!(clip["asked"], json!({"start": 3.21, "end": 9.87}));
    assert!(clip["thumbnail"].is_string() && clip["path"] != first["path"], "{clip}");
    let zero = reading::start(&source);
    let wanted = |start: f64, end: f64| {
        (((start - zero) * 30.0 - 1e-6).ceil() as u32, ((end - zero) * 30.0 - 1e-6).ceil() as u32 - 1)
    };
    let read = reading::clip(&data.join(clip["path"].as_str().unwrap()), &made);
    assert_eq!((read.first, read.last), wanted(3.21, 9.87));
    assert_eq!(server.get(&path), clip, "the catalog has it");
    let media = ureq::get(format!("{}{path}/media", server.url)).call().unwrap().into_body().read_to_vec();
    assert_eq!(media.unwrap().len() as u64, clip["bytes"].as_u64().unwrap());

    // Every sink has it, under the same id, once.
    let told = |edit: u64| {
        lines(&data.join("clips.jsonl")).iter().filter(|line| line["edit"].as_u64() == Some(edit)).count()
    };
    assert_eq!(told(1), 1);
    let stored = store.join("show").join(format!("{}.mp4", first["id"].as_str().unwrap()));
    assert_eq!(std::fs::metadata(&stored).unwrap().len(), clip["bytes"].as_u64().unwrap());
    assert_eq!(server.ask("PATCH", &path, r#"{"start":3.21,"end":9.87}"#), (200, clip.clone()));
    assert_eq!(told(1), 1, "the same again changes nothing");
    let (status, other) = server.ask("PATCH", &path, r#"{"end":12.5}"#);
    assert_eq!((status, &other["edit"], &other["asked"]["start"]), (200, &json!(2), &json!(3.21)), "{other}");

    for (body, code, says) in [
        (r#"{"start":-5,"end":3}"#, 409, "does not hold all of"),
        (r#"{"start":30,"end":95}"#, 409, "does not hold all of"),
        (r#"{"start":9,"end":9}"#, 422, "cannot end"),
        (r#"{"start":0,"end":90000}"#, 422, "at most 600 s"),
        (r#"{"start":2e9}"#, 400, "not a time"),
        (r#"{"begin":3}"#, 400, "begin"),
        ("{}", 400, "neither"),
    ] {
        let (status, said) = server.ask("PATCH", &path, body);
        assert!(status == code && said["detail"].as_str().unwrap().contains(says), "{body}: {said}");
        if code == 409 {
            let held = &said["recorded"][0];
            let (start, end) = (held["start"].as_f64().unwrap(), held["end"].as_f64().unwrap());
            assert!(start < 0.2 && (39.0..41.0).contains(&end), "{said}");
            assert!(said["hint"].as_str().unwrap().contains("what is recorded is"), "{said}");
        }
    }
    assert_eq!(server.ask("PATCH", "/v1/clips/nope", r#"{"end":1}"#).0, 404);
    assert_eq!(server.get(&path), other, "what was refused changed nothing");

    // After a restart it is what it was, and nothing is cut or delivered again.
    assert_eq!(server.end("TERM").code(), Some(0));
    let before = (names(&data.join("clips")), lines(&data.join("clips.jsonl")).len());
    let server = Server::start_with(&data, &[], &env);
    assert_eq!(server.get(&path), other);
    assert_eq!((names(&data.join("clips")), lines(&data.join("clips.jsonl")).len()), before);

    // Without its recording it stays as it is.
    std::fs::rename(data.join("recordings"), data.join("gone")).unwrap();
    let (status, said) = server.ask("PATCH", &path, r#"{"end":11}"#);
    assert!(status == 409 && said["recorded"] == json!([]), "{said}");
    std::fs::rename(data.join("gone"), data.join("recordings")).unwrap();

    assert!(!names(&data.join("clips")).is_empty());
    let (status, erased) = server.ask("DELETE", "/v1/streams/show", "");
    assert!(status == 200 && erased["files"].as_u64().unwrap() >= 10, "{erased}");
    assert_eq!(names(&data.join("clips")), Vec::<String>::new());
    assert!(!data.join("recordings/show").exists());
    assert_eq!(server.ask("PATCH", &path, r#"{"end":11}"#).0, 404);
    assert_eq!(server.end("TERM").code(), Some(0));
    let audit = super::clipcore(&["privacy", "audit", &text(&data)]);
    assert!(audit.status.success(), "{audit:?}");
}
