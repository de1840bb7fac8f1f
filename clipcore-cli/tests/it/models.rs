//! `clipcore models` against a server of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use clipcore::conformance::onnx::OnnxFile;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::support::certificates::certificates;
use crate::support::programs::require;

/// A model of its own, 600 KB, and its card.
fn model() -> Vec<u8> {
    let weights: Vec<f32> = (0..150_000).map(|i| (i % 97) as f32).collect();
    OnnxFile::new()
        .input("patches", "float32", &["N", "96", "64"])
        .weight_f32("unused", &[150_000], &weights)
        .node("ReduceMean", &["patches"], &["scores"], &[])
        .output("scores", "float32", &["N", "1"])
        .bytes()
}

fn card(url: &str, bytes: &[u8]) -> String {
    let mel = "rate = 16000\nwindow = 400\nhop = 160\nfft = 512\nspectrum = \"magnitude\"\nmel = \"htk\"\n\
               bands = 64\nlow = 125.0\nhigh = 7500.0\nlog = \"natural\"\noffset = 0.001";
    let sum = clipcore::hex(&Sha256::digest(bytes));
    format!(
        "format = 1\nname = \"mine\"\ntask = \"audio_tags\"\nfile = \"mine.onnx\"\nsha256 = \"{sum}\"\nbytes = {}\n\
         licence = \"CC0-1.0\"\nsource = \"this test\"\nurl = \"{url}\"\nlabels = [\"noise\"]\n\n\
         [input]\nname = \"patches\"\nshape = [\"batch\", 96, 64]\nkind = \"log_mel\"\n\n[input.log_mel]\n{mel}\n\n\
         [[output]]\nname = \"scores\"\n\n[[group]]\nlabel = \"cheer\"\nlabels = [\"noise\"]\n",
        bytes.len()
    )
}

/// Serves `bytes` over HTTP with ranges; breaks the first `broken` answers off half-way. Gives the address and the ranges
/// that were asked for.
fn serve(bytes: Vec<u8>, broken: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mine.onnx", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = asked.clone();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let range = answer(stream.unwrap(), &bytes, n < broken);
            note.lock().unwrap().push(range);
        }
    });
    (url, asked)
}

/// The same over TLS, with the certificate in `authority`, a folder of certificates.
fn serve_tls(authority: &Path, bytes: Vec<u8>, broken: usize) -> String {
    let certificate = CertificateDer::from_pem_file(authority.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(authority.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/mine.onnx", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let mut answered = 0;
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            // Who does not trust the certificate breaks the handshake off.
            if tls.flush().is_ok() {
                answer(tls, &bytes, answered < broken);
                answered += 1;
            }
        }
    });
    url
}

fn answer(mut stream: impl Read + Write, bytes: &[u8], broken: bool) -> String {
    let mut range = String::new();
    let mut lines = BufReader::new(&mut stream).lines();
    while let Some(Ok(line)) = lines.next().filter(|l| l.as_ref().is_ok_and(|l| !l.is_empty())) {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("range")
        {
            range = value.to_owned();
        }
    }
    let from = range.strip_prefix("bytes=").and_then(|r| r.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let rest: &[u8] = &bytes[from..];
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    let sent = if broken { rest.len() / 2 } else { rest.len() };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&rest[..sent]));
    let _ = stream.flush();
    range
}

fn clipcore(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
    command.arg("models").args(args).env("CLIPCORE__MODELS__DIR", dir);
    command.env("CLIPCORE__MODELS__BACKEND", "pure").output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder that knows the model by its card alone.
fn folder(url: &str, bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.toml"), card(url, bytes)).unwrap();
    dir
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_stopped_and_is_checked() {
    let bytes = model();
    let (url, asked) = serve(bytes.clone(), 1);
    let dir = folder(&url, &bytes);
    let first = clipcore(dir.path(), &["pull", "mine"]);
    assert_eq!(first.status.code(), Some(3), "{}", said(&first));
    assert!(said(&first).contains("goes on where it stopped"), "{}", said(&first));
    assert!(!dir.path().join("mine.onnx").exists(), "half a file has no final name");

    let second = clipcore(dir.path(), &["pull", "mine"]);
    assert!(second.status.success(), "{}", said(&second));
    assert_eq!(std::fs::read(dir.path().join("mine.onnx")).unwrap(), bytes);
    let asked = asked.lock().unwrap().clone();
    assert!(asked[0].is_empty() && asked[1].starts_with("bytes="), "{asked:?}");

    let verify = clipcore(dir.path(), &["verify", "mine"]);
    assert!(verify.status.success() && said(&verify).contains("ok    mine"), "{}", said(&verify));
    let info = said(&clipcore(dir.path(), &["info", "mine"]));
    assert!(info.contains("takes patches float32 [N, 96, 64]"), "{info}");
    let again = said(&clipcore(dir.path(), &["pull", "mine"]));
    assert!(again.contains("here already"), "{again}");

    assert!(clipcore(dir.path(), &["remove", "mine"]).status.success());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn over_https_the_server_must_be_vouched_for() {
    if !require("pull over HTTPS", &["openssl"]) {
        return;
    }
    let authority = tempfile::tempdir().unwrap();
    certificates(authority.path());
    let bytes = model();
    let url = serve_tls(authority.path(), bytes.clone(), 1);
    let dir = folder(&url, &bytes);
    let file = authority.path().join("ca.crt");
    let pull = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clipcore"));
        command.args(["models", "pull", "mine"]).env("CLIPCORE__MODELS__DIR", dir.path());
        command
    };
    let stranger = pull().output().unwrap();
    assert!(said(&stranger).contains("invalid peer certificate"), "{}", said(&stranger));
    let nobody = pull().env("SSL_CERT_FILE", dir.path().join("mine.toml")).output().unwrap();
    assert!(said(&nobody).contains("SSL_CERT_FILE names a PEM file"), "{}", said(&nobody));

    let broken = pull().env("SSL_CERT_FILE", &file).output().unwrap();
    assert!(said(&broken).contains("goes on where it stopped"), "{}", said(&broken));
    let done = pull().env("SSL_CERT_FILE", &file).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(std::fs::read(dir.path().join("mine.onnx")).unwrap(), bytes);
}

#[test]
fn what_is_not_the_file_of_the_card_is_not_kept() {
    let bytes = model();
    let mut other = bytes.clone();
    let last = other.len() - 1000;
    other[last] ^= 1;
    let (url, _) = serve(other, 0);
    let dir = folder(&url, &bytes);
    let out = clipcore(dir.path(), &["pull", "mine"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(said(&out).contains("not the file that its card speaks of"), "{}", said(&out));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.toml"]);

    // One that goes on for ever is stopped.
    let (url, _) = serve([bytes.clone(), vec![0; 1000]].concat(), 0);
    let dir = folder(&url, &bytes);
    let out = said(&clipcore(dir.path(), &["pull", "mine"]));
    assert!(out.contains("more than the"), "{out}");
}

#[test]
fn a_mirror_folder_needs_no_network_and_unsafe_addresses_are_refused() {
    let bytes = model();
    let mirror = tempfile::tempdir().unwrap();
    std::fs::write(mirror.path().join("mine.onnx"), &bytes).unwrap();
    let dir = folder("https://localhost:1/mine.onnx", &bytes);
    let out = clipcore(dir.path(), &["pull", "mine", "--mirror", mirror.path().to_str().unwrap()]);
    assert!(out.status.success(), "{}", said(&out));
    assert_eq!(std::fs::read(dir.path().join("mine.onnx")).unwrap(), bytes);

    let dir = folder("http://models.example/mine.onnx", &bytes);
    let out = clipcore(dir.path(), &["pull", "mine"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(said(&out).contains("https only"), "{}", said(&out));
    let out = said(&clipcore(dir.path(), &["pull", "yamnet"]));
    assert!(out.contains("scripts/models/yamnet.py") && out.contains("--mirror"), "{out}");
    let out = said(&clipcore(dir.path(), &["pull", "nonsense"]));
    assert!(out.contains("there is no model \"nonsense\"") && out.contains("yunet"), "{out}");
}

#[test]
fn the_list_shows_what_is_built_in_what_is_here_and_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let out = clipcore(dir.path(), &["list", "--json"]);
    let rows: Vec<serde_json::Value> =
        said(&out).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let here = |name: &str| rows.iter().find(|r| r["name"] == name).map(|r| r["here"].clone());
    assert_eq!(here("tagger"), Some(true.into()));
    assert_eq!(here("yamnet"), Some(false.into()));
    assert!(said(&clipcore(dir.path(), &["verify"])).contains("ok    tagger"));
}

/// Ten seconds of a tone that gets louder, as a file.
fn sound(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("sound.mp4");
    let tone = "aevalsrc='0.01*sin(2*PI*440*t)*(1+60*gt(t,6))':s=16000:d=10";
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", tone, "-c:a", "aac"]).arg(&path);
    crate::support::programs::run(&mut ffmpeg);
    path
}

#[test]
fn a_bad_model_costs_its_detector_and_the_stream_goes_on_and_says_so() {
    if !require("a bad model", &["ffmpeg"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let sound = sound(dir.path());
    let good = model();
    let not_finite = OnnxFile::new()
        .input("patches", "float32", &["N", "96", "64"])
        .node("Log", &["patches"], &["scores"], &[])
        .output("scores", "float32", &["N", "96", "64"])
        .bytes();
    let path = dir.path().join("mine.onnx");
    for (what, bytes, parts) in [
        ("truncated", good[..good.len() / 2].to_vec(), ["audio_tagger is off", "not a whole ONNX model"]),
        ("a pickle", b"\x80\x02}q\x00.".to_vec(), ["audio_tagger is off", "Python pickle"]),
        (
            "another shape",
            OnnxFile::new()
                .input("x", "float32", &["N", "40"])
                .node("Identity", &["x"], &["scores"], &[])
                .output("scores", "float32", &["N", "40"])
                .bytes(),
            ["audio_tagger is off", "no input \"patches\""],
        ),
        ("not finite", not_finite, ["audio_tagger goes on without some answers", "not finite"]),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let card = card("https://localhost/mine.onnx", &bytes);
        let card: String =
            card.lines().filter(|l| !l.starts_with("sha256")).map(|l| format!("{l}\n")).collect();
        std::fs::write(dir.path().join("mine.toml"), card).unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_clipcore"))
            .arg("detect")
            .arg(&sound)
            .env("CLIPCORE__MODELS__AUDIO", &path)
            .env("CLIPCORE__MODELS__BACKEND", "pure")
            .output()
            .unwrap();
        let said = said(&out);
        assert!(out.status.success(), "{what}: {said}");
        assert!(said.contains("\"loudness\""), "{what}: the other detector has not spoken: {said}");
        for part in parts.iter().chain(&["mine.onnx"]) {
            assert!(said.contains(part), "{what}: {said}");
        }
    }
}
