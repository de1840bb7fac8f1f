//! Models that are part of the program.

use super::StoredModel;
use crate::Result;

/// The models that need no file.
pub(super) fn models() -> Result<Vec<StoredModel>> {
    Ok(Vec::new())
}
