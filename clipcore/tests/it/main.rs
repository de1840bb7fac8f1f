//! The one integration binary of clipcore.
#![allow(clippy::unwrap_used)]

mod conformance;
mod fusion;
mod properties;
