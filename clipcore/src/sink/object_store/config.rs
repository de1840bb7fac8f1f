//! Where clips are stored, and with whose keys.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use serde::{Deserialize, Serialize, Serializer};

use super::answer::explain;
use super::key::KeyTemplate;
use crate::durable::create_dir;
use crate::{Error, Result, config};

/// S3 takes parts from 5 MiB on; this holds for all but the last.
const MIN_PART: usize = 5 << 20;
const MAX_PART: usize = 512 << 20;
/// As long as S3 lets a signed address live.
const MAX_SIGNED: Duration = Duration::from_secs(7 * 86_400);

/// How clips go to an object store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectStoreSinkConfig {
    /// The store: `s3://bucket/prefix`, or a folder.
    pub url: String,
    /// What clips are called in it.
    #[serde(default)]
    pub key: KeyTemplate,
    /// Whether what is known of a clip goes beside it, as JSON under the clip's key with `.json` added.
    #[serde(default = "yes")]
    pub metadata: bool,
    /// The address of a server that speaks S3, `https://minio.example.org:9000`; Amazon's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region; `AWS_REGION` or `us-east-1` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The key's id; `AWS_ACCESS_KEY_ID` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The secret key; `AWS_SECRET_ACCESS_KEY` where absent. Never printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretKey>,
    /// A file that holds the secret key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_file: Option<PathBuf>,
    /// What receipts say in place of the store's own address, for example that of a CDN; the key is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Receipts give an address that anybody can read for so long, up to a week; in seconds in files; 0 signs none.
    #[serde(default, with = "config::secs")]
    pub sign_for: Duration,
    /// Larger files go in parts of so many bytes, 5 MiB to 512 MiB.
    #[serde(default = "usual_part")]
    pub part_bytes: usize,
    /// How long one request may take; in seconds in files.
    #[serde(default = "usual_timeout", with = "config::secs")]
    pub timeout: Duration,
}

fn yes() -> bool {
    true
}

fn usual_part() -> usize {
    16 << 20
}

fn usual_timeout() -> Duration {
    Duration::from_secs(60)
}

/// A secret key, which is shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretKey(String);

impl SecretKey {
    /// Takes the key as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl Serialize for SecretKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("(hidden)")
    }
}

/// An opened store.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same, where it is one that signs and keeps content types.
    pub(super) s3: Option<Arc<AmazonS3>>,
    /// Before each key.
    pub(super) prefix: Key,
    /// Before each key in a receipt.
    pub(super) base: String,
}

impl ObjectStoreSinkConfig {
    /// Stores clips at `url`: `s3://bucket/prefix` or a folder.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            key: KeyTemplate::default(),
            metadata: true,
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            secret_access_key_file: None,
            public_url: None,
            sign_for: Duration::ZERO,
            part_bytes: usual_part(),
            timeout: usual_timeout(),
        }
    }

    pub(super) fn open(&self) -> Result<Store> {
        if !(MIN_PART..=MAX_PART).contains(&self.part_bytes) {
            return Err(
                Error::config("part_bytes is out of range").with_hint("from 5 MiB (5242880) to 512 MiB")
            );
        }
        if self.sign_for > MAX_SIGNED {
            return Err(
                Error::config("sign_for is longer than a week").with_hint("S3 signs for a week at most")
            );
        }
        match self.url.split_once("://") {
            Some(("s3", rest)) => self.open_s3(rest),
            Some(("file", path)) => self.open_dir(path.into()),
            None if !self.url.is_empty() => self.open_dir(self.url.clone().into()),
            _ => Err(Error::config("this is not the address of an object store")
                .with_context("url", &self.url)
                .with_hint("it looks like s3://bucket/prefix, or is the path of a folder")),
        }
    }

    fn open_dir(&self, dir: PathBuf) -> Result<Store> {
        if !self.sign_for.is_zero() {
            return Err(Error::config("a folder signs no addresses").with_hint("leave sign_for out"));
        }
        create_dir(&dir)?;
        let dir = std::path::absolute(&dir).map_err(|e| Error::io(e, &dir))?;
        let local = LocalFileSystem::new_with_prefix(&dir).map_err(explain)?.with_fsync(true);
        let base = self.public_url.clone().unwrap_or_else(|| dir.display().to_string());
        Ok(Store { store: Arc::new(local), s3: None, prefix: Key::default(), base })
    }

    fn open_s3(&self, rest: &str) -> Result<Store> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|e| {
            Error::config("the prefix in the store's url is no path")
                .with_context("url", &self.url)
                .with_source(e)
        })?;
        let http = self.endpoint.as_ref().is_some_and(|e| e.starts_with("http://"));
        let options = ClientOptions::new().with_timeout(self.timeout).with_allow_http(http);
        // Waiting for a server is the retry layer's business.
        let retry = RetryConfig { max_retries: 1, retry_timeout: self.timeout, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(id) = &self.access_key_id {
            builder = builder.with_access_key_id(id);
        }
        if let Some(secret) = self.secret()? {
            builder = builder.with_secret_access_key(secret.0);
        }
        let s3 = Arc::new(builder.build().map_err(|e| {
            Error::config("the object store cannot be set up").with_context("url", &self.url).with_source(e)
        })?);
        let own = match &self.endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None => format!("https://{bucket}.s3.amazonaws.com"),
        };
        let base = self.public_url.clone().unwrap_or(own);
        Ok(Store { store: s3.clone(), s3: Some(s3), prefix, base })
    }

    fn secret(&self) -> Result<Option<SecretKey>> {
        let Some(path) = &self.secret_access_key_file else { return Ok(self.secret_access_key.clone()) };
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::config("the file of the secret key cannot be read")
                .with_context("secret_access_key_file", path.display())
                .with_source(e)
        })?;
        Ok(Some(SecretKey(text.trim().to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_what_would() {
        for (text, says) in [
            ("url = 'gs://x'", "s3://bucket/prefix"),
            ("url = ''", "s3://bucket/prefix"),
            ("url = 's3://b'\npart_bytes = 1", "5242880"),
            ("url = 's3://b'\nsign_for = 1e6", "a week"),
            ("url = 's3://b/../c'", "prefix"),
            ("url = 's3://b'\nsecret_access_key_file = '/no/such'", "/no/such"),
        ] {
            let config: ObjectStoreSinkConfig = toml::from_str(text).unwrap();
            let error = config.open().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_secret_key_is_never_printed() {
        let config: ObjectStoreSinkConfig =
            toml::from_str("url = 's3://b'\naccess_key_id = 'me'\nsecret_access_key = 'hush'").unwrap();
        let printed = toml::to_string(&config).unwrap() + &format!("{config:?}");
        assert!(printed.contains("me") && !printed.contains("hush"), "{printed}");
    }
}
