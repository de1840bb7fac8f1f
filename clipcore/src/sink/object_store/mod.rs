//! Finished clips into an object store: S3 and what speaks like it (MinIO, R2, Ceph, …), or a folder.
//!
//! ```text
//! show/2026-11-23/5f3a09c2….mp4         the clip, video/mp4; its SHA-256 in the object's metadata
//! show/2026-11-23/5f3a09c2….mp4.json    what is known of it, one line as in clips.jsonl
//! ```
//!
//! The clip goes first: where its JSON is, the clip is whole. An upload in parts that was cut short leaves parts
//! behind, which S3 keeps until a lifecycle rule of the bucket (`AbortIncompleteMultipartUpload`) removes them.

mod answer;
mod config;
mod key;
mod upload;

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
pub use config::{ObjectStoreSinkConfig, SecretKey};
use futures::StreamExt;
pub use key::KeyTemplate;
use object_store::path::Path as Key;
use object_store::signer::{Method, Signer};
use object_store::{Attribute, Attributes, Error as StoreError, GetOptions, PutOptions};

use self::answer::explain;
use self::config::Store;
use super::{ClipSink, Delivery};
use crate::cutter::Clip;
use crate::log::Receipt;
use crate::{Error, Result, WallTime};

/// Stores each finished clip once; see the [module](self).
///
/// It [wants](ClipSink::wants) `ready` clips only. An object of the clip's size and SHA-256 (where the store says it) is taken
/// for the clip, across restarts too; any other is replaced. A receipt's `location` is the object's address:
/// with [`sign_for`](ObjectStoreSinkConfig::sign_for) a signed one, new each time, which opens the clip to whoever reads the log.
///
/// # Errors
/// `Unavailable` or `DiskFull` (retryable); `NotFound` where the clip's file or the bucket is not there; `Corrupt` where the file is not
/// what the clip says; `Config` where the store refuses the key.
///
/// # Cancel safety
/// A clip appears whole or not at all.
#[derive(Debug)]
pub struct ObjectStoreSink {
    name: Arc<str>,
    config: ObjectStoreSinkConfig,
    store: Store,
}

impl ObjectStoreSink {
    /// A sink named `object_store`; makes the folder, where it is one. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// `Config`; `Io` where the folder cannot be made.
    pub fn new(config: ObjectStoreSinkConfig) -> Result<Self> {
        let store = config.open()?;
        Ok(Self { name: "object_store".into(), config, store })
    }

    /// Gives it another name, so that a pipeline can have several.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    fn key(&self, clip: &Clip, file: &Path) -> Result<Key> {
        let modified = std::fs::metadata(file).and_then(|m| m.modified()).map_err(|e| {
            Error::io(e, file).with_hint("the clip was moved or deleted before it could be stored")
        })?;
        let micros = modified.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
        let key = self.config.key.key(clip, WallTime::from_unix_micros(micros));
        let prefixed = match self.store.prefix.as_ref() {
            "" => key,
            prefix => format!("{prefix}/{key}"),
        };
        Key::parse(prefixed).map_err(|e| explain(e.into()))
    }

    /// Whether the object under `key` is of this size and, where both are known, SHA-256.
    async fn is_there(&self, key: &Key, bytes: u64, sha256: Option<&str>) -> Result<bool> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        match self.store.store.get_opts(key, head).await {
            Ok(found) => {
                let known = found.attributes.get(&Attribute::Metadata("sha256".into()));
                let same = known.zip(sha256).is_none_or(|(known, want)| known.as_ref() == want);
                Ok(same && found.meta.size == bytes)
            }
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(e) => Err(explain(e)),
        }
    }

    fn attributes(&self, kind: &'static str, sha256: Option<&str>) -> Attributes {
        let mut attributes = Attributes::new();
        // A folder has no place for them.
        if self.store.s3.is_some() {
            attributes.insert(Attribute::ContentType, kind.into());
            if let Some(sha256) = sha256 {
                attributes.insert(Attribute::Metadata("sha256".into()), sha256.to_owned().into());
            }
        }
        attributes
    }

    async fn location(&self, key: &Key) -> Result<String> {
        if let (Some(s3), false) = (&self.store.s3, self.config.sign_for.is_zero()) {
            let signed = s3.signed_url(Method::GET, key, self.config.sign_for).await;
            return signed.map(String::from).map_err(explain);
        }
        Ok(format!("{}/{key}", self.store.base.trim_end_matches('/')))
    }

    async fn store(&self, clip: &Clip, file: &Path) -> Result<(bool, String)> {
        let key = self.key(clip, file)?;
        let bytes = std::fs::metadata(file).map_err(|e| Error::io(e, file))?.len();
        let sha256 = clip.sha256.as_deref();
        let known = self.is_there(&key, bytes, sha256).await?;
        if !known {
            let kind = match file.extension().and_then(|e| e.to_str()) {
                Some("mp4") | None => "video/mp4",
                Some(_) => "application/octet-stream",
            };
            let attributes = self.attributes(kind, sha256);
            upload::upload(&*self.store.store, &key, file, sha256, attributes, self.config.part_bytes)
                .await?;
        }
        let mut whole = known;
        if self.config.metadata {
            let beside = Key::parse(format!("{key}.json")).map_err(|e| explain(e.into()))?;
            let mut json = serde_json::to_string(clip)?;
            json.push('\n');
            whole &= self.is_there(&beside, json.len() as u64, None).await?;
            if !whole {
                let attributes = self.attributes("application/json", None);
                let options = PutOptions { attributes, ..PutOptions::default() };
                self.store.store.put_opts(&beside, json.into(), options).await.map_err(explain)?;
            }
        }
        Ok((whole, self.location(&key).await?))
    }
}

#[async_trait]
impl ClipSink for ObjectStoreSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, item: &Delivery) -> bool {
        item.is_finished_clip()
    }

    /// Lists the first object, which needs bucket, network and key.
    async fn check(&self) -> Result<()> {
        let first = self.store.store.list(Some(&self.store.prefix)).next().await;
        let found = first.transpose().map(drop).map_err(explain);
        found.map_err(|e| e.with_context("server", &self.config.url).with_operation("object_store::check"))
    }

    async fn deliver(&self, item: &Delivery) -> Result<Receipt> {
        let mut receipt = item.receipt(&self.name);
        let finished = item.finished_clip().map_err(|e| e.with_operation("object_store::deliver"))?;
        let Some((clip, file)) = finished else { return Ok(receipt) };
        let stored = self.store(clip, file).await;
        let (duplicate, location) = stored.map_err(|e| {
            e.with_context("server", &self.config.url)
                .with_context("clip", &clip.id)
                .with_operation("object_store::deliver")
        })?;
        (receipt.duplicate, receipt.location) = (duplicate, Some(location));
        Ok(receipt)
    }
}
