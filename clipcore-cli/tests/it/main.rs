//! Integration tests of the program.

#[path = "../../../clipcore/tests/support/mod.rs"]
mod support;

mod demo;
mod faces;
mod models;
