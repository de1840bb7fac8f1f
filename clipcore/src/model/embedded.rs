//! Models that are part of the program; `scripts/tagger` makes them.

use super::card::Card;
use super::{ModelFile, StoredModel};
use crate::Result;

const TAGGER: (&str, &[u8]) = (include_str!("embedded/tagger.toml"), include_bytes!("embedded/tagger.onnx"));

/// The models that need no file.
///
/// # Errors
/// `Config`, should a card of this build be malformed.
pub(super) fn models() -> Result<Vec<StoredModel>> {
    let (card, bytes) = TAGGER;
    Ok(vec![StoredModel { card: Card::parse(card)?, file: ModelFile::Embedded(bytes) }])
}
