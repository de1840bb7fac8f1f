//! Integration tests of the library.

#[path = "../support/mod.rs"]
mod support;

mod instruments;
