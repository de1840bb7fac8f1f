//! What the integration tests of the library and of the program share: test streams that carry a machine-readable
//! number in every picture and a known melody in their sound, readers that measure clips against them, and
//! real servers on free ports.
//!
//! The program's tests take this folder in by path.
#![allow(dead_code, unreachable_pub)] // every test binary uses its own part

pub mod barcode;
pub mod brokers;
pub mod browser;
pub mod certificates;
pub mod face_models;
pub mod kafka;
pub mod melody;
pub mod programs;
pub mod proxy;
pub mod publisher;
pub mod reading;
pub mod redis;
pub mod relay;
pub mod rtsp;
pub mod server;
pub mod stream;
