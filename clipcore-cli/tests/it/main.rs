//! Integration tests of the program: what a person sees who runs it, with real servers, real failures, a real browser.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

#[path = "../../../clipcore/tests/support/mod.rs"]
mod support;

mod program;
mod web;

mod bad_input;
mod browser;
mod crash;
mod demo;
mod disk;
mod faces;
mod live;
mod models;
mod serve;
mod simulate;
mod sinks;
mod tune;
