//! What a person types for streams, inputs and instants.

use std::path::Path;

use clipcore::{CameraId, Error, Result, StreamId, Timestamp};

/// A stream id as an argument.
///
/// # Errors
/// `InvalidInput` where the text is no id.
pub fn stream_id(text: &str) -> Result<StreamId> {
    StreamId::new(text)
}

/// A camera id as an argument.
///
/// # Errors
/// `InvalidInput` where the text is no id.
pub fn camera_id(text: &str) -> Result<CameraId> {
    CameraId::new(text)
}

/// An instant on a stream's timeline: seconds (`83.5`) or `[h:]mm:ss[.fff]`.
///
/// # Errors
/// `InvalidInput` where the text is neither.
pub fn instant(text: &str) -> Result<Timestamp> {
    let wrong = || {
        Error::invalid(format!("{text:?} is not a time"))
            .with_hint("write seconds on the stream's timeline (83.5) or [h:]mm:ss (1:23.5)")
    };
    let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let parts: Vec<&str> = digits.split(':').collect();
    let mut secs = 0.0;
    for (i, part) in parts.iter().enumerate() {
        if part.is_empty() || part.starts_with(['+', '-']) || parts.len() > 3 {
            return Err(wrong());
        }
        let value: f64 = part.parse().map_err(|_| wrong())?;
        // Only the last part may have a fraction, and only the first may pass 59.
        let last = i + 1 == parts.len();
        if (!last && value.fract() != 0.0) || (i > 0 && value >= 60.0) {
            return Err(wrong());
        }
        secs = secs * 60.0 + value;
    }
    Timestamp::try_from_secs_f64(sign * secs).map_err(|_| wrong())
}

/// The stream id of an input that was given none: a file's name without its ending, a URL's host and path. The
/// last part of an RTMP path is a stream key, so it is left out; so are user names and query strings.
pub fn stream_id_of(input: &str) -> StreamId {
    let named = match input.split_once("://") {
        None if input == "-" => "stdin".to_owned(),
        None => Path::new(input).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        Some((scheme, rest)) => {
            let rest = rest.split(['?', '#']).next().unwrap_or_default();
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
            let host = host.rsplit_once(':').map_or(host, |(h, _)| h);
            let path = match scheme.to_ascii_lowercase().starts_with("rtmp") {
                true => path.rsplit_once('/').map_or("", |(app, _)| app),
                false => path.rsplit_once('.').map_or(path, |(stem, _)| stem),
            };
            format!("{host}-{path}")
        }
    };
    let mut id = String::with_capacity(named.len());
    for c in named.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }) {
        if !(c == '-' && (id.is_empty() || id.ends_with('-'))) && id.len() < 64 {
            id.push(c);
        }
    }
    let id = id.trim_matches(['-', '_']);
    StreamId::new(id).or_else(|_| StreamId::new("stream")).unwrap_or_else(|_| unreachable!("a valid id"))
}

/// The camera ids of a stream's inputs: `main` for one, `cam1`, `cam2`, … for several.
pub fn camera_ids(count: usize) -> Vec<CameraId> {
    match count {
        1 => vec![CameraId::main()],
        _ => (1..=count).filter_map(|n| CameraId::new(format!("cam{n}")).ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_seconds_or_clock_like() {
        for (text, secs) in [
            ("0", 0.0),
            ("83.5", 83.5),
            ("1:23.5", 83.5),
            ("1:00:02", 3602.0),
            ("75:00", 4500.0),
            ("-2", -2.0),
        ] {
            assert_eq!(instant(text).unwrap().as_secs_f64(), secs, "{text}");
        }
        for text in
            ["", "soon", "1:", ":5", "1:60", "1.5:00", "1:2:3:4", "nan", "inf", "1e300", "1:-5", "--1"]
        {
            let err = instant(text).unwrap_err().to_string();
            assert!(err.contains("is not a time") && err.contains("mm:ss"), "{text}: {err}");
        }
    }

    #[test]
    fn stream_ids_come_from_names_and_never_hold_secrets() {
        for (input, id) in [
            ("gala.mp4", "gala"),
            ("/videos/My Show (1).mkv", "My-Show-1"),
            ("-", "stdin"),
            ("rtmp://user:pw@relay.example:1935/live/s3cr3t?token=x", "relay-example-live"),
            ("https://cdn.example/show/master.m3u8?sig=1", "cdn-example-show-master"),
            ("srt://host:9000?passphrase=hush", "host"),
            ("../../..", "stream"),
            ("ゲーム.mp4", "stream"),
        ] {
            assert_eq!(stream_id_of(input).as_str(), id, "{input}");
        }
    }
}
