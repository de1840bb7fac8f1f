//! Tests through the public interface, in one binary.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

#[path = "../support/mod.rs"]
mod support;

mod ads;
mod conformance;
#[cfg(feature = "media")]
mod cut;
#[cfg(feature = "onnx")]
mod faces;
mod fusion;
#[cfg(feature = "http")]
mod gateway;
mod instruments;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(feature = "redis", feature = "kafka"))]
mod log_writers;
#[cfg(feature = "media")]
mod media_bytes;
#[cfg(feature = "onnx")]
mod models;
#[cfg(all(feature = "object-store", feature = "http"))]
mod object_store;
#[cfg(feature = "runtime")]
mod pipeline;
#[cfg(feature = "runtime")]
mod privacy;
mod properties;
#[cfg(feature = "media")]
mod recording;
#[cfg(all(feature = "http", feature = "media"))]
mod recordings;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "runtime")]
mod store;
#[cfg(feature = "media")]
mod taps;
#[cfg(feature = "http")]
mod webhook;
