//! Fetching: into a `.part` file that a later try continues, checked, then moved to its name in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clipcore::model::card::Card;
use clipcore::model::{ModelFile, ModelStore, StoredModel};
use clipcore::{Error, ErrorKind};
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::exit::Exit;
use crate::output::{self, Progress};

/// Models above this size are refused, whatever their card says.
const MOST: u64 = 512 << 20;

/// Where an unfinished download lies.
pub(super) fn part(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

pub(super) fn run(store: &ModelStore, names: &[String], mirror: Option<&str>, quiet: bool) -> Result<Exit> {
    for name in names {
        let model = store.find(name)?;
        let ModelFile::Path(path) = &model.file else {
            output::note(&format!("{name}: built in"));
            continue;
        };
        if path.is_file() && model.verify().is_ok() {
            output::note(&format!("{name}: here already, {}", path.display()));
            continue;
        }
        fs::create_dir_all(store.dir()).map_err(|e| Error::io(e, store.dir()))?;
        let progress = Progress::start(format!("fetching {name}"), quiet);
        let done = pull(&model, path, mirror, &progress);
        progress.finish();
        done.map_err(|e| e.with_context("model", name))?;
        output::note(&format!("{name}: {} ({})", path.display(), model.card.licence));
    }
    Ok(Exit::Done)
}

fn pull(model: &StoredModel, path: &Path, mirror: Option<&str>, progress: &Progress) -> clipcore::Result<()> {
    let card = &model.card;
    let part = part(path);
    match mirror {
        Some(url) if url.contains("://") => {
            fetch(&format!("{}/{}", url.trim_end_matches('/'), card.file), &part, card, progress)?;
        }
        Some(dir) => {
            let from = Path::new(dir).join(&card.file);
            fs::copy(&from, &part).map_err(|e| {
                Error::io(e, &from).with_hint("--mirror names a folder that holds the model's file")
            })?;
        }
        None => {
            let url = card.url.as_deref().ok_or_else(|| no_source(card))?;
            fetch(url, &part, card, progress)?;
        }
    }
    File::open(&part).and_then(|f| f.sync_all()).map_err(|e| Error::io(e, &part))?;
    let arrived = StoredModel { card: card.clone(), file: ModelFile::Path(part.clone()) };
    if let Err(error) = arrived.verify() {
        // What is wrong from the start would be continued for ever.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    let text = card.to_toml()?;
    let beside = Card::path_beside(path);
    fs::write(&beside, text).map_err(|e| Error::io(e, &beside))?;
    fs::rename(&part, path).map_err(|e| Error::io(e, path))
}

fn no_source(card: &Card) -> Error {
    let recipe = card.recipe.as_deref().unwrap_or("its source");
    Error::new(ErrorKind::NotFound, format!("nobody offers {:?} as an ONNX file", card.name))
        .with_context("source", &card.source)
        .with_hint(format!("make it with {recipe}, or take it from a folder with --mirror DIR"))
}

/// Who may vouch for servers: the certificates of the file `SSL_CERT_FILE`, as in OpenSSL, else those built in.
fn roots() -> clipcore::Result<RootCerts> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let path = Path::new(&path);
    let wrong =
        |e: Error| e.with_hint("SSL_CERT_FILE names a PEM file of certificates; unset it for those built in");
    let pem = fs::read(path).map_err(|e| wrong(Error::io(e, path)))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(wrong(
            Error::config("there is no certificate in the file").with_context("path", path.display()),
        ));
    }
    Ok(certificates.into())
}

/// Only HTTPS, but for a server on this machine.
fn agent(url: &str) -> clipcore::Result<Agent> {
    let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    let local = host.is_some_and(|host| ["127.0.0.1", "localhost"].contains(&host));
    if !local && !url.starts_with("https://") {
        return Err(Error::config("models are fetched over https only").with_context("url", url));
    }
    let config = Agent::config_builder()
        .https_only(!local)
        .tls_config(TlsConfig::builder().root_certs(roots()?).build())
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .user_agent(concat!("clipcore/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(config.into())
}

/// Fetches a URL into `part`, after what is there already.
fn fetch(url: &str, part: &Path, card: &Card, progress: &Progress) -> clipcore::Result<()> {
    let limit = card.bytes.unwrap_or(MOST).min(MOST);
    let mut have = fs::metadata(part).map_or(0, |m| m.len());
    if have > 0 && have == limit {
        return Ok(());
    }
    if have > limit {
        have = 0;
    }
    let agent = agent(url)?;
    let unreachable = |e: ureq::Error| {
        Error::new(ErrorKind::Unavailable, "the model cannot be fetched")
            .with_context("url", url)
            .with_source(e)
            .with_hint("the same command goes on where it stopped; --mirror DIR takes it from a folder")
    };
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(unreachable)?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        have = 0;
        response = agent.get(url).call().map_err(unreachable)?;
    }
    let goes_on = response.status() == StatusCode::PARTIAL_CONTENT && have > 0;
    if !goes_on && response.status() != StatusCode::OK {
        return Err(Error::new(ErrorKind::Unavailable, format!("the server said {}", response.status()))
            .with_context("url", url)
            .with_hint("the file may have moved: see the model's source in `clipcore models info`"));
    }
    if !goes_on {
        have = 0;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(goes_on)
        .truncate(!goes_on)
        .open(part)
        .map_err(|e| Error::io(e, part))?;
    let mut body = response.body_mut().as_reader();
    let mut bytes = vec![0; 1 << 16];
    loop {
        let n = body.read(&mut bytes).map_err(|e| {
            Error::new(ErrorKind::Unavailable, "the connection broke off")
                .with_context("url", url)
                .with_context("have", format!("{have} bytes"))
                .with_source(e)
                .with_hint("the same command goes on where it stopped")
        })?;
        if n == 0 {
            break;
        }
        have += n as u64;
        if have > limit {
            drop(file);
            let _ = fs::remove_file(part);
            return Err(Error::invalid(format!(
                "the server sends more than the {limit} bytes that the card says"
            ))
            .with_context("url", url)
            .with_hint("the file was replaced at its source: do not use it without a new card"));
        }
        file.write_all(&bytes[..n]).map_err(|e| Error::io(e, part))?;
        let share = 100 * have / limit.max(1);
        progress.update(format!("fetching {}: {:.1} MB, {share} %", card.name, have as f64 / 1e6));
    }
    match card.bytes {
        Some(whole) if have < whole => Err(Error::new(ErrorKind::Unavailable, "the connection broke off")
            .with_context("url", url)
            .with_context("have", format!("{have} of {whole} bytes"))
            .with_hint("the same command goes on where it stopped")),
        _ => Ok(()),
    }
}
