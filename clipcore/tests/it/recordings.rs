//! A recording that is read over HTTP while it is written.

use std::path::Path;
use std::sync::Arc;

use clipcore::CameraId;
use clipcore::clock::SystemTimeSource;
use clipcore::gateway::{ServeConfig, recordings, serve};
use clipcore::media::mp4::{FragmentReader, Read};
use clipcore::recorder::{Recorder, RecorderConfig, Recordings};
use clipcore::source::media::{Input, MediaSource};
use futures::StreamExt;
use reqwest::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::recording::{recorder, run, stream};
use crate::support::programs::require;
use crate::support::stream::TestStream;

const SECRET: &str = "what only the pools know";

/// Serves recordings on a free port; gives where the camera's is.
async fn served(shown: &Recordings) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = recordings(shown.clone(), Some(SECRET), Arc::new(SystemTimeSource::new()));
    tokio::spawn(serve(listener, router, ServeConfig::default(), CancellationToken::new()));
    format!("http://{address}/v1/recordings/{}/main", stream())
}

/// All recorded files, one after the other.
fn files(dir: &Path) -> Vec<u8> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_read_while_it_is_written_and_ends_with_it() {
    if !require("a_recording_is_read_while_it_is_written_and_ends_with_it", &["ffmpeg", "ffprobe"]) {
        return;
    }
    let made = TestStream { size: (320, 180), pictures: 600, gop: 30, ..TestStream::default() };
    let (file, dir) = (made.kept("mp4"), tempfile::tempdir().unwrap());
    let shown = Recordings::default();
    let url = served(&shown).await;
    let get = |query: &str| Client::new().get(format!("{url}{query}")).bearer_auth(SECRET).send();
    assert_eq!(get("").await.unwrap().status(), 404, "nothing is recorded yet");

    let recorder = recorder(&dir.path().join("rec"));
    shown.add(stream(), CameraId::main(), recorder.recording());
    // Asked before anything is written.
    let mut following = get("").await.unwrap().bytes_stream();
    let source = MediaSource::new(Input::parse(file.to_str().unwrap()).unwrap(), CameraId::main(), recorder);
    let recorded = tokio::spawn(run(source));
    let mut read = Vec::new();
    while let Some(bytes) = following.next().await {
        read.extend_from_slice(&bytes.unwrap());
    }
    recorded.await.unwrap().unwrap();
    assert!(read == files(&dir.path().join("rec")), "{} bytes were read", read.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_with_the_file_that_holds_the_instant_and_is_not_for_everybody() {
    let test = "it_begins_with_the_file_that_holds_the_instant_and_is_not_for_everybody";
    if !require(test, &["ffmpeg", "ffprobe"]) {
        return;
    }
    let made = TestStream { size: (320, 180), pictures: 600, gop: 30, ..TestStream::default() };
    let (file, dir) = (made.kept("mp4"), tempfile::tempdir().unwrap());
    crate::recording::record(&file, recorder(dir.path())).await.unwrap();
    let again = Recorder::open(dir.path(), stream(), CameraId::main(), RecorderConfig::default()).unwrap();
    again.recording().set_ended(true);
    let shown = Recordings::default();
    shown.add(stream(), CameraId::main(), again.recording());
    let url = served(&shown).await;
    let get = async |query: &str, secret: &str| {
        let asked = Client::new().get(format!("{url}{query}")).bearer_auth(secret).send().await.unwrap();
        (asked.status().as_u16(), asked.bytes().await.unwrap())
    };
    let (status, bytes) = get("?from=10", SECRET).await;
    assert_eq!(status, 200);
    let mut reader = FragmentReader::new();
    reader.push(&bytes);
    let mut first = None;
    while let Some(found) = reader.next().unwrap() {
        match found {
            Read::Init(tracks) => first = first.or(Some((tracks, None))),
            Read::Samples(samples) => {
                if let Some((tracks, first @ None)) = &mut first {
                    *first = samples.iter().map(|s| tracks[s.track].micros(s.dts)).min();
                }
            }
            Read::Uuid(..) => {}
        }
    }
    let first = first.and_then(|(_, first)| first).unwrap() as f64 / 1e6;
    assert!((5.0..10.0).contains(&first), "it begins at {first}");

    assert_eq!(get("", "something else").await.0, 401);
    assert_eq!(get("?from=soon", SECRET).await.0, 400);
    assert_eq!(get("?from=1e300", SECRET).await.0, 400);
    drop(again);
    assert_eq!(get("", SECRET).await.0, 404, "it is not recorded any more");
}
