use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// Where media comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// `http(s)://`, `rtmp(s)://`, `srt://`, `rtsp(s)://`.
    Url {
        /// The part before `://`, in lower case.
        scheme: String,
        /// All of it.
        url: String,
    },
    /// Standard input.
    Stdin,
}

const SCHEMES: [&str; 8] = ["http", "https", "rtmp", "rtmps", "srt", "rtsp", "rtsps", "udp"];

impl Input {
    /// Reads what a person typed: a path, a URL, or `-`.
    ///
    /// # Errors
    /// `NotFound` for a file that is not there, `Unsupported` for a scheme that is not known.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let scheme = scheme.to_ascii_lowercase();
            if !SCHEMES.contains(&scheme.as_str()) {
                return Err(Error::new(ErrorKind::Unsupported, format!("{scheme}:// cannot be read"))
                    .with_hint(format!(
                        "known are {}, files and - (standard input)",
                        SCHEMES.join("://, ") + "://"
                    )));
            }
            // SRT and UDP may listen on all addresses, which an empty host means.
            let listens = matches!(scheme.as_str(), "srt" | "udp");
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            if rest.is_empty() || (!listens && (host.is_empty() || host.starts_with(':'))) {
                return Err(Error::invalid(format!("this {scheme}:// address names no host"))
                    .with_hint(format!("write it as {scheme}://host/path")));
            }
            return Ok(Self::Url { scheme, url: text.to_owned() });
        }
        let path = Path::new(text);
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(Error::invalid("this is a folder, not a media file")
                .with_context("path", path.display())
                .with_hint("name the file inside it")),
            Ok(meta) if meta.is_file() && meta.len() == 0 => {
                Err(Error::invalid("the file is empty").with_context("path", path.display()))
            }
            Ok(_) => Ok(Self::File(path.to_owned())),
            Err(e) => Err(Error::io(e, path)
                .with_hint("check the path; URLs begin with rtmp://, srt://, rtsp:// or http(s)://")),
        }
    }

    /// Whether it goes on whether we read it or not, so that a slow reader must drop rather than wait.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Url { .. })
    }

    pub(super) fn is_rtsp(&self) -> bool {
        matches!(self, Self::Url { scheme, .. } if scheme.starts_with("rtsp"))
    }

    /// Whether an orderly end is the end of the input: files, standard input, and playlists that say so.
    pub(super) fn ends(&self) -> bool {
        match self {
            Self::File(_) | Self::Stdin => true,
            Self::Url { scheme, .. } => scheme.starts_with("http"),
        }
    }

    /// For messages: without user names, passwords, stream keys and query strings.
    pub fn display_name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Url { scheme, url } => {
                let rest = url.split_once("://").map_or("", |(_, r)| r);
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
                // The last segment of an RTMP path is the stream key.
                let path = match (scheme.starts_with("rtmp"), path.rsplit_once('/')) {
                    (true, Some((app, _))) => format!("{app}/…"),
                    _ => path.to_owned(),
                };
                format!("{scheme}://{host}/{path}")
            }
        }
    }

    /// What ffmpeg said, without what [`display_name`](Self::display_name) leaves out and without memory addresses.
    pub(super) fn scrub(&self, said: &str) -> String {
        let mut text = String::with_capacity(said.len());
        let mut rest = said;
        while let Some(at) = rest.find(" @ 0x") {
            text.push_str(&rest[..at]);
            rest = rest[at + 5..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
        }
        text.push_str(rest);
        let Self::Url { scheme, url } = self else { return text };
        text = text.replace(url.as_str(), &self.display_name());
        for secret in secrets(scheme, url) {
            text = text.replace(secret, "…");
        }
        text
    }

    /// ffmpeg's arguments up to and including `-i`.
    pub(super) fn args(&self, stall: Duration) -> Vec<String> {
        let micros = stall.as_micros().to_string();
        // A hostile playlist must not make a remote input read local files, nor a local one call out.
        let local = "file,pipe,crypto,data";
        let remote = "http,https,tcp,tls,crypto,data,udp,rtp,rtmp,rtmps,rtmpt,rtmpe,srt,rtsp,rtsps,hls";
        let own = |args: &[&str]| args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
        match self {
            Self::File(path) => {
                // The prefix keeps a name such as `-y` or `concat:x` from being anything but a file.
                let path = format!("file:{}", path.display());
                [own(&["-protocol_whitelist", local, "-i"]), vec![path]].concat()
            }
            Self::Stdin => own(&["-protocol_whitelist", local, "-i", "pipe:0"]),
            Self::Url { scheme, url } => {
                let timeout = match scheme.as_str() {
                    "rtsp" | "rtsps" => own(&["-rtsp_transport", "tcp", "-timeout", &micros]),
                    "rtmp" | "rtmps" => own(&["-rtmp_live", "live", "-rw_timeout", &micros]),
                    _ => own(&["-rw_timeout", &micros]),
                };
                // Relays send sound before the first keyframe: probing must outlast one GOP.
                let probe = own(&["-analyzeduration", "5000000", "-probesize", "5000000"]);
                [timeout, probe, own(&["-protocol_whitelist", remote, "-i"]), vec![url.clone()]].concat()
            }
        }
    }
}

/// The parts of a URL that are nobody else's business, longest first: user and password, the values of the query, and
/// the stream key that ends an RTMP path.
fn secrets<'a>(scheme: &str, url: &'a str) -> Vec<&'a str> {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let mut found: Vec<&str> = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1)).collect();
    found.push(user);
    found.extend(user.split(':'));
    if scheme.starts_with("rtmp") {
        found.extend(path.rsplit_once('/').map(|(_, key)| key));
    }
    // Anything shorter would tear words apart, and is no secret.
    found.retain(|secret| secret.len() > 3);
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_out_of_names() {
        let name = |url: &str| Input::parse(url).unwrap().display_name();
        assert_eq!(name("rtmp://u:p@host:1935/live/secret?token=x"), "rtmp://host:1935/live/…");
        assert_eq!(name("srt://host:9000?passphrase=hush"), "srt://host:9000/");
        assert_eq!(name("https://cdn/a/b.m3u8?sig=1"), "https://cdn/a/b.m3u8");
    }

    #[test]
    fn secrets_stay_out_of_what_ffmpeg_said() {
        let input = Input::parse("rtmp://ann:pass1@host/live/s3cr3t?token=tok99").unwrap();
        let said = input.scrub(
            "[rtmp @ 0x55ad0e178a00] Server error: s3cr3t?token=tok99 / \
             rtmp://ann:pass1@host/live/s3cr3t?token=tok99: Connection refused",
        );
        assert_eq!(said, "[rtmp] Server error: …?token=… / rtmp://host/live/…: Connection refused");
        assert!(Input::parse("udp://:5000").is_ok() && Input::parse("srt://:9000?mode=listener").is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (text, says) in [
            ("gopher://x/y", "gopher:// cannot be read"),
            ("/no/such/file.mp4", "there is no such file"),
            ("/", "a folder"),
            ("rtmp://", "names no host"),
            ("rtmp:///live/key", "names no host"),
            ("https://:80/x.m3u8", "names no host"),
        ] {
            let err = Input::parse(text).unwrap_err().to_string();
            assert!(err.contains(says), "{text}: {err}");
        }
    }
}
