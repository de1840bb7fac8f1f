//! Faces: where they are, and how their expression changes.
//!
//! A face detector reports *facial motion*: that somebody smiles, or that a face changes, more than is usual for this
//! person. It says nothing of what they feel. Nothing but scores of changes leaves it: frames, crops and [`Face`]s
//! have no wire form, and its state holds places and baselines.
//!
//! ```
//! fn wire<T: serde::Serialize>() {}
//! wire::<clipcore::detector::Signal>();
//! ```
//!
//! ```compile_fail,E0277
//! fn wire<T: serde::Serialize>() {}
//! wire::<clipcore::detector::face::Face>();
//! ```
//!
//! ```compile_fail,E0277
//! fn wire<T: serde::Serialize>() {}
//! wire::<clipcore::event::media::VideoFrame>();
//! ```
//!
//! ```compile_fail,E0277
//! fn wire<T: serde::Serialize>() {}
//! wire::<clipcore::model::Tensor>();
//! ```

#[cfg(feature = "onnx")]
mod cards;
mod change;
mod crop;
mod decode;
mod detector;
mod events;
mod finder;
mod search;
mod track;

pub use change::ExpressionConfig;
pub use decode::{Face, FaceThresholds, Outputs, ultraface, yunet};
pub use detector::{ExpressionPort, FaceConfig, FaceDetector, FinderPort};
pub use events::FaceExpressionDetector;
pub use finder::{FaceFinder, FaceHead};
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
