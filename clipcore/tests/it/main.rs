//! Integration tests of the library.

#[path = "../support/mod.rs"]
mod support;

mod cut;
mod instruments;
mod recording;
#[cfg(feature = "runtime")]
mod store;
