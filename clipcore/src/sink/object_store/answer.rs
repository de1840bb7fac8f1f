//! What a store's errors mean.

use std::error::Error as _;

use object_store::Error as StoreError;

use crate::{Error, ErrorKind};

pub(super) fn explain(error: StoreError) -> Error {
    let found = match &error {
        StoreError::NotFound { .. } => no_bucket(),
        // Of a list it is told as text.
        StoreError::Generic { source, .. } if source.to_string().contains("<Code>NoSuchBucket</Code>") => {
            no_bucket()
        }
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            Error::config("the store refused the key")
                .with_hint("check access_key_id and its secret; it needs ListBucket, GetObject and PutObject")
        }
        StoreError::InvalidPath { .. } => Error::invalid("this cannot be a key"),
        StoreError::Generic { .. } => match disk_full(&error) {
            true => Error::new(ErrorKind::DiskFull, "the store is full").with_retryable(true),
            false => Error::new(ErrorKind::Unavailable, "the store did not do it"),
        },
        StoreError::JoinError { .. } => Error::new(ErrorKind::Cancelled, "ended before it was done"),
        _ => Error::new(ErrorKind::Unsupported, "the store cannot do this"),
    };
    found.with_source(error)
}

fn no_bucket() -> Error {
    Error::new(ErrorKind::NotFound, "the store does not have it")
        .with_hint("check that the bucket exists, and is in this region")
}

fn disk_full(error: &StoreError) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        }
        cause = inner.source();
    }
    false
}
