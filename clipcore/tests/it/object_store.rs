//! Clips into a folder, and into a server that speaks S3.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clipcore::ErrorKind;
use clipcore::conformance::sink as kit;
use clipcore::cutter::ClipState;
use clipcore::sink::object_store::SecretKey;
use clipcore::sink::{ClipSink, Delivery, ObjectStoreSink, ObjectStoreSinkConfig};

use crate::support::programs::skipped;
use crate::support::server::Server;

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(list) = std::fs::read_dir(dir) else { return Vec::new() };
    list.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path) } else { vec![path] }
    })
    .collect()
}

fn clips(dir: &Path) -> usize {
    files(dir).iter().filter(|f| f.extension().is_some_and(|e| e == "mp4")).count()
}

fn clip_file(bytes: usize) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    std::fs::write(file.path(), (0..bytes).map(|i| (i / 7) as u8).collect::<Vec<_>>()).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_conforms() {
    let file = clip_file(1000);
    let root = tempfile::tempdir().unwrap();
    let current = Mutex::new(PathBuf::new());
    let number = AtomicU32::new(0);
    let make = async || {
        let dir = root.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
        current.lock().unwrap().clone_from(&dir);
        ObjectStoreSink::new(ObjectStoreSinkConfig::new(dir.to_str().unwrap()))
    };
    kit::sink(make, async |_: &ObjectStoreSink| clips(&current.lock().unwrap()), file.path()).await;
    let dir = root.path().join("again");
    let open = async || ObjectStoreSink::new(ObjectStoreSinkConfig::new(format!("file://{}", dir.display())));
    kit::sink_reopened(open, async |_| clips(&dir), file.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_lies_whole_under_its_key_with_what_is_known_of_it_beside() {
    let (file, dir) = (clip_file(1000), tempfile::tempdir().unwrap());
    let config = ObjectStoreSinkConfig {
        key: "{stream}/{clip}.mp4".parse().unwrap(),
        ..ObjectStoreSinkConfig::new(dir.path().to_str().unwrap())
    };
    let sink = ObjectStoreSink::new(config).unwrap();
    let item = kit::clip("s1", "c1", ClipState::Ready, Some(file.path()));
    let receipt = sink.deliver(&item).await.unwrap();
    let path = dir.path().join("s1/c1.mp4");
    assert_eq!(Path::new(&receipt.location.unwrap()), path.canonicalize().unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(file.path()).unwrap());
    let Delivery::Clip { clip, .. } = &item else { unreachable!() };
    let beside = std::fs::read(dir.path().join("s1/c1.mp4.json")).unwrap();
    assert_eq!(serde_json::from_slice::<clipcore::cutter::Clip>(&beside).unwrap(), *clip);

    // A file that is not what was cut appears nowhere, and what is cut short is put right.
    std::fs::write(&path, b"half").unwrap();
    assert!(!sink.deliver(&item).await.unwrap().duplicate);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1000);
    std::fs::write(file.path(), b"other").unwrap();
    let Delivery::Clip { mut clip, file } = item else { unreachable!() };
    clip.id = "c2".into();
    let error = sink.deliver(&Delivery::Clip { clip, file }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!dir.path().join("s1/c2.mp4").exists());
}

/// A server that speaks S3, out of `scripts/s3.sh`; in memory, on a free port.
struct S3 {
    server: Server,
}

impl S3 {
    fn start(test: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let program = root.join("target/moto/bin/moto_server");
        if !program.exists() {
            skipped(test, "target/moto is not there (scripts/s3.sh makes it; needs pip)");
            return None;
        }
        let mut server = Server::new();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &server.port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Python on a busy machine takes a while.
        assert!(server.start(command) || server.listens() || server.listens(), "no S3 server");
        Some(Self { server })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    async fn bucket(&self, name: &str) {
        reqwest::Client::new().put(format!("{}/{name}", self.url())).send().await.unwrap();
    }

    async fn list(&self, bucket: &str) -> String {
        reqwest::get(format!("{}/{bucket}?list-type=2", self.url())).await.unwrap().text().await.unwrap()
    }

    fn config(&self, url: &str) -> ObjectStoreSinkConfig {
        ObjectStoreSinkConfig {
            endpoint: Some(self.url()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some("me".to_owned()),
            secret_access_key: Some(SecretKey::new("hush")),
            ..ObjectStoreSinkConfig::new(url)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_s3_conforms() {
    let Some(s3) = S3::start("object_store::a_server_that_speaks_s3_conforms") else { return };
    let file = clip_file(1000);
    let number = AtomicU32::new(0);
    let make = async || {
        let bucket = format!("clips-{}", number.fetch_add(1, Ordering::Relaxed) + 1);
        s3.bucket(&bucket).await;
        ObjectStoreSink::new(s3.config(&format!("s3://{bucket}/some/prefix")))
    };
    let effects = async |_: &ObjectStoreSink| {
        s3.list(&format!("clips-{}", number.load(Ordering::Relaxed))).await.matches(".mp4</Key>").count()
    };
    kit::sink(make, effects, file.path()).await;
    s3.bucket("again").await;
    let open = async || ObjectStoreSink::new(s3.config("s3://again"));
    kit::sink_reopened(open, async |_| s3.list("again").await.matches(".mp4</Key>").count(), file.path())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_clips_go_in_parts_and_signed_addresses_open_them() {
    let Some(s3) = S3::start("object_store::large_clips_go_in_parts_and_signed_addresses_open_them") else {
        return;
    };
    s3.bucket("clips").await;
    let file = clip_file(12_000_001);
    let config = ObjectStoreSinkConfig {
        part_bytes: 5 << 20,
        sign_for: Duration::from_secs(60),
        ..s3.config("s3://clips")
    };
    let sink = ObjectStoreSink::new(config).unwrap();
    let item = kit::clip("s1", "c1", ClipState::Ready, Some(file.path()));
    let receipt = sink.deliver(&item).await.unwrap();
    let signed = receipt.location.unwrap();
    assert!(signed.contains("X-Amz-Signature=") && !signed.contains("hush"), "{signed}");
    let answer = reqwest::get(&signed).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    // S3 marks objects that were uploaded in parts, three here.
    assert!(answer.headers()["etag"].to_str().unwrap().contains("-3"), "{:?}", answer.headers());
    assert!(answer.bytes().await.unwrap() == std::fs::read(file.path()).unwrap(), "another file came back");
    assert!(sink.deliver(&item).await.unwrap().duplicate);

    let error = ObjectStoreSink::new(s3.config("s3://nowhere")).unwrap().check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotFound, false), "{error}");
    assert!(error.to_string().contains("bucket"), "{error}");
    drop(s3);
}
