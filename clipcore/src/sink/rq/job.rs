//! A job as RQ 2 and 3 read it from its hash.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::json;

use super::RqSinkConfig;
use crate::cutter::Clip;
use crate::{Error, Result, WallTime};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
}

impl Job {
    pub(super) fn new(clip: &Clip, file: &Path, config: &RqSinkConfig, now: WallTime) -> Result<Self> {
        let Some(path) = file.to_str() else {
            return Err(Error::invalid("a clip's path that is no Unicode text cannot go into a job")
                .with_context("path", file.display()));
        };
        let call = json!([config.function, null, [], {"clip": clip, "file": path}]);
        let mut data = ZlibEncoder::new(Vec::new(), Compression::default());
        data.write_all(call.to_string().as_bytes())?;
        let mut meta = json!({"stream": clip.stream, "clip": clip.id});
        if let Some(trace) = &clip.trace {
            meta["traceparent"] = json!(trace);
        }
        let now = stamp(now);
        let secs = |duration: std::time::Duration| duration.as_secs().to_string().into_bytes();
        let mut fields = vec![
            ("data", data.finish()?),
            // Without it the job runs, but stays in the list of those that are being fetched.
            ("origin", config.queue.clone().into_bytes()),
            ("status", b"queued".to_vec()),
            ("created_at", now.clone().into_bytes()),
            ("enqueued_at", now.into_bytes()),
            (
                "description",
                format!("{} of clip {} ({})", config.function, clip.id, clip.stream).into_bytes(),
            ),
            ("timeout", secs(config.job_timeout)),
            ("result_ttl", secs(config.result_ttl)),
            ("failure_ttl", secs(config.failure_ttl)),
            ("meta", meta.to_string().into_bytes()),
        ];
        if config.retries > 0 {
            fields.push(("retries_left", config.retries.to_string().into_bytes()));
        }
        Ok(Self { id: format!("clipcore-{}", name_of(clip)), fields })
    }
}

/// What tells a clip's job from others: one that was cut anew by hand is another file, and has another job.
pub(super) fn name_of(clip: &Clip) -> String {
    match clip.edit {
        0 => clip.id.to_string(),
        edit => format!("{}-{edit}", clip.id),
    }
}

/// RQ reads `%Y-%m-%dT%H:%M:%S.%fZ`; the fraction with six digits, as Python writes it.
fn stamp(at: WallTime) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{:0<6}Z", fraction.trim_end_matches('Z')),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_six_digits() {
        assert_eq!(stamp(WallTime::from_unix_micros(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(stamp(WallTime::from_unix_micros(1_500_001)), "1970-01-01T00:00:01.500001Z");
        assert_eq!(stamp(WallTime::from_unix_micros(20_000)), "1970-01-01T00:00:00.020000Z");
    }
}
