//! Integration tests of the library.
//! Tests through the public interface, in one binary.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

#[path = "../support/mod.rs"]
mod support;

mod cut;
mod instruments;
mod recording;
#[cfg(feature = "runtime")]
mod pipeline;
#[cfg(feature = "runtime")]
mod store;
