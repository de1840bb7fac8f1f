//! A file on its way into a store: whole when small, in parts when not, and only if it is what it should be.

use std::path::Path;

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{Attributes, ObjectStore, PutMultipartOptions, PutOptions, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::answer::explain;
use crate::ids::hex;
use crate::{Error, ErrorKind, Result};

/// Parts of one file that are on their way at once.
const AT_ONCE: usize = 4;

/// Uploads `file`; nothing appears under `key` where its SHA-256 is not `sha256`.
pub(super) async fn upload(
    store: &dyn ObjectStore,
    key: &Key,
    file: &Path,
    sha256: Option<&str>,
    attributes: Attributes,
    part: usize,
) -> Result<()> {
    let mut input = File::open(file).await.map_err(|e| Error::io(e, file))?;
    let mut hash = Sha256::new();
    let mut next = read(&mut input, file, part).await?;
    hash.update(&next);
    if next.len() < part {
        check(hash, sha256, file)?;
        let options = PutOptions { attributes, ..PutOptions::default() };
        return store.put_opts(key, next.into(), options).await.map(drop).map_err(explain);
    }
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    let upload = store.put_multipart_opts(key, options).await.map_err(explain)?;
    let mut parts = WriteMultipart::new_with_chunk_size(upload, part);
    let sent = async {
        while !next.is_empty() {
            parts.wait_for_capacity(AT_ONCE).await.map_err(explain)?;
            parts.put(next);
            next = read(&mut input, file, part).await?;
            hash.update(&next);
        }
        check(hash, sha256, file)
    };
    if let Err(error) = sent.await {
        // What cannot be taken back now, a rule of the bucket for unfinished uploads removes.
        let _ = parts.abort().await;
        return Err(error);
    }
    parts.finish().await.map(drop).map_err(explain)
}

async fn read(input: &mut File, file: &Path, most: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    input.take(most as u64).read_to_end(&mut bytes).await.map_err(|e| Error::io(e, file))?;
    Ok(bytes.into())
}

fn check(hash: Sha256, want: Option<&str>, file: &Path) -> Result<()> {
    let found = hex(&hash.finalize());
    match want {
        Some(want) if want != found => {
            Err(Error::new(ErrorKind::Corrupt, "the clip's file is not what was cut")
                .with_context("path", file.display())
                .with_context("sha256", found))
        }
        _ => Ok(()),
    }
}
