//! From sound to what a model takes.

mod frame;
mod log_mel;
mod mel;
mod spectrum;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use log_mel::{LogMel, LogMelConfig, LogScale, Spectrum};
pub use mel::{MelScale, Sides};
