//! Integration tests of the program.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "../../../clipcore/tests/support/mod.rs"]
mod support;

mod demo;
mod faces;
mod models;
