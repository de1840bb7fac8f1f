use super::Card;
use crate::Result;

/// Cards of models that are known to work; the models themselves are fetched with `clipcore models pull`.
const SHIPPED: [&str; 5] = [
    include_str!("shipped/yamnet.toml"),
    include_str!("shipped/yunet.toml"),
    include_str!("shipped/ultraface.toml"),
    include_str!("shipped/mini_xception.toml"),
    include_str!("shipped/silero_vad.toml"),
];

/// The cards of known models.
///
/// # Errors
/// `Config`, should a card of this build be malformed.
pub fn shipped() -> Result<Vec<Card>> {
    SHIPPED.iter().map(|text| Card::parse(text)).collect()
}
